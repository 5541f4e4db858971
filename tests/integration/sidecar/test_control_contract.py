"""The golden examples of the control API: our client sends them and understands their answers."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import structlog
from aiohttp import web

from orchestrator.domain.errors import (
    AlreadyPaired,
    InvalidRequest,
    JournalUndrained,
    LeaseLost,
    MessageRefused,
    NotOnWhatsapp,
    NotPairing,
    OrchestratorError,
    PairingCodeRateLimited,
    PairingCodeRefused,
    SendFailed,
    SendUnconfirmed,
    SessionNotOpen,
    SidecarUnavailable,
    WhatsAppNoAnswer,
    WhatsAppRefused,
)
from orchestrator.domain.session import Lease
from orchestrator.domain.session_settings import SessionSettings
from orchestrator.sidecar.client import Listing, Sent, ShownCode, SidecarClient
from orchestrator.wire.groups import InviteCode

GOLDEN = {path.stem: json.loads(path.read_text()) for path in sorted(Path("tests/contract").glob("control-*.json"))}
TOKEN = "t" * 64

Call = Callable[[SidecarClient, Any], Awaitable[object]]


def _lease(request: Any, ref: int = 17) -> Lease:
    return Lease(ref, request["session_id"], "operator", request["generation"], request["epoch"])


def _settings(request: Any) -> SessionSettings:
    return msgspec.convert(request.get("settings", {}), SessionSettings)


async def _start(client: SidecarClient, request: Any) -> None:
    await client.start(_lease(request), _settings(request))


async def _apply(client: SidecarClient, request: Any) -> None:
    assert await client.apply(17, _settings(request)) is True


async def _operate(client: SidecarClient, request: Any) -> None:
    found = await client.operate(17, "groups.invite", request, InviteCode)
    assert found.invite_code == "AbCdEf0123456789"


CALLS: dict[str, Call] = {
    "GET /v1/sessions": lambda client, _: client.list(),
    "PUT /v1/sessions/17": _start,
    "DELETE /v1/sessions/17": lambda client, _: client.stop(17),
    "POST /v1/sessions/17/logout": lambda client, _: client.logout(17),
    "POST /v1/sessions/17/pairing-code": lambda client, request: client.pairing_code(17, request["phone"]),
    "PATCH /v1/sessions/17": _apply,
    "POST /v1/sessions/17/operations/groups.invite": _operate,
    "POST /v1/sessions/17/messages": lambda client, request: client.send(17, request),
}
PLAYED = {name: golden for name, golden in GOLDEN.items() if golden["call"] in CALLS and "invalid" not in name}

ERRORS: dict[str, type[OrchestratorError]] = {
    "already_paired": AlreadyPaired,
    "not_pairing": NotPairing,
    "pairing_code_refused": PairingCodeRefused,
    "pairing_code_rate_limited": PairingCodeRateLimited,
    "session_not_open": SessionNotOpen,
    "session_not_running": SessionNotOpen,
    "stale_epoch": LeaseLost,
    "send_failed": SendFailed,
    "message_refused": MessageRefused,
    "not_on_whatsapp": NotOnWhatsapp,
    "invalid_request": InvalidRequest,
    "unauthorized": SidecarUnavailable,
    "draining": SidecarUnavailable,
    "shutting_down": SidecarUnavailable,
    "undrained": JournalUndrained,
    "whatsapp_refused": WhatsAppRefused,
    "whatsapp_no_answer": WhatsAppNoAnswer,
}


@asynccontextmanager
async def sidecar_that_answers(response: Any) -> AsyncIterator[tuple[SidecarClient, list[tuple[str, Any]]]]:
    """A server on the wire in place of the sidecar; it keeps what it was asked."""
    asked: list[tuple[str, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        asked.append((f"{request.method} {request.path}", await request.json() if request.can_read_body else None))
        return web.json_response(response["body"], status=response["status"])

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession() as http:
        yield SidecarClient(http, port, TOKEN), asked
    await runner.cleanup()


@pytest.mark.parametrize("name", PLAYED)
async def test_the_client_sends_the_example_and_takes_its_answer(name: str) -> None:
    golden = PLAYED[name]
    async with sidecar_that_answers(golden["response"]) as (client, asked):
        call = CALLS[golden["call"]](client, golden["request"])
        body = golden["response"]["body"]
        if golden["response"]["status"] >= 400:
            with pytest.raises(ERRORS[body["code"]]) as raised:
                await call
            assert getattr(raised.value, "whatsapp_code", None) == body.get("whatsapp_code")
        else:
            answer = await call
            if isinstance(answer, Listing):
                assert [s.session_ref for s in answer.sessions] == [s["session_ref"] for s in body["sessions"]]
            elif isinstance(answer, ShownCode):
                assert (answer.pairing_code, answer.expires_at) == (body["pairing_code"], body["expires_at"])
            elif isinstance(answer, Sent):
                assert answer == Sent(**body)
    assert asked == [(golden["call"], golden["request"])] or (
        golden["request"] is None and asked == [(golden["call"], {})]
    )


async def test_a_sidecar_that_is_not_there_is_unavailable_and_a_send_was_not_made() -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(SidecarUnavailable) as raised:
            await SidecarClient(http, 1, TOKEN).send(17, {"to": "5511988887777@s.whatsapp.net"})
    assert not isinstance(raised.value, SendUnconfirmed)


async def test_an_answer_that_is_no_json_is_unavailable() -> None:
    async def garbage(request: web.Request) -> web.Response:
        return web.Response(status=500, text="<html>")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", garbage)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        with pytest.raises(SidecarUnavailable):
            await SidecarClient(http, runner.addresses[0][1], TOKEN).list()
    await runner.cleanup()


async def test_the_sidecar_is_told_the_name_of_the_request() -> None:
    names: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        names.append(request.headers.get("X-Request-Id"))
        return web.json_response(GOLDEN["control-message"]["response"]["body"])

    app = web.Application()
    app.router.add_post("/v1/sessions/17/messages", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        client = SidecarClient(http, runner.addresses[0][1], TOKEN)
        with structlog.contextvars.bound_contextvars(request_id="order-4711"):
            await client.send(17, {})
        await client.send(17, {})
    await runner.cleanup()
    assert names == ["order-4711", None]
