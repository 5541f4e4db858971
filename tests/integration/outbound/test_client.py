"""Calls to addresses that users name, against real servers on loopback, which only the rules of a test allow."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import web

from orchestrator.domain.errors import AddressForbidden, AddressUnreachable
from orchestrator.domain.outbound import AddressRules
from orchestrator.outbound.client import OutboundClient

ONLY_FIRST = AddressRules((ip_network("127.0.0.1"),))


@contextlib.asynccontextmanager
async def served(host: str, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    site = web.TCPSite(runner, host, 0)
    await site.start()
    try:
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def client(rules: AddressRules) -> AsyncIterator[OutboundClient]:
    outbound = OutboundClient(rules)
    try:
        yield outbound
    finally:
        await outbound.close()


async def fetched(outbound: OutboundClient, url: str, redirects: int = 3, seconds: float = 20.0) -> tuple[int, bytes]:
    async with outbound.request("GET", url, total_seconds=seconds, redirects=redirects) as response:
        return response.status, await response.read()


async def test_an_allowed_address_answers_and_any_other_is_never_connected_to() -> None:
    visits: list[str] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        visits.append(request.path)
        return web.Response(text="hello")

    async with served("127.0.0.1", answer) as url, client(ONLY_FIRST) as allowed, client(AddressRules()) as strict:
        port = url.rpartition(":")[2]
        assert await fetched(allowed, url + "/1") == (200, b"hello")
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
            with pytest.raises(AddressForbidden):
                await fetched(strict, f"http://{host}:{port}/2")
        for odd in ("localhost.", "127.0.0.1.", "0x7f000001", "2130706433", "127.1", "0177.0.0.1"):
            with pytest.raises((AddressForbidden, AddressUnreachable)):
                await fetched(strict, f"http://{odd}:{port}/3")
    assert visits == ["/1"]


async def test_a_redirect_is_followed_only_to_where_a_first_request_may_go() -> None:
    secrets: list[str] = []

    async def secret(request: web.BaseRequest) -> web.Response:
        secrets.append(request.path)
        return web.Response(text="secret")

    async with served("127.0.0.2", secret) as inside:
        targets = {"/inside": inside, "/file": "file:///etc/passwd", "/loop": "/loop", "/there": "/end"}

        async def answer(request: web.BaseRequest) -> web.Response:
            target = targets.get(request.path)
            return web.Response(status=302, headers={"Location": target}) if target else web.Response(text="end")

        async with served("127.0.0.1", answer) as url, client(ONLY_FIRST) as outbound:
            assert await fetched(outbound, url + "/there") == (200, b"end")
            assert (await fetched(outbound, url + "/there", redirects=0))[0] == 302
            with pytest.raises(AddressForbidden):
                await fetched(outbound, url + "/inside")
            for path in ("/file", "/loop"):
                with pytest.raises(AddressUnreachable):
                    await fetched(outbound, url + path)
    assert secrets == []


async def test_a_name_that_resolves_to_another_address_the_second_time_gains_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    visits: list[str] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        visits.append(request.host)
        return web.Response(text="x")

    answers = iter([["93.184.216.34"], ["127.0.0.1"], ["93.184.216.34", "127.0.0.1"]])
    asked = 0

    def resolve(*_args: Any, **_kwargs: Any) -> list[Any]:
        nonlocal asked
        asked += 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(answers)]

    async with served("127.0.0.1", answer) as url, client(AddressRules()) as outbound:
        port = int(url.rpartition(":")[2])
        loop = asyncio.get_running_loop()

        async def getaddrinfo(*args: Any, **kwargs: Any) -> list[Any]:
            return resolve(*args, **kwargs)

        connected: list[Any] = []

        async def connect(sock: socket.socket, address: Any) -> None:
            connected.append(address)
            raise ConnectionRefusedError

        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        monkeypatch.setattr(loop, "sock_connect", connect)
        with pytest.raises(AddressUnreachable):
            await fetched(outbound, f"http://rebinding.test:{port}/")
        for name in ("later", "mixed"):
            with pytest.raises(AddressForbidden):
                await fetched(outbound, f"http://{name}.test:{port}/")
    assert ({address[0] for address in connected}, visits, asked) == ({"93.184.216.34"}, [], 3)


async def test_what_can_t_be_reached_is_told_without_the_address() -> None:
    stop = asyncio.Event()

    async def hang(_request: web.BaseRequest) -> web.Response:
        await stop.wait()
        return web.Response()

    async with served("127.0.0.1", hang) as url, client(ONLY_FIRST) as outbound:
        with socket.create_server(("127.0.0.1", 0)) as unused:
            closed = unused.getsockname()[1]
        for address, words in (
            (url, "in time"),
            (f"http://127.0.0.1:{closed}", "Nothing takes"),
            ("http://no.invalid/", "name"),
        ):
            with pytest.raises(AddressUnreachable) as caught:
                await fetched(outbound, address + "/secret", seconds=0.5)
            assert words in caught.value.message
            assert "secret" not in caught.value.message
        stop.set()
