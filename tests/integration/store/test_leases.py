import asyncio
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from orchestrator.domain.errors import DatabaseUnavailable, LeaseBusy
from orchestrator.domain.session import ConnectionState, DesiredState, Lease, SetAsideBy
from orchestrator.services.leases import LeaseBook
from orchestrator.store.database import Database
from orchestrator.store.leases import LATE_SECONDS, LeaseStore
from orchestrator.store.presence import PRESENCE_CLASS, Presence
from orchestrator.store.sessions import SessionStore
from tests.support.waiting import eventually

TTL = 30.0


@pytest.fixture
async def sessions(database: Database) -> SessionStore:
    return SessionStore(database)


def store(database: Database, owner: str, ttl: float = TTL) -> LeaseStore:
    return LeaseStore(database, owner, ttl)


async def expire(database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(sa.text("UPDATE leases SET expires_at = now() - interval '1 second'"))


async def claim_one(database: Database, owner: str) -> Lease:
    (lease,) = await store(database, owner).claim(10)
    return lease


async def test_only_sessions_that_should_run_are_claimed(database: Database, sessions: SessionStore) -> None:
    await sessions.create("t", "runs")
    await sessions.create("t", "stopped")
    await sessions.desire((await sessions.get("t", "stopped")).session_ref, DesiredState.STOPPED)
    assert [lease.session_id for lease in await store(database, "a").claim(10)] == ["runs"]


async def test_a_held_lease_is_nobody_elses_until_it_expires(database: Database, sessions: SessionStore) -> None:
    await sessions.create("t", "s")
    first = await claim_one(database, "a")
    assert await store(database, "b").claim(10) == []
    await expire(database)
    second = await claim_one(database, "b")
    assert (first.epoch, second.epoch) == (1, 2)


@pytest.mark.parametrize(
    ("present", "late_by", "free"),
    [(False, 2.0, True), (True, 2.0, False), (False, -2.0, False), (True, -2.0, False)],
    ids=["absent and late", "present and late", "absent and in time", "present and in time"],
)
async def test_a_lease_ends_early_only_if_its_owner_is_absent_and_late(
    database: Database, database_url: str, sessions: SessionStore, present: bool, late_by: float, free: bool
) -> None:
    await sessions.create("t", "s")
    await claim_one(database, "a")
    async with database.begin() as connection:
        since = sa.text("UPDATE leases SET expires_at = expires_at - make_interval(secs => :seconds)")
        await connection.execute(since, {"seconds": TTL / 3 + LATE_SECONDS + late_by})
    presence = Presence(database_url, "a")
    if present:
        await presence.hold()
    assert [lease.epoch for lease in await store(database, "b").claim(10)] == ([2] if free else [])
    await presence.close()


async def test_presence_that_a_pooler_lost_is_taken_again(database: Database, database_url: str) -> None:
    presence = Presence(database_url, "a")
    await presence.hold()
    await presence.hold()
    assert presence._connection is not None
    await presence._connection.execute("SELECT pg_advisory_unlock_all()")
    assert await locks(database) == 0
    await presence.hold()
    assert await locks(database) == 1
    await presence.close()


async def test_presence_ends_with_its_connection_and_comes_back_over_a_new_one(
    database: Database, database_url: str
) -> None:
    presence = Presence(database_url, "a")
    await presence.hold()
    assert await locks(database) == 1
    async with database.begin() as connection:
        kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'orchestrator presence'"
        await connection.execute(sa.text(kill))
    await eventually(lambda: no_locks(database))
    with pytest.raises(DatabaseUnavailable):
        await presence.hold()
    await presence.hold()
    assert await locks(database) == 1
    await presence.close()


async def locks(database: Database) -> int:
    async with database.begin() as connection:
        statement = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = :class")
        return int((await connection.execute(statement, {"class": PRESENCE_CLASS})).scalar_one())


async def no_locks(database: Database) -> bool:
    return await locks(database) == 0


async def test_a_replica_does_not_take_away_what_it_holds_itself_after_an_outage(
    database: Database, sessions: SessionStore
) -> None:
    await sessions.create("t", "s")
    lease = await claim_one(database, "a")
    await expire(database)
    assert await store(database, "a").claim(10, [lease.session_ref]) == []
    assert await store(database, "a").renew([lease], {}) == {lease.session_ref: True}


async def test_a_lease_of_ours_that_nobody_here_knows_of_is_taken_back_at_once(
    database: Database, sessions: SessionStore
) -> None:
    await sessions.create("t", "s")
    await claim_one(database, "a")
    assert (await claim_one(database, "a")).epoch == 2


async def test_a_book_that_slept_asks_postgresql_whether_the_lease_is_still_its_own(
    database: Database, sessions: SessionStore
) -> None:
    await sessions.create("t", "s")
    book = LeaseBook(store(database, "a"))
    (lease,) = await book.claim(1)
    assert await book.check(lease.session_ref, lease.epoch)
    await expire(database)
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
    assert renewed == {leases["kept"].session_ref: True, leases["unwanted"].session_ref: False}


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


async def test_a_late_release_does_not_free_what_another_owner_took(database: Database, sessions: SessionStore) -> None:
    await sessions.create("t", "s")
    lease = await claim_one(database, "a")
    await expire(database)
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
    await store(database, "alive").expire_others()
    assert (await claim_one(database, "alive")).epoch == 2


async def test_a_journal_survives_the_start_that_ends_all_other_leases(
    database: Database, sessions: SessionStore
) -> None:
    await sessions.create("t", "s")
    died = await claim_one(database, "dead")
    await store(database, "alive").expire_others()
    recovered = await store(database, "alive").recover(died.session_ref, 1, died.epoch)
    assert recovered is not None
    assert recovered.epoch == died.epoch + 1


async def test_the_lease_of_a_journal_is_recovered_only_if_nobody_ran_the_session_since(
    database: Database, sessions: SessionStore
) -> None:
    await sessions.create("t", "s")
    died = await claim_one(database, "a")
    with pytest.raises(LeaseBusy):
        await store(database, "b").recover(died.session_ref, 1, died.epoch)
    again = await store(database, "a").recover(died.session_ref, 1, died.epoch)
    assert again is not None
    assert (again.session_id, again.epoch) == ("s", died.epoch + 1)
    await expire(database)
    taken = await store(database, "b").recover(died.session_ref, 1, again.epoch)
    assert taken is not None
    assert taken.epoch == again.epoch + 1
    assert await store(database, "a").recover(died.session_ref, 1, died.epoch) is None
    with pytest.raises(LeaseBusy):
        await store(database, "a").recover(died.session_ref, 1, again.epoch)


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
