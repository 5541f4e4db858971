from orchestrator.domain.reconciliation import Plan, RunningConnection, plan
from orchestrator.domain.session import Lease


def lease(ref: int, *, epoch: int = 1, generation: int = 1) -> Lease:
    return Lease(session_ref=ref, session_id=f"s{ref}", tenant_id="t", generation=generation, epoch=epoch)


def on(where: str, ref: int, generation: int, epoch: int) -> RunningConnection[str]:
    return RunningConnection(ref, generation, epoch, where)


def test_what_runs_as_it_should_is_left_alone() -> None:
    assert plan({1: lease(1)}, [on("a", 1, 1, 1)]) == Plan(start=(), stop=())


def test_a_lease_without_a_connection_is_started() -> None:
    assert plan({1: lease(1), 2: lease(2)}, [on("a", 1, 1, 1)]) == Plan(start=(lease(2),), stop=())


def test_a_connection_without_a_lease_is_stopped() -> None:
    assert plan({}, [on("a", 7, 1, 1)]) == Plan(start=(), stop=(on("a", 7, 1, 1),))


def test_a_connection_of_an_earlier_epoch_or_generation_is_started_anew() -> None:
    leases = {1: lease(1, epoch=4), 2: lease(2, generation=2)}
    running = [on("a", 1, 1, 3), on("a", 2, 1, 1)]
    assert plan(leases, running) == Plan(start=(leases[1], leases[2]), stop=())


def test_a_session_that_runs_in_two_processes_keeps_only_its_newest_connection() -> None:
    running = [on("a", 1, 1, 3), on("b", 1, 1, 4)]
    assert plan({1: lease(1, epoch=4)}, running) == Plan(start=(), stop=(running[0],))
    assert plan({1: lease(1, epoch=5)}, running) == Plan(start=(lease(1, epoch=5),), stop=(running[0],))
