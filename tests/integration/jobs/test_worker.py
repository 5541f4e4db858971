"""Jobs on procrastinate: another replica wakes us, and the housekeeping is done."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import sqlalchemy as sa

from orchestrator.domain.webhook import new_secret
from orchestrator.jobs.worker import Work, Worker
from orchestrator.store.database import Database
from orchestrator.store.jobs import JobStore
from orchestrator.store.leases import LeaseStore
from orchestrator.store.outbox import Acceptance, NewMessage, OutboxStore
from orchestrator.store.sealing import Sealer
from orchestrator.store.sessions import SessionStore
from orchestrator.store.stored_events import StoredEvents
from orchestrator.store.webhooks import WebhookStore
from tests.support.waiting import eventually


class Done:
    def __init__(self) -> None:
        self.drained: list[int] = []
        self.told = 0

    def webhooks_changed(self) -> None:
        self.told += 1

    async def each_minute(self) -> None:
        """Nothing: that it comes is a matter of the clock."""


@contextlib.asynccontextmanager
async def working(url: str, replica: str) -> AsyncIterator[Done]:
    done = Done()
    worker = Worker(url, replica, Work(done.drained.append, done.webhooks_changed, done.each_minute))
    task = asyncio.create_task(worker.run())
    try:
        yield done
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def jobs(database: Database) -> int:
    async with database.begin() as connection:
        count = sa.text("SELECT count(*) FROM procrastinate.procrastinate_jobs")
        return int((await connection.execute(count)).scalar_one())


async def test_the_owner_is_woken_by_what_another_replica_accepted_and_changed(
    database: Database, database_url: str
) -> None:
    session = await SessionStore(database).create("t", "s")
    (lease,) = await LeaseStore(database, "a", 60.0).claim(1)
    assert lease.session_ref == session.session_ref
    sealer = Sealer(())
    outbox = OutboxStore(database, sealer, StoredEvents(database, sealer))
    message = NewMessage("5511988887777@s.whatsapp.net", b"{}")
    async with working(database_url, "a") as owner, working(database_url, "b") as other:
        await outbox.accept("t", "s", message, Acceptance(b"1"), "b")
        await eventually(lambda: asyncio.sleep(0, owner.drained), what="the owner to be woken")
        await outbox.accept("t", "s", message, Acceptance(b"2"), "a")  # the owner itself needs no job
        await WebhookStore(database, sealer, "b").add("t", None, "https://example.org/", new_secret(), ("*",))
        await eventually(lambda: asyncio.sleep(0, owner.told), what="the owner to be told")

        async def nothing_left() -> bool:
            return await jobs(database) == 0

        await eventually(nothing_left, what="the jobs to be gone")
        assert owner.drained == [session.session_ref]
        assert (other.drained, other.told) == ([], 0)


async def test_jobs_of_replicas_that_are_gone_are_dropped(database: Database) -> None:
    await SessionStore(database).create("t", "s")
    await LeaseStore(database, "gone", 60.0).claim(1)
    sealer = Sealer(())
    outbox = OutboxStore(database, sealer, StoredEvents(database, sealer))
    await outbox.accept("t", "s", NewMessage("1@s.whatsapp.net", b"{}"), Acceptance(b"1"), "b")
    assert await JobStore(database).prune() == 0
    async with database.begin() as connection:
        await connection.execute(sa.text("UPDATE leases SET owner = NULL"))
        await connection.execute(sa.text("DELETE FROM replicas"))
    assert await JobStore(database).prune() == 1
    assert await jobs(database) == 0
