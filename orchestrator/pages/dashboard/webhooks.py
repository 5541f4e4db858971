"""A tenant's webhooks, and what was delivered to them. A secret is shown once."""

from typing import Any

from orchestrator.domain.errors import DeliveryNotFound
from orchestrator.domain.webhook import DeliveryState
from orchestrator.pages.dashboard.showing import path
from orchestrator.pages.dashboard.visits import Done, Page, Visit, first
from orchestrator.wire.webhooks import ChangeWebhook, CreateWebhook, Deliveries

_MOST = 200


async def listed(visit: Visit) -> Page:
    return await _listed(visit)


async def _listed(visit: Visit, **more: Any) -> Page:
    values = {"webhooks": await first(visit.own.webhooks.list(), _MOST), "made": None, **more}
    return Page(template="webhooks.html", title=visit.texts.webhooks, area="webhooks", values=values)


async def create(visit: Visit) -> Page:
    body = CreateWebhook(url=visit.typed("url"), events=_events(visit), session_id=visit.typed("session_id") or None)
    return await _listed(visit, made=await visit.own.webhooks.create(body))


async def shown(visit: Visit) -> Page:
    return await _shown(visit)


async def _shown(visit: Visit, **more: Any) -> Page:
    webhook_id, state = visit.named("webhook_id"), visit.asked("state")
    webhook = await visit.own.webhooks.get(webhook_id)
    query = {"cursor": visit.asked("cursor") or None, "state": state or None}
    found = await visit.own.page(f"/v1{path('webhooks', webhook_id, 'deliveries')}", Deliveries, query)
    values = {
        "webhook": webhook,
        "deliveries": found.deliveries,
        "next_cursor": found.next_cursor,
        "state": state,
        "delivery_states": list(DeliveryState),
        "dead": DeliveryState.DEAD,
        "tested": None,
        "rotated": None,
        **more,
    }
    return Page(template="webhook.html", title=webhook.url, area="webhooks", values=values)


async def change(visit: Visit) -> Done:
    changes = ChangeWebhook(url=visit.typed("url"), events=_events(visit), enabled=visit.form.get("enabled") == "yes")
    await visit.own.webhooks.change(visit.named("webhook_id"), changes)
    return Done(note="saved")


async def test(visit: Visit) -> Page:
    return await _shown(visit, tested=await visit.own.webhooks.test(visit.named("webhook_id")))


async def rotate(visit: Visit) -> Page:
    made = await visit.own.webhooks.rotate_secret(visit.named("webhook_id"), at_once=visit.form.get("at_once") == "yes")
    return await _shown(visit, rotated=made)


async def replay(visit: Visit) -> Done:
    """One delivery, or all that were given up."""
    number = visit.typed("number")
    if number and not (number.isdecimal() and len(number) < 19):
        raise DeliveryNotFound
    await visit.own.webhooks.replay(visit.named("webhook_id"), int(number) if number else None)
    return Done(note="replayed")


async def delete(visit: Visit) -> Done:
    await visit.own.webhooks.delete(visit.named("webhook_id"))
    return Done(note="deleted", to=path("tenants", visit.tenant_id, "webhooks"))


def _events(visit: Visit) -> list[str]:
    return [word for word in visit.typed("events").replace(",", " ").split() if word]
