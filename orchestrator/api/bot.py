"""What the Telegram bot asks for itself: to be the only one, to forget nothing, and what Telegram delivered here."""

import hmac
import re

import msgspec
from aiohttp import web

from orchestrator.api.bodies import json_response, read_json, read_query
from orchestrator.api.keys import SERVICES, WEBHOOK_SECRET
from orchestrator.api.operations import Operation
from orchestrator.api.pages import begins_after, cut
from orchestrator.domain.errors import BotLeaseLost, FieldError, InvalidRequest, NotFound
from orchestrator.domain.tenant import Scope
from orchestrator.wire import bot as wire

WEBHOOK_PATH = "/telegram/webhook"
_SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 (a name)

_NAME = re.compile(r"[a-z0-9:._-]{1,100}")
#: A chat's document has a few kilobytes; this is what a broken bot may do.
_DOCUMENT_BYTES = 256 * 1024
_MOST_UPDATES = 100


async def hold(request: web.Request) -> web.Response:
    body = await read_json(request, wire.HoldLease)
    return json_response(wire.Lease(epoch=await request.app[SERVICES].bot.hold(body.holder, body.seconds)))


async def release(request: web.Request) -> web.Response:
    body = await read_json(request, wire.ReleaseLease)
    await request.app[SERVICES].bot.release(body.holder)
    return web.Response(status=204)


async def first_token(request: web.Request) -> web.Response:
    """Once: whoever takes it hands it to the operator."""
    return json_response(wire.FirstToken(admin_token=request.app[SERVICES].access.take_first_token()))


async def documents(request: web.Request) -> web.Response:
    page = read_query(request, wire.ListDocuments)
    found = await request.app[SERVICES].bot.documents(page.prefix, after=begins_after(page, str), most=page.limit + 1)
    shown, next_cursor = cut(found, page, lambda document: document[0])
    listed = [wire.Document(name=name, value=value) for name, value in shown]
    return json_response(wire.Documents(documents=listed, next_cursor=next_cursor))


async def put_document(request: web.Request) -> web.Response:
    body = await read_json(request, wire.PutDocument)
    name = request.match_info["document"]
    if not _NAME.fullmatch(name):
        raise InvalidRequest(errors=[FieldError("document", "must be 1 to 100 characters out of a-z 0-9 : . _ -")])
    await request.app[SERVICES].bot.put_document(name, body.value, body.epoch)
    return web.Response(status=204)


async def updates(request: web.Request) -> web.Response:
    return json_response(wire.Updates(updates=list(await request.app[SERVICES].bot.updates(_MOST_UPDATES))))


async def forget_updates(request: web.Request) -> web.Response:
    body = await read_json(request, wire.ForgetUpdates)
    await request.app[SERVICES].bot.forget_updates(body.update_ids)
    return web.Response(status=204)


async def webhook(request: web.Request) -> web.Response:
    """https://core.telegram.org/bots/api#setwebhook: whatever isn't answered with 2xx comes again."""
    secret = request.app[WEBHOOK_SECRET]
    given = request.headers.get(_SECRET_HEADER, "").encode(errors="surrogateescape")
    if secret is None or not hmac.compare_digest(given, secret.encode()):
        raise NotFound
    update = await read_json(request, wire.TelegramUpdate)
    await request.app[SERVICES].bot.add_update(update.update_id, msgspec.json.decode(await request.read()))
    return web.Response(status=204)


_TAG = "Telegram bot"
_DOCUMENT = wire.Document(name="chat:123", value={"language": "pt-BR"})

OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/bot/lease",
        handler=hold,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="Take or renew the right to be the bot, which one process has at a time.",
        takes=wire.HoldLease,
        gives=wire.Lease,
        example=wire.HoldLease(holder="0123456789abcdef"),
        example_answer=wire.Lease(epoch=7),
    ),
    Operation(
        method="POST",
        path="/v1/bot/lease/release",
        handler=release,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="Give that right up, so that another process has it at once.",
        takes=wire.ReleaseLease,
        status=204,
        example=wire.ReleaseLease(holder="0123456789abcdef"),
    ),
    Operation(
        method="POST",
        path="/v1/bot/first-token",
        handler=first_token,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="Take the admin token that was made at the very first start, once, to hand it to the operator.",
        gives=wire.FirstToken,
        example_answer=wire.FirstToken(admin_token=None),
    ),
    Operation(
        method="GET",
        path="/v1/bot/documents",
        handler=documents,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="List what the bot keeps, by name.",
        query=wire.ListDocuments,
        gives=wire.Documents,
        example_answer=wire.Documents(documents=[_DOCUMENT], next_cursor=None),
    ),
    Operation(
        method="PUT",
        path="/v1/bot/documents/{document}",
        handler=put_document,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="Keep a document for the bot; refused when a later bot has the lease.",
        takes=wire.PutDocument,
        status=204,
        errors=(BotLeaseLost, InvalidRequest),
        example=wire.PutDocument(epoch=7, value={"language": "pt-BR"}),
        body_limit=_DOCUMENT_BYTES,
    ),
    Operation(
        method="GET",
        path="/v1/bot/updates",
        handler=updates,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="List updates that Telegram delivered to the webhook and the bot has not dealt with, oldest first.",
        gives=wire.Updates,
        example_answer=wire.Updates(updates=[{"update_id": 1}]),
    ),
    Operation(
        method="POST",
        path="/v1/bot/updates/forget",
        handler=forget_updates,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="Forget updates that the bot has dealt with.",
        takes=wire.ForgetUpdates,
        status=204,
        example=wire.ForgetUpdates(update_ids=[1]),
    ),
    Operation(
        method="POST",
        path=WEBHOOK_PATH,
        handler=webhook,
        scope=None,
        tag=_TAG,
        summary="Take an update from Telegram, with TELEGRAM_MODE=webhook; others find nothing here.",
        takes=wire.TelegramUpdate,
        status=204,
        errors=(NotFound,),
        example=wire.TelegramUpdate(update_id=1),
    ),
)
