"""Webhooks over HTTP."""

import re

import msgspec
from aiohttp import web

from orchestrator.api.bodies import json_response, read_json, read_query
from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.api.operations import Operation
from orchestrator.api.pages import Name, Number, begins_after, cut
from orchestrator.domain.errors import (
    DeliveryNotFound,
    NotReplayable,
    SessionNotFound,
    WebhookLimit,
    WebhookNotFound,
)
from orchestrator.domain.session import existing_id
from orchestrator.domain.tenant import Scope
from orchestrator.domain.webhook import Attempt, Delivery, DeliveryState, Webhook
from orchestrator.services.events import optional_timestamp, timestamp
from orchestrator.wire import webhooks as wire
from orchestrator.wire.shape import NoFields

_ID = re.compile(r"wh_[0-9a-f]{24}")
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


async def create(request: web.Request) -> web.Response:
    body = await read_json(request, wire.CreateWebhook)
    of = None if body.session_id is None else existing_id(body.session_id)
    webhook = await request.app[SERVICES].webhooks.add(request[TENANT], of, body.url, tuple(body.events))
    response = json_response(_with_secret(webhook), status=201)
    response.headers["Location"] = f"/v1/webhooks/{webhook.webhook_id}"
    return response


async def index(request: web.Request) -> web.Response:
    page = read_query(request, wire.ListWebhooks)
    if page.session_id is not None:
        await request.app[SERVICES].sessions.get(request[TENANT], existing_id(page.session_id))
    found = await request.app[SERVICES].webhooks.page(
        request[TENANT], page.session_id, after=begins_after(page, Name) or "", most=page.limit + 1
    )
    webhooks, next_cursor = cut(found, page, lambda webhook: webhook.webhook_id)
    return json_response(wire.Webhooks(webhooks=[shown(webhook) for webhook in webhooks], next_cursor=next_cursor))


async def show(request: web.Request) -> web.Response:
    return json_response(shown(await request.app[SERVICES].webhooks.get(request[TENANT], _webhook_id(request))))


async def change(request: web.Request) -> web.Response:
    body = await read_json(request, wire.ChangeWebhook)
    webhook = await request.app[SERVICES].webhooks.change(
        request[TENANT],
        _webhook_id(request),
        url=body.url,
        events=None if body.events is None else tuple(body.events),
        enabled=body.enabled,
    )
    return json_response(shown(webhook))


async def delete(request: web.Request) -> web.Response:
    await request.app[SERVICES].webhooks.delete(request[TENANT], _webhook_id(request))
    return web.Response(status=204)


async def rotate(request: web.Request) -> web.Response:
    body = await read_json(request, wire.RotateSecret)
    webhook = await request.app[SERVICES].webhooks.rotate(request[TENANT], _webhook_id(request), at_once=body.at_once)
    return json_response(_with_secret(webhook))


async def test(request: web.Request) -> web.Response:
    await read_json(request, NoFields)
    return json_response(
        _shown_attempt(await request.app[SERVICES].webhooks.test(request[TENANT], _webhook_id(request)))
    )


async def deliveries(request: web.Request) -> web.Response:
    page = read_query(request, wire.ListDeliveries)
    found = await request.app[SERVICES].webhooks.deliveries(
        request[TENANT],
        _webhook_id(request),
        state=page.state,
        before=begins_after(page, Number),
        most=page.limit + 1,
    )
    kept, next_cursor = cut(found, page, lambda delivery: delivery.number)
    return json_response(
        wire.Deliveries(deliveries=[_shown_delivery(delivery) for delivery in kept], next_cursor=next_cursor)
    )


async def replay(request: web.Request) -> web.Response:
    await read_json(request, NoFields)
    number = request.match_info["number"]
    if not _NUMBER.fullmatch(number):
        raise DeliveryNotFound
    return await _replay(request, int(number))


async def replay_all(request: web.Request) -> web.Response:
    await read_json(request, NoFields)
    return await _replay(request, None)


async def _replay(request: web.Request, number: int | None) -> web.Response:
    replayed = await request.app[SERVICES].webhooks.replay(request[TENANT], _webhook_id(request), number)
    return json_response(wire.Replayed(replayed=replayed))


def _webhook_id(request: web.Request) -> str:
    name = request.match_info["webhook_id"]
    if not _ID.fullmatch(name):
        raise WebhookNotFound
    return name


def shown(webhook: Webhook) -> wire.Webhook:
    return wire.Webhook(
        webhook_id=webhook.webhook_id,
        session_id=webhook.session_id,
        url=webhook.url,
        events=list(webhook.events),
        enabled=webhook.enabled,
        disabled_reason=webhook.disabled_reason,
        failing_since=optional_timestamp(webhook.failing_since),
        created_at=timestamp(webhook.created_at),
    )


def _with_secret(webhook: Webhook) -> wire.WebhookWithSecret:
    return wire.WebhookWithSecret(**msgspec.structs.asdict(shown(webhook)), secret=webhook.secrets[0].value)


def _shown_attempt(attempt: Attempt) -> wire.WebhookTest:
    return wire.WebhookTest(
        succeeded=attempt.succeeded,
        status=attempt.status,
        duration_ms=attempt.duration_ms,
        answer=attempt.answer,
        error=attempt.error,
    )


def _shown_delivery(delivery: Delivery) -> wire.Delivery:
    return wire.Delivery(
        number=delivery.number,
        event_id=delivery.event_id,
        type=delivery.type,
        session_id=delivery.session_id,
        state=delivery.state,
        created_at=timestamp(delivery.created_at),
        attempts=delivery.attempts,
        attempted_at=optional_timestamp(delivery.attempted_at),
        status=delivery.status,
        duration_ms=delivery.duration_ms,
        answer=delivery.answer,
        error=delivery.error,
    )


_TAG = "Webhooks"
_WEBHOOKS = "/v1/webhooks"
_WEBHOOK = "/v1/webhooks/{webhook_id}"

_SHOWN = wire.Webhook(
    webhook_id="wh_5f0c1d2e3a4b5c6d7e8f9a0b",
    session_id=None,
    url="https://example.org/whatsapp",
    events=["message.received", "message.status"],
    enabled=True,
    disabled_reason=None,
    failing_since=None,
    created_at="2026-11-27T01:02:03.456Z",
)
_SHOWN_WITH_SECRET = wire.WebhookWithSecret(
    webhook_id=_SHOWN.webhook_id,
    session_id=None,
    url=_SHOWN.url,
    events=_SHOWN.events,
    enabled=True,
    disabled_reason=None,
    failing_since=None,
    created_at=_SHOWN.created_at,
    secret="whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",  # noqa: S106 (an example)
)
_SHOWN_DELIVERY = wire.Delivery(
    number=17,
    event_id="evt_5f0c1d2e3a4b5c6d7e8f9a0b",
    type="message.received",
    session_id="loja-1",
    state=DeliveryState.DEAD,
    created_at="2026-11-27T01:02:03.456Z",
    attempts=31,
    attempted_at="2026-11-28T01:05:03.456Z",
    status=500,
    duration_ms=38,
    answer="Internal Server Error",
    error=None,
)

OPERATIONS = (
    Operation(
        method="POST",
        path=_WEBHOOKS,
        handler=create,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Have events posted to an address from now on; the secret that signs them is shown only this once.",
        details="Signed as Standard Webhooks says: webhook-id, webhook-timestamp and webhook-signature. At least once, in order "
        "for each session: one that fails holds up that session's later events, and is tried again for 24 hours.",
        takes=wire.CreateWebhook,
        gives=wire.WebhookWithSecret,
        status=201,
        errors=(SessionNotFound, WebhookLimit),
        example=wire.CreateWebhook(url="https://example.org/whatsapp", events=["message.received", "message.status"]),
        example_answer=_SHOWN_WITH_SECRET,
    ),
    Operation(
        method="GET",
        path=_WEBHOOKS,
        handler=index,
        scope=Scope.READ,
        tag=_TAG,
        summary="List the webhooks, by id.",
        query=wire.ListWebhooks,
        gives=wire.Webhooks,
        errors=(SessionNotFound,),
        example_answer=wire.Webhooks(webhooks=[_SHOWN], next_cursor=None),
    ),
    Operation(
        method="GET",
        path=_WEBHOOK,
        handler=show,
        scope=Scope.READ,
        tag=_TAG,
        summary="Show a webhook.",
        gives=wire.Webhook,
        errors=(WebhookNotFound,),
        example_answer=_SHOWN,
    ),
    Operation(
        method="PATCH",
        path=_WEBHOOK,
        handler=change,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Change a webhook's address or events, or switch it on or off.",
        details="One that is off hears of nothing that happens meanwhile.",
        takes=wire.ChangeWebhook,
        gives=wire.Webhook,
        errors=(WebhookNotFound,),
        example=wire.ChangeWebhook(enabled=False),
        example_answer=_SHOWN,
    ),
    Operation(
        method="DELETE",
        path=_WEBHOOK,
        handler=delete,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Delete a webhook with everything that waits for it.",
        status=204,
        errors=(WebhookNotFound,),
    ),
    Operation(
        method="POST",
        path=f"{_WEBHOOK}/rotate-secret",
        handler=rotate,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Make a new secret, shown only this once; the one before signs too for 24 hours.",
        takes=wire.RotateSecret,
        gives=wire.WebhookWithSecret,
        errors=(WebhookNotFound,),
        example=wire.RotateSecret(),
        example_answer=_SHOWN_WITH_SECRET,
    ),
    Operation(
        method="POST",
        path=f"{_WEBHOOK}/test",
        handler=test,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Post an event of the type webhook.test now, and say what came of it.",
        takes=NoFields,
        gives=wire.WebhookTest,
        errors=(WebhookNotFound,),
        example=NoFields(),
        example_answer=wire.WebhookTest(succeeded=True, status=200, duration_ms=38, answer="ok", error=None),
    ),
    Operation(
        method="GET",
        path=f"{_WEBHOOK}/deliveries",
        handler=deliveries,
        scope=Scope.READ,
        tag=_TAG,
        summary="List what was delivered, waits, or was given up, newest first.",
        details="Kept for 7 days after the delivery, 30 days when it was given up.",
        query=wire.ListDeliveries,
        gives=wire.Deliveries,
        errors=(WebhookNotFound,),
        example_answer=wire.Deliveries(deliveries=[_SHOWN_DELIVERY], next_cursor=None),
    ),
    Operation(
        method="POST",
        path=f"{_WEBHOOK}/deliveries/{{number}}/replay",
        handler=replay,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Try a delivery again that was given up.",
        takes=NoFields,
        gives=wire.Replayed,
        errors=(WebhookNotFound, DeliveryNotFound, NotReplayable),
        example=NoFields(),
        example_answer=wire.Replayed(replayed=1),
    ),
    Operation(
        method="POST",
        path=f"{_WEBHOOK}/replay",
        handler=replay_all,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Try everything again that was given up.",
        takes=NoFields,
        gives=wire.Replayed,
        errors=(WebhookNotFound,),
        example=NoFields(),
        example_answer=wire.Replayed(replayed=12),
    ),
)
