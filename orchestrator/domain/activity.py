"""What sessions did, summed up for pictures."""

from dataclasses import dataclass
from datetime import datetime

from orchestrator.domain.session import ConnectionState


@dataclass(frozen=True, slots=True)
class Hour:
    """An hour of a session, or of many together: looks at it, one a minute while somebody ran it, and its messages."""

    hour: datetime
    samples: int
    open_samples: int
    sent: int
    received: int


@dataclass(frozen=True, slots=True)
class ConnectionChange:
    number: int
    at: datetime
    connection_state: ConnectionState
    reason: str | None


@dataclass(frozen=True, slots=True)
class BackupMinute:
    """A minute of all replicas' writes of auth states: 95 in 100 were durable within ``slow_seconds``."""

    minute: datetime
    writes: int
    slow_seconds: float
    journal_bytes: int
