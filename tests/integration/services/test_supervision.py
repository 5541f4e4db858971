"""Supervision on a real PostgreSQL and control APIs on the wire."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import aiohttp
import pytest
import sqlalchemy as sa

from orchestrator.domain.errors import DatabaseUnavailable
from orchestrator.domain.outbound import AddressRules
from orchestrator.domain.session import ConnectionState, DesiredState
from orchestrator.peer.client import PeerClient
from orchestrator.services.connections import Connections
from orchestrator.services.events import EventBus, Subscription
from orchestrator.services.leases import LeaseBook
from orchestrator.services.replicas import Replicas
from orchestrator.services.session_settings import Settings
from orchestrator.services.shards import Shard, Shards
from orchestrator.services.supervision import (
    HUNG_SECONDS,
    MOVES_AT_ONCE,
    PATIENCE_ROUNDS,
    RESTART_COOL_DOWN_SECONDS,
    Supervision,
)
from orchestrator.sidecar.client import SidecarClient
from orchestrator.store.database import Database
from orchestrator.store.leases import LeaseStore
from orchestrator.store.replicas import Own, ReplicaStore
from orchestrator.store.sealing import Sealer
from orchestrator.store.session_settings import SessionSettingsStore
from orchestrator.store.sessions import SessionStore
from tests.support.control_api import TOKEN, ControlApi, control_api
from tests.support.postgres import out_of_reach


@dataclass
class Clock:
    seconds: float = 0.0
    restarts: int = 0


@dataclass
class Replica:
    """One orchestrator's supervision, with a clock that stands still, and two sidecars unless a test ends one."""

    supervision: Supervision
    book: LeaseBook
    connections: Connections
    sessions: SessionStore
    shards: Shards
    replicas: Replicas
    events: EventBus
    settings: Settings
    sidecar: ControlApi
    clock: Clock

    async def ref(self, session_id: str) -> int:
        return (await self.sessions.get("t", session_id)).session_ref

    def epochs(self) -> dict[int, int]:
        return {ref: session["epoch"] for ref, session in self.sidecar.sessions.items()}


@contextlib.asynccontextmanager
async def supervised(
    database: Database, database_url: str, sidecars: Sequence[ControlApi], replica_id: str = "a"
) -> AsyncIterator[Replica]:
    async with aiohttp.ClientSession() as http:
        clock, events, connections, sessions = Clock(), EventBus(), Connections(), SessionStore(database)
        book = LeaseBook(LeaseStore(database, replica_id, 30.0))

        async def restart() -> None:
            clock.restarts += 1

        shards = Shards(
            [Shard(f"s{n}", SidecarClient(http, api.port, TOKEN), restart) for n, api in enumerate(sidecars)],
            clock=lambda: clock.seconds,
        )
        store = ReplicaStore(database_url, replica_id, 30.0, "t", Sealer([]))
        replicas = Replicas(
            store, book, PeerClient(http, replica_id), port=1, settle_seconds=60.0, clock=lambda: clock.seconds
        )
        settings = Settings(SessionSettingsStore(database, Sealer([])), sessions, book, shards, AddressRules())
        supervision = Supervision(
            sessions, book, connections, events, shards, replicas, settings, clock=lambda: clock.seconds
        )
        yield Replica(supervision, book, connections, sessions, shards, replicas, events, settings, sidecars[0], clock)
        await replicas.close()


@pytest.fixture
async def replica(database: Database, database_url: str) -> AsyncIterator[Replica]:
    async with control_api() as sidecar, supervised(database, database_url, [sidecar]) as replica:
        yield replica


@dataclass
class TwoShards:
    replica: Replica
    sidecars: list[ControlApi]

    def running(self) -> list[int]:
        return [len(sidecar.sessions) for sidecar in self.sidecars]


@pytest.fixture
async def two(database: Database, database_url: str) -> AsyncIterator[TwoShards]:
    async with (
        control_api() as first,
        control_api() as second,
        supervised(database, database_url, [first, second]) as replica,
    ):
        yield TwoShards(replica, [first, second])


async def test_what_should_run_is_claimed_and_started_once(replica: Replica) -> None:
    await replica.sessions.create("t", "runs")
    await replica.sessions.create("t", "stopped")
    await replica.sessions.desire(await replica.ref("stopped"), DesiredState.STOPPED)
    for _ in range(3):
        await replica.supervision.reconcile()
    assert replica.sidecar.calls == [f"PUT {await replica.ref('runs')}"]


async def test_a_session_starts_with_its_settings_and_is_told_of_changes(replica: Replica) -> None:
    await replica.sessions.create("t", "s")
    proxy = {"proxy": "socks5://u:p@127.0.0.1:1"}
    await replica.settings.change("t", "s", {**proxy, "retention_days": 30})
    await replica.supervision.reconcile()
    ref = await replica.ref("s")
    assert replica.sidecar.sessions[ref]["settings"] == proxy
    changed = await replica.settings.change("t", "s", {"proxy": None, "ignore_groups": True})
    assert (changed.settings.retention_days, changed.reconnects) == (30, True)
    assert replica.sidecar.sessions[ref]["settings"] == {"ignore_groups": True}


async def test_settings_that_change_while_a_session_is_started_reach_it(replica: Replica) -> None:
    await replica.sessions.create("t", "s")
    replica.sidecar.before_start = lambda: replica.settings.change("t", "s", {"mark_online": False})
    await replica.supervision.reconcile()
    ref = await replica.ref("s")
    assert replica.sidecar.calls == [f"PUT {ref}", f"PATCH {ref}", f"PATCH {ref}"]
    assert replica.sidecar.sessions[ref]["settings"] == {"mark_online": False}


async def test_a_session_whose_settings_are_unknown_does_not_start(replica: Replica, database: Database) -> None:
    await replica.sessions.create("t", "s")
    await replica.settings.change("t", "s", {"proxy": "socks5://u:p@127.0.0.1:1"})
    async with database.begin() as connection:
        await connection.execute(sa.text("UPDATE session_settings SET settings = 'x'"))
    await replica.supervision.reconcile()
    ref = await replica.ref("s")
    assert replica.sidecar.calls == []
    assert replica.connections.of(ref).state is ConnectionState.PAUSED
    assert "settings can't be opened" in str(replica.connections.of(ref).reason)


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


async def test_a_list_takes_back_nothing_that_was_reported_while_it_was_on_its_way(replica: Replica) -> None:
    await replica.sessions.create("t", "s")
    await replica.supervision.reconcile()
    ref = await replica.ref("s")

    async def opens() -> None:
        replica.connections.note_report(ref)
        await replica.connections.report_state(ref, ConnectionState.OPEN, None)

    replica.sidecar.sessions[ref] |= {"state": "pairing", "qr": {"qr": "2@x", "expires_at": 2**42, "rotated": False}}
    replica.sidecar.before_listed = opens
    await replica.supervision.reconcile()
    connection = replica.connections.of(ref)
    assert (connection.state, connection.qr) == (ConnectionState.OPEN, None)


async def test_a_report_of_what_a_list_has_told_before_is_no_second_opening(replica: Replica) -> None:
    await replica.sessions.create("t", "s")
    await replica.supervision.reconcile()
    ref = await replica.ref("s")
    replica.sidecar.sessions[ref]["state"] = "open"
    with replica.events.subscribed(Subscription("t", None)) as heard:
        await replica.supervision.reconcile()
        opened_at = replica.connections.of(ref).opened_at
        assert opened_at is not None
        assert not await replica.connections.report_state(ref, ConnectionState.OPEN, None)
        assert heard.queue.qsize() == 1
    assert replica.connections.of(ref).opened_at == opened_at
    assert await replica.connections.report_state(ref, ConnectionState.OPEN, None)  # what ended before it wasn't told


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


async def test_sessions_are_spread_over_the_shards(two: TwoShards) -> None:
    for number in range(10):
        await two.replica.sessions.create("t", f"s{number}")
    await two.replica.supervision.reconcile()
    assert two.running() == [5, 5]


async def test_sessions_go_to_the_shard_that_has_memory_and_time_for_them(two: TwoShards) -> None:
    first, second = two.sidecars
    first.heap = {"used": 1900, "limit": 2000}
    await two.replica.sessions.create("t", "memory")
    await two.replica.supervision.reconcile()
    assert two.running() == [0, 1]
    first.heap, second.event_loop_utilization = second.heap, 0.99
    for name in ("time", "more"):
        await two.replica.sessions.create("t", name)
    await two.replica.supervision.reconcile()
    assert two.running() == [2, 1]
    first.event_loop_utilization = 0.99  # nobody has any: the numbers decide
    await two.replica.sessions.create("t", "none")
    await two.replica.supervision.reconcile()
    assert two.running() == [2, 2]


async def test_nothing_starts_before_every_shard_said_what_its_journal_holds(two: TwoShards) -> None:
    await two.replica.sessions.create("t", "s")
    two.sidecars[1].answering = False
    await two.replica.supervision.reconcile()
    assert two.running() == [0, 0]
    assert not two.replica.book.held
    two.replica.clock.seconds += HUNG_SECONDS + 1  # it may never come
    await two.replica.supervision.reconcile()
    assert two.running() == [1, 0]


async def test_the_sessions_of_a_shard_that_vanished_wait_for_it_and_then_move(two: TwoShards) -> None:
    for number in range(4):
        await two.replica.sessions.create("t", f"s{number}")
    await two.replica.supervision.reconcile()
    first, second = two.sidecars
    second.answering = False
    await two.replica.supervision.reconcile()
    assert len(first.sessions) == 2
    two.replica.clock.seconds += HUNG_SECONDS + 1
    await two.replica.supervision.reconcile()
    assert len(first.sessions) == 4
    assert sorted(session["epoch"] for session in first.sessions.values()) == [1, 1, 2, 2]
    second.answering = True  # it had only hung, and still runs what moved
    await two.replica.supervision.reconcile()
    assert two.running() == [4, 0]


async def test_a_shard_that_crashed_gets_its_own_sessions_back(two: TwoShards) -> None:
    for number in range(4):
        await two.replica.sessions.create("t", f"s{number}")
    await two.replica.supervision.reconcile()
    had = set(two.sidecars[1].sessions)
    two.sidecars[1].restart()
    await two.replica.supervision.reconcile()
    assert set(two.sidecars[1].sessions) == had


async def test_a_restarted_orchestrator_finds_out_where_its_sessions_run(two: TwoShards) -> None:
    for number in range(4):
        await two.replica.sessions.create("t", f"s{number}")
    await two.replica.supervision.reconcile()
    for ref in list(two.replica.book.held):
        two.replica.shards.forget(ref)
    await two.replica.supervision.reconcile()
    assert two.running() == [2, 2]
    assert len(two.sidecars[0].calls) + len(two.sidecars[1].calls) == 4
    for api in two.sidecars:
        for ref in api.sessions:
            home = two.replica.shards.home_of(ref)
            assert home is not None
            assert home.instance == api.instance


async def test_a_departing_shard_frees_what_it_closed_and_gets_nothing_new(two: TwoShards, database: Database) -> None:
    for number in range(4):
        await two.replica.sessions.create("t", f"s{number}")
    await two.replica.supervision.reconcile()
    leaving = two.sidecars[1]
    closed, open_ = list(leaving.sessions)
    await two.replica.supervision.departing(leaving.instance, [])
    del leaving.sessions[closed]
    await two.replica.supervision.departing(leaving.instance, [closed])
    assert closed not in two.replica.book.held
    assert open_ in two.replica.book.held
    await two.replica.supervision.reconcile()
    assert two.running() == [3, 1]


async def test_a_session_whose_work_crashes_its_shard_twice_is_isolated_with_an_alert(replica: Replica) -> None:
    for session_id in ("good", "bad"):
        await replica.sessions.create("t", session_id)
    await replica.supervision.reconcile()
    good, bad = await replica.ref("good"), await replica.ref("bad")
    with replica.events.subscribed(Subscription("t", "bad")) as told:
        for _ in range(2):
            replica.sidecar.restart({"session_ref": bad, "reason": "boom"})
            await replica.supervision.reconcile()
        events = [told.queue.get_nowait() for _ in range(told.queue.qsize())]
    assert replica.sidecar.sessions.keys() == {good}
    assert replica.connections.of(bad).state is ConnectionState.PAUSED
    assert [event.data["alert"] for event in events if event and event.type == "session.alert"] == ["crash_loop"]
    await replica.supervision.restart(bad)  # its owner wants it again
    await replica.supervision.reconcile()
    assert replica.sidecar.sessions.keys() == {good, bad}


async def test_a_shard_that_is_killed_again_and_again_blames_nobody(replica: Replica) -> None:
    await replica.sessions.create("t", "s")
    for _ in range(5):
        await replica.supervision.reconcile()
        assert replica.sidecar.sessions.keys() == {await replica.ref("s")}
        replica.sidecar.restart()


async def test_a_shard_that_runs_out_of_memory_with_the_same_sessions_starts_them_in_halves(replica: Replica) -> None:
    for number in range(4):
        await replica.sessions.create("t", f"s{number}")
    await replica.supervision.reconcile()
    replica.sidecar.heap = {"used": 1990, "limit": 2000}
    for _ in range(2):
        await replica.supervision.reconcile()
        replica.sidecar.restart()
    await replica.supervision.reconcile()
    assert len(replica.sidecar.sessions) == 2
    waiting = replica.book.held.keys() - replica.sidecar.sessions.keys()
    assert {replica.connections.of(ref).state for ref in waiting} == {ConnectionState.WAITING_RETRY}


async def test_two_replicas_share_what_is_free_and_even_out_when_one_joins(
    database: Database, database_url: str
) -> None:
    async with (
        control_api() as here,
        control_api() as there,
        supervised(database, database_url, [here], "a") as a,
        supervised(database, database_url, [there], "b") as b,
    ):

        async def round_() -> None:
            for one in (a, b):
                await one.supervision.reconcile()
                await one.replicas.renew()
                for session in one.sidecar.sessions.values():
                    await one.connections.set_state(session["session_ref"], ConnectionState.OPEN, None)
                    session["state"] = "open"

        for number in range(20):
            await a.sessions.create("t", f"s{number}")
        await a.supervision.reconcile()
        assert len(here.sessions) == 20
        await a.replicas.renew()
        await b.supervision.reconcile()
        await b.replicas.renew()
        for _ in range(3):
            await round_()
        assert (len(here.sessions), len(there.sessions)) == (20, 0)  # it may not stay
        for one in (a, b):
            one.clock.seconds += 61
        for _ in range(2):
            await round_()
        assert len(there.sessions) <= 2 * MOVES_AT_ONCE
        for _ in range(12):
            await round_()
        assert abs(len(here.sessions) - len(there.sessions)) <= 2
        assert not here.sessions.keys() & there.sessions.keys()
        assert len(here.sessions) + len(there.sessions) == 20


async def test_what_those_whose_share_it_is_leave_lying_is_taken_in_the_end(
    replica: Replica, database: Database, database_url: str
) -> None:
    idle = ReplicaStore(database_url, "idle", 30.0, "t", Sealer([]))
    await idle.renew(Own(None, 0, ready=True))
    for number in range(2):
        await replica.sessions.create("t", f"s{number}")
    await replica.supervision.reconcile()
    await replica.replicas.renew()
    await replica.supervision.reconcile()
    assert len(replica.sidecar.sessions) == 2  # it knew of nobody when it took them
    for number in range(2):
        await replica.sessions.create("t", f"more{number}")
    await replica.supervision.reconcile()
    assert len(replica.sidecar.sessions) == 2
    for _ in range(PATIENCE_ROUNDS + 1):
        await replica.supervision.reconcile()
    assert len(replica.sidecar.sessions) == 4
    await idle.close()


async def test_a_replaced_connection_is_another_replicas_when_nobody_has_heard_of_us_for_a_lease(
    replica: Replica, postgres_server: str, database_url: str
) -> None:
    await replica.sessions.create("t", "s")
    await replica.supervision.reconcile()
    ref = await replica.ref("s")
    other = ReplicaStore(database_url, "b", 30.0, "t", Sealer([]))
    await other.renew(Own(None, 0, ready=True))
    await replica.replicas.renew()
    await other.close()
    assert await replica.supervision.holds(ref, 1)
    assert not await replica.supervision.holds(ref, 2)
    with out_of_reach(postgres_server, database_url):
        with pytest.raises(DatabaseUnavailable):
            await replica.supervision.holds(ref, 1)
        replica.clock.seconds += 31
        assert not await replica.supervision.holds(ref, 1)
