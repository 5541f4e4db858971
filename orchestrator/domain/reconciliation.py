"""What has to be started and stopped in the sidecars so that they run just what this replica holds leases for."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from orchestrator.domain.session import Lease

Where = TypeVar("Where")


@dataclass(frozen=True, slots=True)
class RunningConnection(Generic[Where]):
    """A connection as a sidecar lists it, and which of the sidecars that is."""

    session_ref: int
    generation: int
    epoch: int
    where: Where


@dataclass(frozen=True, slots=True)
class Plan(Generic[Where]):
    """``start``: leases without a connection; ``stop``: connections without a lease, or beside the one that has it."""

    start: tuple[Lease, ...]
    stop: tuple[RunningConnection[Where], ...]


def plan(leases: Mapping[int, Lease], running: Collection[RunningConnection[Where]]) -> Plan[Where]:
    """Compare what should run with what runs.

    A connection with another epoch or generation than its lease is a leftover of an earlier owner. Where a session runs
    once, it is started anew, which makes that sidecar close the old connection first; where it also runs elsewhere, as
    after a sidecar that hung was given up and went on, all but the newest are stopped.
    """
    newest: dict[int, RunningConnection[Where]] = {}
    for connection in running:
        known = newest.get(connection.session_ref)
        if known is None or known.epoch < connection.epoch:
            newest[connection.session_ref] = connection
    current = {
        ref
        for ref, connection in newest.items()
        if (lease := leases.get(ref)) is not None
        and (lease.epoch, lease.generation) == (connection.epoch, connection.generation)
    }
    return Plan(
        start=tuple(lease for ref, lease in leases.items() if ref not in current),
        stop=tuple(c for c in running if c.session_ref not in leases or newest[c.session_ref] is not c),
    )
