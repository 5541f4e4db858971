"""Sending, with the sidecar's control API on the wire as tests/contract has it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from orchestrator.domain.errors import DatabaseUnavailable, SessionNotFound, SessionNotOpen
from orchestrator.services.leases import LeaseBook
from orchestrator.services.messaging import Messaging
from orchestrator.services.shards import Shard, Shards
from orchestrator.sidecar.client import SidecarClient
from orchestrator.store.database import Database
from orchestrator.store.leases import LeaseStore
from orchestrator.store.sessions import SessionStore
from tests.support.processes import free_port

SENT: dict[str, Any] = json.loads(Path("tests/contract/control-message.json").read_text())["response"]["body"]


async def restart() -> None:
    raise AssertionError


@pytest.fixture
async def sidecars() -> AsyncIterator[Shards]:
    """Answers every send as the example does."""

    async def send(request: web.Request) -> web.Response:
        return web.json_response(SENT)

    app = web.Application()
    app.router.add_post("/v1/sessions/{ref}/messages", send)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        yield Shards([Shard("baileys", SidecarClient(http, runner.addresses[0][1], "t" * 64), restart)])
    await runner.cleanup()


async def test_a_session_that_is_held_here_sends_while_the_database_is_away(
    database: Database, sidecars: Shards
) -> None:
    await SessionStore(database).create("t", "s")
    book = LeaseBook(LeaseStore(database, "a", 30.0))
    (lease,) = await book.claim(1)
    sidecars.settle(lease.session_ref, next(iter(sidecars)))
    nobody = Database(f"postgresql://orchestrator@127.0.0.1:{free_port()}/none")
    messaging = Messaging(SessionStore(nobody), book, sidecars)
    assert await messaging.send_text("t", "s", "5511999990000", "hello") == (SENT["message_id"], SENT["to"])
    with pytest.raises(DatabaseUnavailable):
        await messaging.send_text("another tenant", "s", "5511999990000", "hello")
    await nobody.close()


async def test_a_session_that_is_not_held_here_is_told_from_one_that_is_not(
    database: Database, sidecars: Shards
) -> None:
    sessions = SessionStore(database)
    await sessions.create("t", "s")
    messaging = Messaging(sessions, LeaseBook(LeaseStore(database, "a", 30.0)), sidecars)
    with pytest.raises(SessionNotOpen):
        await messaging.send_text("t", "s", "5511999990000", "hello")
    with pytest.raises(SessionNotFound):
        await messaging.send_text("t", "none", "5511999990000", "hello")
