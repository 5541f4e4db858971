"""Heartbeats, presence, and who counts as dead, on a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import sqlalchemy as sa

from orchestrator.domain.errors import DatabaseUnavailable
from orchestrator.domain.session import DesiredState
from orchestrator.store.database import Database
from orchestrator.store.leases import LeaseStore
from orchestrator.store.replicas import PRESENCE_CLASS, RETURN_SECONDS, SILENT_SECONDS, Own, ReplicaStore
from orchestrator.store.sealing import Sealer
from orchestrator.store.sessions import SessionStore
from tests.support.waiting import eventually

TTL = 30.0
ALWAYS = 1e9
KEY = b"k" * 32
OWN = Own("http://10.0.0.1:8080", 3, ready=True)

Make = Callable[[str], ReplicaStore]


@pytest.fixture
async def replica(database: Database, database_url: str) -> AsyncIterator[Make]:
    made: list[ReplicaStore] = []

    def make(replica_id: str) -> ReplicaStore:
        made.append(ReplicaStore(database_url, replica_id, TTL, f"token of {replica_id}", Sealer([KEY])))
        return made[-1]

    yield make
    for store in made:
        await store.close()


@pytest.fixture
async def long_running(database: Database) -> None:
    """A server whose start is long enough ago that nobody is on the way back to it."""

    async def ran() -> bool:
        async with database.begin() as connection:
            age = sa.text("SELECT extract(epoch FROM now() - pg_postmaster_start_time())")
            return float((await connection.execute(age)).scalar_one()) > 2 * RETURN_SECONDS

    await eventually(ran, 3 * RETURN_SECONDS)


async def silence(database: Database, replica_id: str, seconds: float) -> None:
    async with database.begin() as connection:
        quiet = sa.text("UPDATE replicas SET renewed_at = now() - make_interval(secs => :s) WHERE replica_id = :id")
        await connection.execute(quiet, {"s": seconds, "id": replica_id})


async def execute(database: Database, statement: str) -> None:
    async with database.begin() as connection:
        await connection.execute(sa.text(statement))


async def test_a_replica_sees_what_the_others_say_of_themselves(replica: Make) -> None:
    assert (await replica("a").renew(OWN)).others == []
    (seen,) = (await replica("b").renew(OWN)).others
    assert (seen.replica_id, seen.address, seen.held, seen.ready) == ("a", OWN.address, 3, True)
    assert seen.peer_token == "token of a"
    assert "token" not in repr(seen)


async def test_the_token_of_a_replica_is_sealed_in_its_row(database: Database, replica: Make) -> None:
    await replica("a").renew(OWN)
    async with database.begin() as connection:
        stored = (await connection.execute(sa.text("SELECT peer_token FROM replicas"))).scalar_one()
    assert b"token of a" not in bytes(stored)


async def test_a_replica_without_the_key_of_the_others_can_not_talk_to_them(database_url: str, replica: Make) -> None:
    await replica("a").renew(OWN)
    stranger = ReplicaStore(database_url, "b", TTL, "t", Sealer([]))
    (seen,) = (await stranger.renew(OWN)).others
    await stranger.close()
    assert seen.peer_token is None


@pytest.mark.parametrize(
    ("present", "silent", "dead"),
    [
        (False, SILENT_SECONDS + 1, True),
        (True, SILENT_SECONDS + 1, False),
        (True, TTL + 1, True),
        (False, 0.0, False),
    ],
    ids=["absent and silent", "present and silent", "present and silent for its term", "absent and heard of"],
)
@pytest.mark.usefixtures("long_running")
async def test_a_replica_is_dead_only_when_it_is_absent_and_silent_or_silent_for_its_term(
    database: Database, replica: Make, present: bool, silent: float, dead: bool
) -> None:
    await SessionStore(database).create("t", "s")
    (lease,) = await LeaseStore(database, "a", TTL).claim(1)
    if present:
        await replica("a").renew(OWN)
    await silence(database, "a", silent)
    assert await replica("b").bury(ALWAYS) == ((["a"], 1) if dead else ([], 0))
    assert [taken.epoch for taken in await LeaseStore(database, "b", TTL).claim(9)] == (
        [lease.epoch + 1] if dead else []
    )


@pytest.mark.usefixtures("long_running")
async def test_who_was_cut_off_itself_takes_nobody_for_dead_before_it_could_have_heard_them(
    database: Database, replica: Make
) -> None:
    await LeaseStore(database, "absent", TTL).claim(1)
    await replica("present").renew(OWN)
    for name in ("absent", "present"):
        await silence(database, name, 2 * TTL)
    judge = replica("b")
    assert await judge.bury(SILENT_SECONDS / 2) == ([], 0)
    assert await judge.bury(SILENT_SECONDS + 1) == (["absent"], 0)
    assert await judge.bury(TTL + 1) == (["present"], 0)


async def test_a_replica_that_claims_at_this_moment_is_not_buried(database: Database, replica: Make) -> None:
    """The row lock decides: whoever judges waits for the claim, and finds that it was one."""
    await SessionStore(database).create("t", "s")
    leases = LeaseStore(database, "a", TTL)
    await leases.claim(0)
    await silence(database, "a", 1000)
    async with database.begin() as connection:
        alive = "UPDATE replicas SET renewed_at = now() WHERE replica_id = 'a'"
        await connection.execute(sa.text(alive))
        burying = asyncio.create_task(replica("b").bury(ALWAYS))
        await asyncio.wait((burying,), timeout=0.3)
    assert await burying == ([], 0)
    assert len(await leases.claim(1)) == 1


async def test_a_clock_that_was_set_back_makes_nobody_immortal(database: Database, replica: Make) -> None:
    await LeaseStore(database, "a", TTL).claim(1)
    await silence(database, "a", -3600)
    await replica("b").renew(OWN)
    async with database.begin() as connection:
        age = sa.text("SELECT extract(epoch FROM renewed_at - now()) FROM replicas WHERE replica_id = 'a'")
        assert float((await connection.execute(age)).scalar_one()) <= 1


async def test_freed_leases_and_wishes_are_told_at_once(database: Database, replica: Make) -> None:
    await SessionStore(database).create("t", "s")
    leases = LeaseStore(database, "a", TTL)
    held = await leases.claim(1)
    listening = replica("b")
    await listening.renew(OWN)
    waiting = asyncio.create_task(listening.changed(30))
    await asyncio.sleep(0)
    await leases.release(held)
    assert await waiting
    assert not await listening.changed(0.1)
    await SessionStore(database).desire(held[0].session_ref, DesiredState.STOPPED)
    assert await listening.changed(30)


async def test_a_replica_that_leaves_is_forgotten_unless_it_keeps_a_lease_for_a_journal(
    database: Database, replica: Make
) -> None:
    await SessionStore(database).create("t", "s")
    leases, store = LeaseStore(database, "a", TTL), replica("a")
    await store.renew(OWN)
    held = await leases.claim(1)
    await store.leave()
    assert len((await replica("b").renew(OWN)).others) == 1
    await leases.release(held)
    await store.leave()
    assert (await replica("c").renew(OWN)).others[0].replica_id == "b"


async def test_presence_that_a_pooler_lost_is_taken_again(database: Database, replica: Make) -> None:
    store = replica("a")
    await store.renew(OWN)
    await store.renew(OWN)
    assert store._connection is not None
    await store._connection.execute("SELECT pg_advisory_unlock_all()")
    assert await locks(database) == 0
    await store.renew(OWN)
    assert await locks(database) == 1


async def test_presence_ends_with_its_connection_and_comes_back_over_a_new_one(
    database: Database, replica: Make
) -> None:
    store = replica("a")
    await store.renew(OWN)
    assert await locks(database) == 1
    await execute(
        database,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'orchestrator presence'",
    )
    await eventually(lambda: no_locks(database))
    with pytest.raises(DatabaseUnavailable):
        await store.renew(OWN)
    await store.renew(OWN)
    assert await locks(database) == 1


async def locks(database: Database) -> int:
    async with database.begin() as connection:
        statement = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = :class")
        return int((await connection.execute(statement, {"class": PRESENCE_CLASS})).scalar_one())


async def no_locks(database: Database) -> bool:
    return await locks(database) == 0
