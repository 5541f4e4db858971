"""What sessions did, from counting it to drawing it: on a real database."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import sqlalchemy as sa

from orchestrator.domain.errors import DatabaseUnavailable, SessionNotFound
from orchestrator.domain.meter import Histogram, MessageMeter
from orchestrator.domain.session import ConnectionState, Lease
from orchestrator.services.activity import Activity
from orchestrator.services.connections import Connections
from orchestrator.services.leases import LeaseBook
from orchestrator.services.shards import Shards
from orchestrator.store.activity import ActivityStore
from orchestrator.store.database import Database
from orchestrator.store.leases import LeaseStore
from orchestrator.store.sessions import SessionStore


class House:
    """The parts of a replica that activity looks at."""

    def __init__(self, database: Database, lease: Lease, leases: LeaseBook) -> None:
        self.database = database
        self.lease = lease
        self.sessions = SessionStore(database)
        self.connections = Connections()
        self.messages = MessageMeter()
        self.writes = Histogram((0.001, 0.01, 0.1))
        self.leases = leases
        self.activity = self.made(database)

    def made(self, database: Database) -> Activity:
        store, shards = ActivityStore(database), Shards([])
        return Activity(store, self.sessions, self.leases, self.connections, shards, self.messages, self.writes)


@pytest_asyncio.fixture
async def house(database: Database) -> AsyncIterator[House]:
    await SessionStore(database).create("t", "s")
    leases = LeaseBook(LeaseStore(database, "a" * 32, 30.0))
    (lease,) = await leases.claim(1)
    yield House(database, lease, leases)


async def test_minutes_add_up_to_hours(house: House) -> None:
    house.messages.sent(house.lease.session_ref)
    await house.activity.record()
    await house.connections.set_state(house.lease.session_ref, ConnectionState.OPEN, None)
    house.messages.received(house.lease.session_ref)
    house.messages.received(house.lease.session_ref)
    await house.activity.record()
    hours = await house.activity.of_session("t", "s")
    # The hour may have changed in between.
    assert sum(hour.samples for hour in hours) == 2
    assert sum(hour.open_samples for hour in hours) == 1
    assert (sum(hour.sent for hour in hours), sum(hour.received for hour in hours)) == (1, 2)
    assert await house.activity.of_all("t") == hours == await house.activity.of_all(None)
    assert await house.activity.of_all("another") == []
    assert (await house.activity.of_sessions("t", ["s", "none"])) == {"s": hours, "none": []}
    assert (await house.activity.of_sessions("another", ["s"])) == {"s": []}
    with pytest.raises(SessionNotFound):
        await house.activity.of_session("another", "s")


async def test_messages_of_a_session_that_runs_elsewhere_by_now_are_counted_and_nothing_else(house: House) -> None:
    house.leases.forget(house.lease.session_ref)
    house.messages.sent(house.lease.session_ref)
    house.messages.sent(10**12)  # of a session that is gone
    await house.activity.record()
    (hour,) = await house.activity.of_session("t", "s")
    assert (hour.samples, hour.open_samples, hour.sent) == (0, 0, 1)


async def test_what_could_not_be_written_is_written_later(house: House) -> None:
    away = house.made(Database("postgresql://nobody@/nowhere?host=/nonexistent"))
    house.messages.sent(house.lease.session_ref)
    with pytest.raises(DatabaseUnavailable):
        await away.record()
    house.messages.sent(house.lease.session_ref)
    await house.activity.record()
    (hour,) = await house.activity.of_session("t", "s")
    assert hour.sent == 2


async def test_backups_are_as_slow_as_the_slowest_of_a_hundred_but_five(house: House) -> None:
    for _ in range(19):
        house.writes.observe(0.0005)
    house.writes.observe(0.05)
    await house.activity.record()
    (minute,) = await house.activity.backups()
    assert (minute.writes, minute.slow_seconds, minute.journal_bytes) == (20, 0.001, 0)
    house.writes.observe(0.05)
    await house.activity.record()
    minutes = await house.activity.backups()
    assert sum(minute.writes for minute in minutes) == 21
    assert minutes[-1].slow_seconds == 0.1


async def test_every_change_of_a_connection_is_on_record_whoever_makes_it(house: House) -> None:
    for state, reason in (("open", None), ("open", None), ("waiting_retry", "428"), ("open", "428")):
        async with house.database.begin() as connection:
            statement = "UPDATE sessions SET connection_state = :state, reason = :reason"
            await connection.execute(sa.text(statement), {"state": state, "reason": reason})
    changes = await house.activity.changes("t", "s", before=None, most=10)
    assert [(one.connection_state.value, one.reason) for one in changes] == [
        ("open", "428"),
        ("waiting_retry", "428"),
        ("open", None),
    ]
    assert await house.activity.changes("t", "s", before=changes[0].number, most=1) == [changes[1]]


async def test_what_is_old_is_forgotten(house: House) -> None:
    async with house.database.begin() as connection:
        for statement in (
            "INSERT INTO session_hours SELECT session_ref, now() - n * interval '10 days', 1, 1, 1, 1"
            " FROM sessions, generate_series(0, 2) n",
            "INSERT INTO connection_changes (session_ref, at, connection_state)"
            " SELECT session_ref, now() - n * interval '1 day', 'open' FROM sessions, generate_series(15, 0, -1) n",
            "INSERT INTO backup_minutes SELECT now() - n * interval '23 hours', 'r', 1, 1, 1 FROM generate_series(0, 2) n",
        ):
            await connection.execute(sa.text(statement))
    store = ActivityStore(house.database)
    await store.forget(days=14, most_changes=5)
    assert len(await store.changes("t", "s", before=None, most=100)) == 5
    async with house.database.begin() as connection:
        for table, kept in (("session_hours", 2), ("backup_minutes", 2)):
            assert (await connection.execute(sa.text(f"SELECT count(*) FROM {table}"))).scalar_one() == kept
