"""What sessions did, summed up for pictures."""

from typing import Annotated

from msgspec import Meta

from orchestrator.domain.session import ConnectionState
from orchestrator.wire.pages import NextCursor
from orchestrator.wire.sessions import StateCount
from orchestrator.wire.shape import Answer, Request, SessionId, Timestamp


class Hour(Answer, frozen=True):
    """``samples``: minutes in which it was looked at, because somebody ran it; ``open_samples``: in how many it was open."""

    hour: Timestamp
    samples: int
    open_samples: int
    sent: int
    received: int


class ConnectionChange(Answer, frozen=True):
    at: Timestamp
    connection_state: ConnectionState
    reason: str | None


class ConnectionChanges(Answer, frozen=True):
    changes: list[ConnectionChange]
    next_cursor: NextCursor


class SessionActivity(Answer, frozen=True):
    session_id: SessionId
    hours: Annotated[list[Hour], Meta(description="Oldest first; hours in which nobody ran it are missing.")]


class ListActivity(Request, frozen=True):
    session_ids: Annotated[
        str, Meta(max_length=7000, description="Ids separated by commas: the hours of each of these sessions too.")
    ] = ""


class Activity(Answer, frozen=True):
    """The last 24 hours: of all sessions together, and of those that were asked for."""

    hours: list[Hour]
    sessions: list[SessionActivity]
    states: Annotated[list[StateCount], Meta(description="The sessions as they are now.")]


class BackupMinute(Answer, frozen=True):
    """``slow_seconds``: within it 95 in 100 writes of auth states were durable."""

    minute: Timestamp
    writes: int
    slow_seconds: float
    journal_bytes: int


class ServiceActivity(Answer, frozen=True):
    """``hours``: the last 24, of all tenants' sessions. ``backups``: the last 120 minutes, of all replicas."""

    hours: list[Hour]
    backups: list[BackupMinute]
