"""The service as a whole, for the operator: sessions of all tenants, replicas, processes."""

from typing import Annotated, TypeAlias

from msgspec import Meta

from orchestrator.wire.pages import NextCursor, Page
from orchestrator.wire.sessions import Session, StateCount
from orchestrator.wire.shape import Answer, Request, SessionId, Timestamp, text
from orchestrator.wire.tenants import TenantId

ProcessName: TypeAlias = Annotated[str, text("The name of the process, as listed.", example="baileys")]


class Memory(Answer, frozen=True):
    """In bytes, of the container or, where that has no limit, of the machine."""

    used: int
    limit: int


class Process(Answer, frozen=True):
    process: ProcessName
    state: Annotated[str, Meta(description="supervisord's word: RUNNING, STARTING, BACKOFF, STOPPED, FATAL ...")]
    started_at: Timestamp | None
    detail: Annotated[str, Meta(description="In words, such as the time since its start.")]


class Processes(Answer, frozen=True):
    processes: list[Process]


class LogTail(Request, frozen=True):
    bytes: Annotated[int, Meta(ge=1, le=65_536, description="How much of it at most.")] = 4096


class Log(Answer, frozen=True):
    process: ProcessName
    log: Annotated[str, Meta(description="The last whole lines of what the process wrote since its tree was started.")]


class ConcernedSession(Answer, frozen=True):
    tenant_id: TenantId
    session_id: SessionId


class RepairedSession(ConcernedSession, frozen=True):
    at: Timestamp


class ReplicaStatus(Answer, frozen=True):
    """What a replica says of itself every few seconds."""

    memory: Memory
    journal_bytes: Annotated[int, Meta(description="What waits on its disk for the database, framing included.")]
    journal_limit: int
    degraded: Annotated[int, Meta(description="Sessions whose writes wait for the database.")]
    degraded_sessions: Annotated[list[ConcernedSession], Meta(description="The first of them.")]
    repaired_sessions: Annotated[
        list[RepairedSession], Meta(description="In which a verification found a difference in the last minutes.")
    ]
    processes: list[Process]


class Replica(Answer, frozen=True):
    """A process tree that lives."""

    replica_id: str
    started_at: Timestamp
    sessions: Annotated[int, Meta(description="How many it runs.")]
    ready: bool
    answers: Annotated[bool, Meta(description="Whether it is the one that gives this answer.")]
    told_at: Timestamp | None
    status: ReplicaStatus | None


class Overview(Answer, frozen=True):
    at: Timestamp
    tenants: int
    states: list[StateCount]
    replicas: list[Replica]


class ListAllSessions(Page, frozen=True):
    search: Annotated[
        str, Meta(max_length=100, description="A part of the tenant's id, the session's id or the account.")
    ] = ""
    states: Annotated[
        str, Meta(max_length=200, description="Connection states, separated by commas; all if left out.")
    ] = ""


class TenantSession(Session, frozen=True):
    tenant_id: TenantId
    paired: bool


class TenantSessions(Answer, frozen=True):
    sessions: list[TenantSession]
    next_cursor: NextCursor


class ExportSession(Request, frozen=True):
    passphrase: Annotated[
        str, Meta(min_length=12, max_length=200, description="Seals the archive; whoever imports it needs it.")
    ]
