"""Supervision on a real PostgreSQL and a control API on the wire."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
import sqlalchemy as sa

from orchestrator.domain.session import ConnectionState, DesiredState
from orchestrator.services.connections import Connections
from orchestrator.services.events import EventBus
from orchestrator.services.leases import LeaseBook
from orchestrator.services.supervision import HUNG_SECONDS, RESTART_COOL_DOWN_SECONDS, Supervision
from orchestrator.sidecar.client import SidecarClient
from orchestrator.store.database import Database
from orchestrator.store.leases import LeaseStore
from orchestrator.store.sessions import SessionStore
from tests.support.control_api import TOKEN, ControlApi, control_api


@dataclass
class Clock:
    seconds: float = 0.0
    restarts: int = 0


@dataclass
class Replica:
    """One orchestrator's supervision, with a clock that stands still."""

    supervision: Supervision
    book: LeaseBook
    connections: Connections
    sessions: SessionStore
    sidecar: ControlApi
    clock: Clock

    async def ref(self, session_id: str) -> int:
        return (await self.sessions.get("t", session_id)).session_ref

    def epochs(self) -> dict[int, int]:
        return {ref: session["epoch"] for ref, session in self.sidecar.sessions.items()}


@pytest.fixture
async def replica(database: Database) -> AsyncIterator[Replica]:
    async with control_api() as sidecar, aiohttp.ClientSession() as http:
        sessions = SessionStore(database)
        book, connections = LeaseBook(LeaseStore(database, "a", 30.0)), Connections()
        client = SidecarClient(http, sidecar.port, TOKEN)

        clock = Clock()

        async def restart() -> None:
            clock.restarts += 1

        supervision = Supervision(sessions, book, connections, EventBus(), client, restart, clock=lambda: clock.seconds)
        yield Replica(supervision, book, connections, sessions, sidecar, clock)


async def test_what_should_run_is_claimed_and_started_once(replica: Replica) -> None:
    await replica.sessions.create("t", "runs")
    await replica.sessions.create("t", "stopped")
    await replica.sessions.desire(await replica.ref("stopped"), DesiredState.STOPPED)
    for _ in range(3):
        await replica.supervision.reconcile()
    assert replica.sidecar.calls == [f"PUT {await replica.ref('runs')}"]


async def test_nothing_is_claimed_or_started_before_the_journal_of_an_earlier_sidecar_is_written(
    replica: Replica,
) -> None:
    await replica.sessions.create("t", "s")
    replica.sidecar.draining = True
    await replica.supervision.reconcile()
    assert replica.sidecar.calls == []
    assert not replica.book.held
    assert replica.supervision.sidecar_reachable
    replica.sidecar.draining = False
    await replica.supervision.reconcile()
    assert replica.sidecar.calls == [f"PUT {await replica.ref('s')}"]


async def test_a_session_keeps_its_lease_and_epoch_until_its_journal_is_written(replica: Replica) -> None:
    await replica.sessions.create("t", "s")
    await replica.supervision.reconcile()
    ref = await replica.ref("s")
    replica.sidecar.undrained = [ref]
    await replica.supervision.stop(ref)
    await replica.supervision.reconcile()
    await replica.supervision.goodbye(replica.sidecar.instance, [ref])
    assert {ref: lease.epoch for ref, lease in replica.book.held.items()} == {ref: 1}
    assert replica.sidecar.calls.count(f"PUT {ref}") == 1
    replica.sidecar.undrained = []
    await replica.supervision.stop(ref)
    assert not replica.book.held


async def test_a_stopped_session_whose_journal_is_written_meanwhile_is_released_and_not_started(
    replica: Replica,
) -> None:
    await replica.sessions.create("t", "s")
    await replica.supervision.reconcile()
    ref = await replica.ref("s")
    replica.sidecar.undrained = [ref]
    await replica.sessions.desire(ref, DesiredState.STOPPED)
    await replica.supervision.stop(ref)
    replica.sidecar.undrained = []
    await replica.supervision.reconcile()
    assert replica.sidecar.calls == [f"PUT {ref}", f"DELETE {ref}", f"DELETE {ref}"]
    assert not replica.book.held


async def test_a_restarted_orchestrator_keeps_the_lease_of_a_stopped_session_until_its_journal_is_written(
    replica: Replica,
) -> None:
    await replica.sessions.create("t", "s")
    await replica.supervision.reconcile()
    ref = await replica.ref("s")
    replica.sidecar.undrained = [ref]
    await replica.sessions.desire(ref, DesiredState.STOPPED)
    await replica.supervision.stop(ref)
    replica.book.forget(ref)
    await replica.book.adopt(alone=True)
    await replica.supervision.renew()
    await replica.supervision.reconcile()
    assert {ref: lease.epoch for ref, lease in replica.book.held.items()} == {ref: 1}
    replica.sidecar.undrained = []
    await replica.supervision.reconcile()
    assert not replica.book.held
    assert f"PUT {ref}" not in replica.sidecar.calls[1:]


async def test_after_a_crash_of_the_sidecar_all_start_anew_under_a_higher_epoch(replica: Replica) -> None:
    await replica.sessions.create("t", "s")
    await replica.supervision.reconcile()
    ref = await replica.ref("s")
    await replica.connections.set_state(ref, ConnectionState.OPEN, None)
    replica.sidecar.restart()
    await replica.supervision.reconcile()
    assert replica.epochs() == {ref: 2}


async def test_an_orchestrator_that_was_restarted_leaves_running_connections_alone(replica: Replica) -> None:
    await replica.sessions.create("t", "s")
    await replica.supervision.reconcile()
    ref = await replica.ref("s")
    replica.sidecar.sessions[ref]["state"] = "open"
    replica.book.forget(ref)
    await replica.book.adopt(alone=True)
    await replica.supervision.reconcile()
    assert replica.epochs() == {ref: 1}
    assert replica.connections.of(ref).state is ConnectionState.OPEN


async def test_a_connection_that_ended_by_itself_is_started_anew_after_a_round(replica: Replica) -> None:
    await replica.sessions.create("t", "s")
    await replica.supervision.reconcile()
    ref = await replica.ref("s")
    replica.sidecar.sessions[ref]["state"] = "stopped"
    await replica.supervision.reconcile()
    assert replica.epochs() == {ref: 1}  # its report of why may still be on its way
    await replica.supervision.reconcile()
    assert replica.epochs() == {ref: 2}


async def test_a_lost_lease_closes_the_connection(replica: Replica, database: Database) -> None:
    await replica.sessions.create("t", "s")
    await replica.supervision.reconcile()
    ref = await replica.ref("s")
    async with database.begin() as connection:
        await connection.execute(sa.text("UPDATE leases SET owner = 'b', epoch = epoch + 1"))
    await replica.supervision.renew()
    await replica.supervision.reconcile()
    assert replica.sidecar.calls[-1] == f"DELETE {ref}"
    assert replica.sidecar.sessions == {}


async def test_a_stop_that_another_replica_was_asked_for_is_noticed_at_the_renewal(replica: Replica) -> None:
    await replica.sessions.create("t", "s")
    await replica.supervision.reconcile()
    ref = await replica.ref("s")
    await replica.sessions.desire(ref, DesiredState.STOPPED)
    await replica.supervision.renew()
    await replica.supervision.reconcile()
    assert replica.sidecar.sessions == {}
    assert not (await replica.sessions.get("t", "s")).lease_held


async def test_a_goodbye_frees_all_leases_and_nothing_is_claimed_for_a_process_that_ends(
    replica: Replica, database: Database
) -> None:
    await replica.sessions.create("t", "s")
    await replica.supervision.reconcile()
    await replica.supervision.goodbye(replica.sidecar.instance)
    replica.sidecar.sessions.clear()
    await replica.supervision.reconcile()
    assert replica.sidecar.sessions == {}
    assert len(await LeaseStore(database, "b", 30.0).claim(10)) == 1


async def test_an_orchestrator_that_ends_after_its_sidecar_keeps_what_is_only_in_the_journal(
    replica: Replica, database: Database
) -> None:
    for session_id in ("drained", "undrained"):
        await replica.sessions.create("t", session_id)
    await replica.supervision.reconcile()
    await replica.supervision.goodbye(replica.sidecar.instance, [await replica.ref("undrained")])
    await replica.sidecar.end()
    await replica.supervision.leave()
    (lease,) = await LeaseStore(database, "b", 30.0).claim(10)
    assert lease.session_id == "drained"


async def test_a_sidecar_process_after_a_goodbye_is_worked_with_again(replica: Replica) -> None:
    await replica.sessions.create("t", "s")
    await replica.supervision.reconcile()
    await replica.supervision.goodbye(replica.sidecar.instance)
    replica.sidecar.restart()
    await replica.supervision.reconcile()
    assert replica.epochs() == {await replica.ref("s"): 2}


async def test_a_sidecar_that_does_not_answer_is_restarted_with_a_cool_down(replica: Replica) -> None:
    await replica.supervision.reconcile()
    replica.sidecar.answering = False
    replica.clock.seconds += HUNG_SECONDS - 1
    await replica.supervision.reconcile()
    assert replica.clock.restarts == 0
    replica.clock.seconds += 2
    for _ in range(3):
        await replica.supervision.reconcile()
    assert replica.clock.restarts == 1
    replica.clock.seconds += RESTART_COOL_DOWN_SECONDS + 1
    await replica.supervision.reconcile()
    assert replica.clock.restarts == 2


async def test_connections_of_a_sidecar_that_does_not_answer_show_as_starting(replica: Replica) -> None:
    await replica.sessions.create("t", "s")
    await replica.supervision.reconcile()
    ref = await replica.ref("s")
    await replica.connections.set_state(ref, ConnectionState.OPEN, None)
    replica.sidecar.answering = False
    await replica.supervision.reconcile()
    assert replica.connections.of(ref).state is ConnectionState.STARTING
    replica.sidecar.answering = True
    replica.sidecar.sessions[ref]["state"] = "open"
    await replica.supervision.reconcile()
    assert replica.connections.of(ref).state is ConnectionState.OPEN


async def test_a_session_that_is_being_stopped_is_not_started_in_between(replica: Replica) -> None:
    await replica.sessions.create("t", "s")
    await replica.supervision.reconcile()
    ref = await replica.ref("s")
    await replica.sessions.desire(ref, DesiredState.STOPPED)
    await replica.supervision.stop(ref)
    await replica.supervision.reconcile()
    assert replica.sidecar.calls == [f"PUT {ref}", f"DELETE {ref}"]
