"""Replicas: the process trees that work on one database, and how they share its sessions."""

from collections.abc import Collection
from dataclasses import dataclass, field
from math import ceil

#: Sessions beyond its fair share that a replica keeps rather than moves: each move costs the session a connection.
TOLERANCE = 0.1


@dataclass(frozen=True, slots=True)
class Replica:
    """Another replica as its row says. ``held``: leases it has; ``ready``: it takes more, having a sidecar that works."""

    replica_id: str
    address: str | None
    peer_token: str | None = field(repr=False)
    held: int
    ready: bool


def claimable(held: int, others: Collection[Replica], free: int) -> int:
    """How many of ``free`` leases a replica with ``held`` of them should take now, so that those who take any end up even."""
    ready = [other.held for other in others if other.ready]
    fair = ceil((held + sum(ready) + free) / (1 + len(ready)))
    return max(0, min(free, fair - held))


def surplus(held: int, others: Collection[Replica]) -> int:
    """How many sessions a replica with ``held`` of them should give to others that have room; 0 within the tolerance."""
    ready = [other.held for other in others if other.ready]
    if not ready:
        return 0
    fair = ceil((held + sum(ready)) / (1 + len(ready)))
    if held - fair <= max(1, fair * TOLERANCE):
        return 0
    return min(held - fair, max(0, sum(max(0, fair - other) for other in ready)))
