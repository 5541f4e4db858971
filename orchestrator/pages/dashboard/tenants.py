"""The operator's tenants."""

from msgspec import UNSET

from orchestrator.domain.errors import BillingOff, FieldError, InvalidRequest
from orchestrator.domain.tenant import OPERATOR_TENANT
from orchestrator.pages.dashboard.showing import path
from orchestrator.pages.dashboard.visits import Done, Page, Visit, first
from orchestrator.wire.billing import Subscription
from orchestrator.wire.tenants import ChangeTenant, CreateTenant, LimitChanges, Limits, Tenants

_MOST = 200


async def listed(visit: Visit) -> Page:
    found = await visit.client.page("/v1/tenants", Tenants, {"cursor": visit.asked("cursor") or None})
    values = {"tenants": found.tenants, "next_cursor": found.next_cursor}
    return Page(template="tenants.html", title=visit.texts.tenants, area="tenants", values=values)


async def create(visit: Visit) -> Done:
    body = CreateTenant(
        tenant_id=visit.typed("tenant_id") or None,
        name=visit.typed("name"),
        limits=Limits(sessions=_number(visit, "sessions")),
    )
    made = await visit.client.tenants.create(body)
    return Done(note="created", to=path("tenants", made.tenant_id))


async def shown(visit: Visit) -> Page:
    tenant = await visit.client.tenants.get(visit.tenant_id)
    subscription = await _subscription(visit)
    values = {
        "tenant": tenant,
        "subscription": subscription,
        "plans": await first(visit.client.billing.plans(), _MOST) if subscription else [],
        "is_operator": visit.tenant_id == OPERATOR_TENANT,
    }
    return Page(template="tenant.html", title=tenant.name, area="tenants", values=values)


async def _subscription(visit: Visit) -> Subscription | None:
    """None where nobody pays."""
    try:
        found = await visit.client.billing.subscription_of(visit.tenant_id)
    except BillingOff:
        return None
    return found if found.billing else None


async def change(visit: Visit) -> Done:
    limits = LimitChanges(
        sessions=_number(visit, "sessions"),
        messages_per_minute=_number(visit, "messages_per_minute"),
        storage_bytes=_number(visit, "storage_bytes"),
    )
    days = _number(visit, "chat_retention_days") or 0
    await visit.client.tenants.change(
        visit.tenant_id, ChangeTenant(name=visit.typed("name"), limits=limits, chat_retention_days=days)
    )
    return Done(note="saved")


async def block(visit: Visit) -> Done:
    reason = visit.typed("reason") or UNSET
    await visit.client.tenants.change(visit.tenant_id, ChangeTenant(blocked=True, blocked_reason=reason))
    return Done(note="blocked")


async def unblock(visit: Visit) -> Done:
    await visit.client.tenants.change(visit.tenant_id, ChangeTenant(blocked=False))
    return Done(note="unblocked")


async def extend(visit: Visit) -> Done:
    days = _number(visit, "extend_days")
    if days is None:
        raise InvalidRequest(errors=[FieldError("extend_days", "is required")])
    await visit.client.billing.change_subscription(visit.tenant_id, extend_days=days)
    return Done(note="extended")


async def choose_plan(visit: Visit) -> Done:
    await visit.client.billing.change_subscription(visit.tenant_id, plan_id=visit.typed("plan_id"))
    return Done(note="saved")


async def delete(visit: Visit) -> Done:
    await visit.client.tenants.delete(visit.tenant_id)
    return Done(note="deleted", to="/tenants")


def _number(visit: Visit, name: str) -> int | None:
    """A whole number as it was typed; None for an empty field."""
    text = visit.typed(name)
    if text and not (text.isdecimal() and len(text) < 19):
        raise InvalidRequest(errors=[FieldError(name, "must be a whole number")])
    return int(text) if text else None
