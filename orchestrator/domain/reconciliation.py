"""What has to be started and stopped in the sidecar so that it runs just what this replica holds leases for."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from orchestrator.domain.session import Lease


@dataclass(frozen=True, slots=True)
class RunningConnection:
    """A connection as the sidecar lists it."""

    session_ref: int
    generation: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Plan:
    """``start``: leases without a connection; ``stop``: connections without a lease."""

    start: tuple[Lease, ...]
    stop: tuple[int, ...]


def plan(leases: Mapping[int, Lease], running: Collection[RunningConnection]) -> Plan:
    """Compare what should run with what runs.

    A connection with another epoch or generation than its lease is a leftover of an earlier owner: it is started
    anew, which makes the sidecar close the old one first.
    """
    current = {
        connection.session_ref
        for connection in running
        if (lease := leases.get(connection.session_ref)) is not None
        and (lease.epoch, lease.generation) == (connection.epoch, connection.generation)
    }
    return Plan(
        start=tuple(lease for ref, lease in leases.items() if ref not in current),
        stop=tuple(connection.session_ref for connection in running if connection.session_ref not in leases),
    )
