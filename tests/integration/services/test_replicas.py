"""A replica among others, on a real PostgreSQL, with a clock of its own and other replicas on the wire."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
import sqlalchemy as sa
from aiohttp import web

from orchestrator.domain.errors import DatabaseUnavailable
from orchestrator.peer.client import DATABASE_PATH, PeerClient
from orchestrator.services import replicas
from orchestrator.services.leases import LeaseBook
from orchestrator.services.replicas import Replicas
from orchestrator.store.database import Database
from orchestrator.store.leases import LeaseStore
from orchestrator.store.replicas import RETURN_SECONDS, SILENT_SECONDS, Own, ReplicaStore
from orchestrator.store.sealing import Sealer
from tests.support.postgres import out_of_reach
from tests.support.waiting import eventually

TTL = 8.0


@dataclass
class Peer:
    """Another replica, as far as this one can ask it; ``reaches`` None doesn't answer."""

    port: int = 0
    reaches: bool | None = False
    journal: bool = False
    asked_with: set[str] = field(default_factory=set)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, request: web.Request) -> web.Response:
        self.asked_with.add(request.headers["Authorization"])
        if self.reaches is None:
            return web.Response(status=500)
        return web.json_response({"database": self.reaches, "journal": self.journal})


@dataclass
class Here:
    replicas: Replicas
    ahead: list[float]
    """By how much its clock is ahead of the true one; a list, so that it can be changed."""


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer, app = Peer(), web.Application()
    app.router.add_get(DATABASE_PATH, peer.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    peer.port = runner.addresses[0][1]
    yield peer
    await runner.cleanup()


@pytest.fixture
async def here(database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Here]:
    monkeypatch.setattr("orchestrator.peer.client._QUESTION_SECONDS", 30.0)  # the machine may take its time
    async with aiohttp.ClientSession() as http:
        ahead = [0.0]
        store = ReplicaStore(database_url, "here", TTL, "t", Sealer([]))
        book = LeaseBook(LeaseStore(database, "here", TTL))
        replicas = Replicas(store, book, PeerClient(http, "here"), port=1, clock=lambda: time.monotonic() + ahead[0])
        yield Here(replicas, ahead)
        await replicas.close()


@contextlib.asynccontextmanager
async def another(database_url: str, address: str | None = None) -> AsyncIterator[None]:
    store = ReplicaStore(database_url, "there", TTL, "token of there", Sealer([]))
    await store.renew(Own(address, 0, ready=True))
    yield
    await store.close()


async def silence(database: Database, seconds: float) -> None:
    async with database.begin() as connection:
        quiet = sa.text("UPDATE replicas SET renewed_at = now() - make_interval(secs => :s) WHERE replica_id = 'there'")
        await connection.execute(quiet, {"s": seconds})


async def long_running(database: Database) -> None:
    async def ran() -> bool:
        async with database.begin() as connection:
            age = sa.text("SELECT extract(epoch FROM now() - pg_postmaster_start_time())")
            return float((await connection.execute(age)).scalar_one()) > 2 * RETURN_SECONDS

    await eventually(ran, 3 * RETURN_SECONDS)


async def test_who_came_back_from_an_outage_buries_others_only_after_it_could_have_heard_them(
    here: Here, database: Database, postgres_server: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "SUCCESSOR_GRACE_SECONDS", 0.0)
    await here.replicas.renew()
    async with another(database_url):
        pass
    await long_running(database)
    with out_of_reach(postgres_server, database_url), pytest.raises(DatabaseUnavailable):
        await here.replicas.renew()
    assert not here.replicas.reaches_database
    await silence(database, 2 * TTL)
    back_at = time.monotonic()

    async def gone() -> bool:
        await here.replicas.renew()
        return here.replicas.others == {}

    assert not await gone()
    await eventually(gone, 5 * SILENT_SECONDS)
    assert time.monotonic() - back_at > SILENT_SECONDS


async def test_a_journal_of_an_outage_is_left_to_a_replica_that_is_cut_off_for_longer_than_this_one(
    here: Here, peer: Peer, database: Database, postgres_server: str, database_url: str
) -> None:
    """It would be lost, and the message numbers in it used again, if the sessions were taken over before it is written."""
    await here.replicas.renew()
    async with another(database_url, peer.address):
        await here.replicas.renew()
    await long_running(database)
    with out_of_reach(postgres_server, database_url), pytest.raises(DatabaseUnavailable):
        await here.replicas.renew()
    peer.journal = True
    await silence(database, 10 * TTL)
    back_at = time.monotonic()

    async def others() -> set[str]:
        for _ in range(2):  # the first one buries, the second one looks
            await here.replicas.renew()
        return set(here.replicas.others)

    async def judged() -> bool:
        assert await others() == {"there"}
        return time.monotonic() - back_at > SILENT_SECONDS + 1

    async def gone() -> bool:
        return await others() == set()

    await eventually(judged, 5 * SILENT_SECONDS)
    assert peer.asked_with == {"Bearer token of there"}
    peer.journal = False
    await eventually(gone, 5 * SILENT_SECONDS)


async def test_the_sessions_of_one_that_died_in_an_outage_are_left_for_a_while_to_its_successor(
    here: Here, database: Database, postgres_server: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have taken messages into its journal, of which nobody else knows."""
    monkeypatch.setattr(replicas, "SUCCESSOR_GRACE_SECONDS", SILENT_SECONDS + 3)
    await here.replicas.renew()
    async with another(database_url):
        await here.replicas.renew()
    await long_running(database)
    with out_of_reach(postgres_server, database_url), pytest.raises(DatabaseUnavailable):
        await here.replicas.renew()
    await silence(database, 10 * TTL)
    back_at = time.monotonic()

    async def gone() -> bool:
        await here.replicas.renew()
        return here.replicas.others == {}

    await eventually(gone, 5 * SILENT_SECONDS)
    assert time.monotonic() - back_at > SILENT_SECONDS + 3


async def test_a_new_replica_leaves_the_sessions_of_one_that_saw_the_server_restart_to_its_successor(
    here: Here, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The restart is all that it can know of an outage before its time: an older replica may have written a journal in it."""
    async with another(database_url):
        pass
    await silence(database, 10 * TTL)
    await long_running(database)
    for started, seen in (("- interval '1 second'", {"there"}), ("+ interval '1 second'", set())):
        async with database.begin() as connection:
            born = f"UPDATE replicas SET started_at = pg_postmaster_start_time() {started} WHERE replica_id = 'there'"
            await connection.execute(sa.text(born))
        monkeypatch.setattr(replicas, "SUCCESSOR_GRACE_SECONDS", 3600.0)
        for _ in range(2):  # the first one buries, the second one looks
            await here.replicas.renew()
        assert set(here.replicas.others) == seen


async def test_a_new_replica_asks_the_silent_ones_whether_they_have_a_journal(
    here: Here, peer: Peer, database: Database, database_url: str
) -> None:
    """It may have come up after an outage of all that others took messages in, and one of them may still be cut off."""
    async with another(database_url, peer.address):
        pass
    await silence(database, 10 * TTL)
    await long_running(database)
    for peer.journal, seen in ((True, {"there"}), (False, set())):
        for _ in range(2):
            await here.replicas.renew()
        assert set(here.replicas.others) == seen


async def test_one_that_said_that_it_is_cut_off_because_it_hung_leaves_others_the_journal_that_they_began(
    here: Here, peer: Peer, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await here.replicas.renew()
    monkeypatch.setattr(replicas, "JOURNAL_GRACE_SECONDS", SILENT_SECONDS / 2)  # this process is no longer new
    await long_running(database)

    async def hung() -> bool:
        return not here.replicas.reaches_database

    await eventually(hung, 2 * SILENT_SECONDS)
    async with another(database_url, peer.address):
        pass
    await silence(database, 10 * TTL)
    peer.journal = True
    for _ in range(2):
        await here.replicas.renew()
    assert set(here.replicas.others) == {"there"}


async def test_a_jump_of_the_database_s_clock_makes_nobody_dead(
    here: Here, database: Database, database_url: str
) -> None:
    await here.replicas.renew()
    async with another(database_url):
        pass
    await long_running(database)
    await silence(database, 2 * TTL)
    here.ahead[0] = 3600.0  # as if the server's clock went back by as much
    for _ in range(2):
        await here.replicas.renew()
        assert here.replicas.others.keys() == {"there"}


async def test_a_slow_heartbeat_is_no_jump_of_the_clock(
    here: Here, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise nobody would be taken over as long as the database is slow."""
    monkeypatch.setattr(replicas, "JOURNAL_GRACE_SECONDS", 0.0)
    await here.replicas.renew()
    async with another(database_url):
        pass
    await long_running(database)
    slow = asyncio.create_task(here.replicas.renew())
    await asyncio.sleep(0)  # it has asked
    here.ahead[0] = 3.0  # and its answer takes that long
    await slow
    await here.replicas.renew()
    await silence(database, 2 * TTL)
    for _ in range(2):  # the first one buries, the second one looks
        await here.replicas.renew()
    assert here.replicas.others == {}


async def test_what_only_a_journal_has_is_at_risk_only_while_another_replica_may_have_the_database(
    here: Here, peer: Peer, postgres_server: str, database_url: str
) -> None:
    def at_risk() -> bool:
        return here.replicas.may_be_taken_over

    await here.replicas.renew()
    assert not at_risk()
    async with another(database_url, peer.address):
        await here.replicas.renew()
        assert at_risk()
    with out_of_reach(postgres_server, database_url):
        for peer.reaches, expected in ((True, True), (None, True), (False, False)):
            with pytest.raises(DatabaseUnavailable):
                await here.replicas.renew()
            assert at_risk() is expected
    assert peer.asked_with == {"Bearer token of there"}
    await here.replicas.renew()
    assert at_risk()


async def test_its_own_address_is_what_the_database_sees_or_what_was_set(database: Database, database_url: str) -> None:
    book = LeaseBook(LeaseStore(database, "a", TTL))
    async with aiohttp.ClientSession() as http:
        for replica_id, given, told in (
            ("a", None, "http://127.0.0.1:8080"),
            ("b", "http://10.0.0.7:9", "http://10.0.0.7:9"),
        ):
            store = ReplicaStore(database_url, replica_id, TTL, "t", Sealer([]))
            replicas = Replicas(store, book, PeerClient(http, replica_id), port=8080, address=given)
            await replicas.renew()
            await replicas.renew()
            await replicas.close()
            async with database.begin() as connection:
                stored = sa.text("SELECT address FROM replicas WHERE replica_id = :id")
                assert (await connection.execute(stored, {"id": replica_id})).scalar_one() == told
