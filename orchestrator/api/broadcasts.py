"""Broadcasts over HTTP: one text to all tenants that use the Telegram bot, and how far it is."""

from aiohttp import web

from orchestrator.api.bodies import json_response, read_json, read_query
from orchestrator.api.keys import HAS_BOT, SERVICES
from orchestrator.api.operations import Operation
from orchestrator.api.pages import Number, begins_after, cut
from orchestrator.domain.broadcast import Broadcast, BroadcastState, Progress, existing_broadcast_id
from orchestrator.domain.errors import BotLeaseLost, BotOff, BroadcastNotFound, BroadcastUnderWay
from orchestrator.domain.tenant import Scope
from orchestrator.services.events import timestamp
from orchestrator.wire import broadcasts as wire
from orchestrator.wire.pages import Page


async def create(request: web.Request) -> web.Response:
    body = await read_json(request, wire.CreateBroadcast)
    if not request.app[HAS_BOT]:
        raise BotOff
    made = await request.app[SERVICES].broadcasts.create(body.text)
    response = json_response(_shown(made), status=201)
    response.headers["Location"] = f"/v1/broadcasts/{made.broadcast_id}"
    return response


async def index(request: web.Request) -> web.Response:
    page = read_query(request, Page)
    before = begins_after(page, Number)
    found = await request.app[SERVICES].broadcasts.page(before=before, most=page.limit + 1)
    listed, next_cursor = cut(found, page, lambda one: one.broadcast_id)
    return json_response(wire.Broadcasts(broadcasts=[_shown(one) for one in listed], next_cursor=next_cursor))


async def show(request: web.Request) -> web.Response:
    return json_response(_shown(await request.app[SERVICES].broadcasts.get(_broadcast_id(request))))


async def cancel(request: web.Request) -> web.Response:
    return json_response(_shown(await request.app[SERVICES].broadcasts.cancel(_broadcast_id(request))))


async def report(request: web.Request) -> web.Response:
    body = await read_json(request, wire.ReportBroadcast)
    progress = Progress(recipients=body.recipients, told=body.told, failed=body.failed, after_chat=body.after_chat)
    store = request.app[SERVICES].broadcasts
    return json_response(_shown(await store.report(_broadcast_id(request), progress, done=body.done, epoch=body.epoch)))


def _broadcast_id(request: web.Request) -> int:
    return existing_broadcast_id(request.match_info["broadcast_id"])


def _shown(one: Broadcast) -> wire.Broadcast:
    progress = one.progress
    return wire.Broadcast(
        broadcast_id=one.broadcast_id,
        text=one.text,
        state=one.state,
        recipients=None if progress is None else progress.recipients,
        told=0 if progress is None else progress.told,
        failed=0 if progress is None else progress.failed,
        after_chat=None if progress is None else progress.after_chat,
        created_at=timestamp(one.created_at),
        ended_at=None if one.ended_at is None else timestamp(one.ended_at),
    )


_SHOWN = wire.Broadcast(
    broadcast_id=1,
    text="Maintenance tonight at ten",
    state=BroadcastState.RUNNING,
    recipients=40,
    told=12,
    failed=1,
    after_chat=123,
    created_at="2026-11-26T12:00:00.000Z",
    ended_at=None,
)

_TAG = "Alerts and broadcasts"
_BROADCAST = "/v1/broadcasts/{broadcast_id}"

OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/broadcasts",
        handler=create,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="Send a text to all tenants that use the Telegram bot; one broadcast at a time is under way.",
        takes=wire.CreateBroadcast,
        gives=wire.Broadcast,
        status=201,
        errors=(BotOff, BroadcastUnderWay),
        example=wire.CreateBroadcast(text="Maintenance tonight at ten"),
        example_answer=_SHOWN,
        audited=True,
    ),
    Operation(
        method="GET",
        path="/v1/broadcasts",
        handler=index,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="List the broadcasts and how far they are, newest first.",
        query=Page,
        gives=wire.Broadcasts,
        example_answer=wire.Broadcasts(broadcasts=[_SHOWN], next_cursor=None),
    ),
    Operation(
        method="GET",
        path=_BROADCAST,
        handler=show,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="Show a broadcast and how far it is.",
        gives=wire.Broadcast,
        errors=(BroadcastNotFound,),
        example_answer=_SHOWN,
    ),
    Operation(
        method="POST",
        path=f"{_BROADCAST}/cancel",
        handler=cancel,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="Tell nobody else of a broadcast; one that has ended stays as it is.",
        gives=wire.Broadcast,
        errors=(BroadcastNotFound,),
        example_answer=_SHOWN,
        audited=True,
    ),
    Operation(
        method="PUT",
        path="/v1/bot/broadcasts/{broadcast_id}",
        handler=report,
        scope=Scope.ADMIN,
        tag="Telegram bot",
        summary="Say how far the bot is with a broadcast; refused when a later bot has the lease.",
        takes=wire.ReportBroadcast,
        gives=wire.Broadcast,
        errors=(BotLeaseLost, BroadcastNotFound),
        example=wire.ReportBroadcast(epoch=7, recipients=40, told=12, failed=1, after_chat=123),
        example_answer=_SHOWN,
    ),
)
