"""How connections are taken in, by the loop that the service runs on."""

import asyncio
import errno
import os
import resource
import socket
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop
from aiohttp import web

from orchestrator.api import listener
from orchestrator.api.listener import Site
from tests.support.waiting import eventually

MANY = 200


def on_uvloop(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test())


async def serving(**handlers: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.AppRunner:
    app = web.Application()
    for name, handler in handlers.items():
        app.router.add_get(f"/{name}", handler)
    runner = web.AppRunner(app, shutdown_timeout=5.0)
    await runner.setup()
    return runner


async def hello(_request: web.Request) -> web.Response:
    return web.Response(text="hello")


async def connected(address: str | tuple[str, int]) -> list[socket.socket]:
    """As many as wait, connected before the loop turns again."""
    clients = []
    for _ in range(MANY):
        client = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        client.connect(address)
        clients.append(client)
    return clients


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_all_that_wait_are_taken_in_at_once(kind: str, short_path: Path) -> None:
    async def test() -> None:
        runner = await serving(hello=hello)
        path = str(short_path / "socket")
        await (Site.tcp(runner, "127.0.0.1", 0) if kind == "tcp" else Site.unix(runner, path)).start()
        clients = await connected(runner.addresses[0] if kind == "tcp" else path)
        assert runner.server is not None
        turns = 0
        while len(runner.server.connections) < MANY:
            await asyncio.sleep(0)
            turns += 1
            assert turns < 20, f"{len(runner.server.connections)} of {MANY} after {turns} turns of the loop"
        for client in clients:
            client.close()
        await runner.cleanup()

    on_uvloop(test)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "::1", "localhost"])
def test_it_listens_where_it_is_told_to(host: str) -> None:
    async def test() -> None:
        runner = await serving(hello=hello)
        await Site.tcp(runner, host, 0).start()
        port = runner.addresses[0][1]
        at = "[::1]" if ":" in host else "127.0.0.1" if host == "0.0.0.0" else host
        async with aiohttp.ClientSession() as http, http.get(f"http://{at}:{port}/hello") as response:
            assert await response.text() == "hello"
        await runner.cleanup()

    on_uvloop(test)


def test_an_address_that_is_taken_is_refused() -> None:
    async def test() -> None:
        first, second = await serving(hello=hello), await serving(hello=hello)
        await Site.tcp(first, "127.0.0.1", 0).start()
        with pytest.raises(OSError, match="in use") as refused:
            await Site.tcp(second, "127.0.0.1", first.addresses[0][1]).start()
        assert refused.value.errno == errno.EADDRINUSE
        await second.cleanup()
        await first.cleanup()

    on_uvloop(test)


def test_at_the_end_nobody_new_is_taken_in_and_what_is_under_way_is_answered() -> None:
    async def test() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slow(_request: web.Request) -> web.Response:
            begun.set()
            await go_on.wait()
            return web.Response(text="done")

        runner = await serving(slow=slow)
        await Site.tcp(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        async with aiohttp.ClientSession() as http:
            asked = asyncio.create_task(http.get(f"http://{host}:{port}/slow"))
            await begun.wait()
            ending = asyncio.create_task(runner.cleanup())

            async def refuses() -> bool:
                with socket.socket() as client:
                    return client.connect_ex((host, port)) == errno.ECONNREFUSED

            await eventually(refuses)
            go_on.set()
            assert await (await asked).text() == "done"
            await ending

    on_uvloop(test)


def test_without_room_for_another_connection_it_waits_until_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_NO_ROOM_SECONDS", 0.01)

    async def test() -> None:
        runner = await serving(hello=hello)
        await Site.tcp(runner, "127.0.0.1", 0).start()
        assert runner.server is not None
        client = socket.create_connection(runner.addresses[0])
        lowest_free = os.dup(client.fileno())
        os.close(lowest_free)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
        try:
            for _ in range(20):
                await asyncio.sleep(0)
            assert runner.server.connections == []
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)

        async def taken_in() -> bool:
            return runner.server is not None and len(runner.server.connections) == 1

        await eventually(taken_in)
        client.close()
        await runner.cleanup()

    on_uvloop(test)
