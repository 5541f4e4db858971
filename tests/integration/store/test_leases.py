import asyncio
import contextlib
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from orchestrator.domain.errors import LeaseBusy
from orchestrator.domain.session import ConnectionState, DesiredState, Lease, SetAsideBy, Wish
from orchestrator.services.leases import LeaseBook
from orchestrator.store.database import Database
from orchestrator.store.leases import LeaseStore
from orchestrator.store.replicas import ABANDONED_SECONDS, RETURN_SECONDS, Own, ReplicaStore
from orchestrator.store.sealing import Sealer
from orchestrator.store.sessions import SessionStore
from tests.support.waiting import eventually

TTL = 30.0


@pytest.fixture
async def sessions(database: Database) -> SessionStore:
    return SessionStore(database)


def store(database: Database, owner: str, ttl: float = TTL) -> LeaseStore:
    return LeaseStore(database, owner, ttl)


async def bury(database: Database, database_url: str, dead: str) -> None:
    """Another replica finds this one dead: it hasn't been heard of for an hour."""
    async with database.begin() as connection:
        silent = sa.text("UPDATE replicas SET renewed_at = now() - interval '1 hour' WHERE replica_id = :dead")
        await connection.execute(silent, {"dead": dead})
    undertaker = ReplicaStore(database_url, "undertaker", TTL, "t", Sealer([]))

    async def buried() -> bool:
        return dead in (await undertaker.bury(1e9))[0]

    await eventually(buried, 2 * RETURN_SECONDS)  # a server that has just started allows for replicas that come back
    await undertaker.close()


async def claim_one(database: Database, owner: str) -> Lease:
    (lease,) = await store(database, owner).claim(10)
    return lease


async def test_only_sessions_that_should_run_are_claimed(database: Database, sessions: SessionStore) -> None:
    await sessions.create("t", "runs")
    await sessions.create("t", "stopped")
    await sessions.desire((await sessions.get("t", "stopped")).session_ref, DesiredState.STOPPED)
    assert [lease.session_id for lease in await store(database, "a").claim(10)] == ["runs"]


async def test_a_held_lease_is_nobody_elses_until_its_owner_is_dead(
    database: Database, database_url: str, sessions: SessionStore
) -> None:
    await sessions.create("t", "s")
    first = await claim_one(database, "a")
    assert await store(database, "b").claim(10) == []
    await bury(database, database_url, "a")
    second = await claim_one(database, "b")
    assert (first.epoch, second.epoch) == (1, 2)


async def test_what_a_replica_holds_it_does_not_claim_again(database: Database, sessions: SessionStore) -> None:
    await sessions.create("t", "s")
    lease = await claim_one(database, "a")
    assert await store(database, "a").claim(10, [lease.session_ref]) == []
    assert await store(database, "a").renew([lease], {}) == {lease.session_ref: Wish.RUN}


async def test_a_replica_that_was_taken_for_dead_finds_out_and_may_claim_what_is_still_free(
    database: Database, database_url: str, sessions: SessionStore
) -> None:
    await sessions.create("t", "s")
    lease = await claim_one(database, "a")
    await bury(database, database_url, "a")
    assert await store(database, "a").renew([lease], {}) == {}
    assert not await store(database, "a").is_ours(lease)
    assert (await claim_one(database, "a")).epoch == lease.epoch + 1


async def test_leases_are_counted_without_those_of_others_or_of_sessions_that_should_not_run(
    database: Database, sessions: SessionStore
) -> None:
    for name in ("free", "stopped", "ours", "theirs"):
        await sessions.create("t", name)
    await sessions.desire((await sessions.get("t", "stopped")).session_ref, DesiredState.STOPPED)
    await store(database, "a").claim(1)
    await store(database, "b").claim(1)
    assert await store(database, "a").free() == (1, 1)


async def test_the_leases_of_a_replica_of_the_version_before_run_out_by_themselves(
    database: Database, database_url: str, sessions: SessionStore
) -> None:
    await sessions.create("t", "s")
    async with database.begin() as connection:
        old = "UPDATE leases SET owner = 'old', epoch = 7, expires_at = now() + interval '1 hour'"
        await connection.execute(sa.text(old))
    replica, own = ReplicaStore(database_url, "a", TTL, "t", Sealer([])), Own(None, 0, ready=True)
    assert (await replica.renew(own)).ran_out == 0
    assert await store(database, "a").claim(1) == []
    assert (await sessions.get("t", "s")).lease_held
    async with database.begin() as connection:
        await connection.execute(sa.text("UPDATE leases SET expires_at = now()"))
    assert (await replica.renew(own)).ran_out == 1
    await replica.close()
    assert (await claim_one(database, "a")).epoch == 8


async def test_a_session_that_the_version_before_made_gets_its_lease(
    database: Database, sessions: SessionStore
) -> None:
    await sessions.create("t", "s")
    async with database.begin() as connection:
        await connection.execute(sa.text("DELETE FROM leases"))
    await store(database, "a").complete()
    assert (await claim_one(database, "a")).epoch == 1


async def test_a_lease_of_ours_that_nobody_here_knows_of_is_taken_back_at_once(
    database: Database, sessions: SessionStore
) -> None:
    await sessions.create("t", "s")
    await claim_one(database, "a")
    assert (await claim_one(database, "a")).epoch == 2


async def test_a_book_that_slept_asks_postgresql_whether_the_lease_is_still_its_own(
    database: Database, database_url: str, sessions: SessionStore
) -> None:
    await sessions.create("t", "s")
    book = LeaseBook(store(database, "a"))
    (lease,) = await book.claim(1)
    assert await book.check(lease.session_ref, lease.epoch)
    await bury(database, database_url, "a")
    await claim_one(database, "b")
    assert book.current(lease.session_ref, lease.epoch) == lease
    assert not await book.check(lease.session_ref, lease.epoch)


async def test_a_release_does_not_forget_a_lease_that_was_advanced_meanwhile(
    database: Database, sessions: SessionStore
) -> None:
    await sessions.create("t", "s")
    book = LeaseBook(store(database, "a"))
    (lease,) = await book.claim(1)
    advancing = asyncio.create_task(book.advance(lease))
    await asyncio.gather(advancing, book.release([lease.session_ref]))
    held = await store(database, "a").held()
    assert list(book.held.values()) == held


async def test_two_replicas_that_claim_at_once_share_the_sessions(database: Database, sessions: SessionStore) -> None:
    for number in range(20):
        await sessions.create("t", f"s{number}")
    claims = await asyncio.gather(*(store(database, owner).claim(20) for owner in ("a", "b", "c")))
    taken = [lease.session_id for claim in claims for lease in claim]
    assert len(taken) == len(set(taken))
    rest = await store(database, "d").claim(20)
    assert len(taken) + len(rest) == 20


async def test_renewal_names_what_is_still_held_and_whether_it_is_wanted(
    database: Database, sessions: SessionStore
) -> None:
    for name in ("kept", "lost", "unwanted"):
        await sessions.create("t", name)
    leases = {lease.session_id: lease for lease in await store(database, "a").claim(10)}
    await sessions.desire(leases["unwanted"].session_ref, DesiredState.STOPPED)
    async with database.begin() as connection:
        taken = sa.text("UPDATE leases SET owner = 'b', epoch = epoch + 1 WHERE session_ref = :ref")
        await connection.execute(taken, {"ref": leases["lost"].session_ref})
    renewed = await store(database, "a").renew(list(leases.values()), {})
    assert renewed == {leases["kept"].session_ref: Wish.RUN, leases["unwanted"].session_ref: Wish.STOP}


async def test_renewal_records_the_last_backup(database: Database, sessions: SessionStore) -> None:
    await sessions.create("t", "s")
    lease = await claim_one(database, "a")
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    await store(database, "a").renew([lease], {lease.session_ref: moment})
    await store(database, "a").renew([lease], {})
    assert (await sessions.get("t", "s")).last_backup_at == moment


async def test_a_released_lease_is_free_at_once_and_its_epoch_goes_on(
    database: Database, sessions: SessionStore
) -> None:
    await sessions.create("t", "s")
    lease = await claim_one(database, "a")
    await store(database, "a").release([lease])
    assert (await claim_one(database, "b")).epoch == lease.epoch + 1


async def test_a_late_release_does_not_free_what_another_owner_took(
    database: Database, database_url: str, sessions: SessionStore
) -> None:
    await sessions.create("t", "s")
    lease = await claim_one(database, "a")
    await bury(database, database_url, "a")
    await claim_one(database, "b")
    await store(database, "a").release([lease])
    assert [held.epoch for held in await store(database, "b").held()] == [2]


async def test_advancing_fences_the_old_epoch_and_fails_once_the_lease_is_lost(
    database: Database, sessions: SessionStore
) -> None:
    await sessions.create("t", "s")
    lease = await claim_one(database, "a")
    assert await store(database, "a").advance(lease) == lease.epoch + 1
    assert await store(database, "a").advance(lease) is None


async def test_alone_on_an_embedded_database_all_other_leases_end(database: Database, sessions: SessionStore) -> None:
    await sessions.create("t", "s")
    await claim_one(database, "dead")
    await store(database, "alive").end_others()
    assert (await claim_one(database, "alive")).epoch == 2


async def test_a_journal_survives_the_start_that_ends_all_other_leases(
    database: Database, sessions: SessionStore
) -> None:
    await sessions.create("t", "s")
    died = await claim_one(database, "dead")
    await store(database, "alive").end_others()
    recovered = await store(database, "alive").recover(died.session_ref, 1, died.epoch)
    assert recovered is not None
    assert recovered.epoch == died.epoch + 1


async def test_the_lease_of_a_journal_is_recovered_only_if_nobody_ran_the_session_since(
    database: Database, database_url: str, sessions: SessionStore
) -> None:
    await sessions.create("t", "s")
    died = await claim_one(database, "a")
    with pytest.raises(LeaseBusy):
        await store(database, "b").recover(died.session_ref, 1, died.epoch)
    again = await store(database, "a").recover(died.session_ref, 1, died.epoch)
    assert again is not None
    assert (again.session_id, again.epoch) == ("s", died.epoch + 1)
    await bury(database, database_url, "a")
    taken = await store(database, "b").recover(died.session_ref, 1, again.epoch)
    assert taken is not None
    assert taken.epoch == again.epoch + 1
    assert await store(database, "a").recover(died.session_ref, 1, died.epoch) is None
    with pytest.raises(LeaseBusy):
        await store(database, "a").recover(died.session_ref, 1, again.epoch)


async def test_a_successor_takes_what_its_journal_is_of_before_others_find_its_predecessor_dead(
    database: Database, database_url: str, sessions: SessionStore
) -> None:
    await sessions.create("t", "s")
    died = await claim_one(database, "died")
    predecessor = ReplicaStore(database_url, "died", TTL, "t", Sealer([]))
    await predecessor.renew(Own(None, 1, ready=True))
    silent = sa.text("UPDATE replicas SET renewed_at = now() - make_interval(secs => :s) WHERE replica_id = 'died'")

    async def recovered(seconds: float) -> Lease | None:
        async with database.begin() as connection:
            await connection.execute(silent, {"s": seconds})
        return await store(database, "successor").recover(died.session_ref, 1, died.epoch)

    with pytest.raises(LeaseBusy):  # silent, and present: something is slow
        await recovered(ABANDONED_SECONDS + 1)
    await predecessor.close()
    with pytest.raises(LeaseBusy):  # absent, and heard of not long ago
        await recovered(-60)

    async def taken() -> Lease | None:  # PostgreSQL may take a moment to notice that the connection is closed
        with contextlib.suppress(LeaseBusy):
            return await recovered(ABANDONED_SECONDS + 1)
        return None

    lease = await eventually(taken)
    assert lease is not None
    assert lease.epoch == died.epoch + 1
    assert await store(database, "other").claim(10) == []


async def test_a_recovery_that_did_not_hear_the_answer_may_ask_again_until_somebody_runs_the_session(
    database: Database, sessions: SessionStore
) -> None:
    await sessions.create("t", "s")
    died = await claim_one(database, "a")
    leases = store(database, "a")
    unheard = await leases.recover(died.session_ref, 1, died.epoch)
    recovered = await leases.recover(died.session_ref, 1, died.epoch)
    assert unheard is not None
    assert recovered is not None
    assert recovered.epoch == unheard.epoch + 1 == died.epoch + 2
    assert await leases.advance(recovered) is not None
    assert await leases.recover(died.session_ref, 1, died.epoch) is None
    died = await claim_one(database, "a")
    assert await leases.recover(died.session_ref, 1, died.epoch) is not None
    await claim_one(database, "a")
    assert await leases.recover(died.session_ref, 1, died.epoch) is None


async def test_the_lease_of_a_journal_of_another_generation_or_of_no_session_is_not_recovered(
    database: Database, sessions: SessionStore
) -> None:
    await sessions.create("t", "s")
    lease = await claim_one(database, "a")
    assert await store(database, "a").recover(lease.session_ref, 2, lease.epoch) is None
    assert await store(database, "a").recover(lease.session_ref + 1, 1, lease.epoch) is None
    await sessions.set_aside(lease, "a", SetAsideBy.WHATSAPP, "logged out", ConnectionState.QUARANTINED)
    for epoch in (lease.epoch, lease.epoch + 1):
        assert await store(database, "a").recover(lease.session_ref, 1, epoch) is None


async def test_a_recovered_lease_is_held_and_found_by_its_sessions_name(
    database: Database, sessions: SessionStore
) -> None:
    await sessions.create("t", "s")
    died = await claim_one(database, "a")
    book = LeaseBook(store(database, "a"))
    assert book.find("t", "s") is None
    lease = await book.recover(died.session_ref, 1, died.epoch)
    assert lease is not None
    assert book.find("t", "s") == book.held[died.session_ref] == lease
    assert book.find("other", "s") is None
    book.forget(died.session_ref)
    assert book.find("t", "s") is None
