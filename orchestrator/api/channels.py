"""Channels over HTTP."""

from typing import Any

from aiohttp import web

from orchestrator.api.asking import ASKING, SESSION, ask, channel_jid, given, have_done, in_path, invite_code
from orchestrator.api.bodies import json_response, read_json
from orchestrator.api.operations import Operation
from orchestrator.domain.tenant import Scope
from orchestrator.wire import channels as wire


async def create(request: web.Request) -> web.Response:
    body = await read_json(request, wire.CreateChannel)
    asked = {"name": body.name, "description": body.description}
    return json_response(await ask(request, "channels.create", asked, wire.Channel), status=201)


async def show(request: web.Request) -> web.Response:
    return json_response(await ask(request, "channels.get", {"channel": _channel(request)}, wire.Channel))


async def preview(request: web.Request) -> web.Response:
    asked = {"invite": invite_code(in_path(request, "invite"), "invite")}
    return json_response(await ask(request, "channels.get", asked, wire.Channel))


async def change(request: web.Request) -> web.Response:
    body = await read_json(request, wire.ChangeChannel)
    return await have_done(request, "channels.update", {"channel": _channel(request), **given(body)})


async def delete(request: web.Request) -> web.Response:
    return await have_done(request, "channels.delete", {"channel": _channel(request)})


async def follow(request: web.Request) -> web.Response:
    return await _act(request, "follow")


async def unfollow(request: web.Request) -> web.Response:
    return await _act(request, "unfollow")


async def mute(request: web.Request) -> web.Response:
    return await _act(request, "mute")


async def unmute(request: web.Request) -> web.Response:
    return await _act(request, "unmute")


async def _act(request: web.Request, action: str) -> web.Response:
    return await have_done(request, "channels.follow", {"channel": _channel(request), "action": action})


def _channel(request: web.Request) -> str:
    return channel_jid(in_path(request, "channel"), "channel")


_CHANNEL = f"{SESSION}/channels/{{channel}}"
_SHOWN = wire.Channel(
    channel_id="120363101234567890@newsletter",
    name="Ofertas",
    description="Toda semana",
    invite_code="0029VaAbCdEf",
    followers=120,
    verified=False,
    role="owner",
    muted=False,
    created_at="2026-11-20T12:00:00.000Z",
)


def _operation(method: str, path: str, handler: Any, summary: str, scope: Scope = Scope.SEND, **more: Any) -> Operation:
    return Operation(
        method=method, path=path, handler=handler, scope=scope, tag="Channels", summary=summary, errors=ASKING, **more
    )


OPERATIONS = (
    _operation(
        "POST",
        f"{SESSION}/channels",
        create,
        "Create a channel.",
        takes=wire.CreateChannel,
        gives=wire.Channel,
        status=201,
        example=wire.CreateChannel(name="Ofertas", description="Toda semana"),
        example_answer=_SHOWN,
    ),
    _operation(
        "GET",
        f"{SESSION}/channels/invites/{{invite}}",
        preview,
        "Show the channel behind an invite code.",
        Scope.READ,
        gives=wire.Channel,
        example_answer=_SHOWN,
    ),
    _operation("GET", _CHANNEL, show, "Show a channel.", Scope.READ, gives=wire.Channel, example_answer=_SHOWN),
    _operation(
        "PATCH",
        _CHANNEL,
        change,
        "Change a channel's name or description.",
        takes=wire.ChangeChannel,
        status=204,
        example=wire.ChangeChannel(name="Ofertas da loja"),
    ),
    _operation("DELETE", _CHANNEL, delete, "Delete a channel, for its followers too.", status=204),
    _operation("PUT", f"{_CHANNEL}/follow", follow, "Follow a channel.", status=204),
    _operation("DELETE", f"{_CHANNEL}/follow", unfollow, "Stop following a channel.", status=204),
    _operation("PUT", f"{_CHANNEL}/mute", mute, "Mute a channel.", status=204),
    _operation("DELETE", f"{_CHANNEL}/mute", unmute, "Unmute a channel.", status=204),
)
