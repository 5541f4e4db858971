"""Sessions, their generations, and what is on record of them."""

from typing import Annotated

from msgspec import Meta

from orchestrator.domain.session import ConnectionState, DesiredState, SetAsideBy
from orchestrator.wire.pages import NextCursor, Page
from orchestrator.wire.shape import Answer, Request, SessionId, Timestamp


class CreateSession(Request, frozen=True):
    session_id: SessionId


class StartSession(Request, frozen=True):
    new_pairing: Annotated[bool, Meta(description="Begin a new pairing when the present one is set aside.")] = False
    replace: Annotated[
        bool,
        Meta(
            description="Begin it although the present one works: that is set aside, and comes back if the new one fails."
        ),
    ] = False


class RestoreGeneration(Request, frozen=True):
    replace: Annotated[bool, Meta(description="Set aside the pairing that the session uses now.")] = False


class DeleteSession(Request, frozen=True, forbid_unknown_fields=False):
    confirm: Annotated[str | None, Meta(description="The id of the session, again.")] = None


class ListSessions(Page, frozen=True):
    search: Annotated[str, Meta(max_length=100, description="A part of the session's id or of the account.")] = ""
    states: Annotated[
        str, Meta(max_length=200, description="Connection states, separated by commas; all if left out.")
    ] = ""


class StateCount(Answer, frozen=True):
    connection_state: ConnectionState
    sessions: int


class Verification(Answer, frozen=True):
    """The last verification backup, which compares what the connection holds with what is stored."""

    at: Timestamp
    keys: Annotated[int, Meta(description="Signal keys that were compared.")]
    repaired_keys: Annotated[int, Meta(description="Repaired since the session was taken up here.")]
    repaired_creds: int


class Session(Answer, frozen=True):
    """One linked WhatsApp account: what it should be and what it is."""

    session_id: SessionId
    desired_state: DesiredState
    connection_state: ConnectionState
    jid: Annotated[str | None, Meta(description="The WhatsApp account; null before the pairing.")]
    generation: Annotated[int, Meta(description="Counts the pairings.")]
    epoch: Annotated[int, Meta(description="Grows whenever another process takes the session over.")]
    degraded: Annotated[bool, Meta(description="Writes wait for the database at this moment.")]
    last_open_at: Timestamp | None
    last_backup_at: Annotated[Timestamp | None, Meta(description="The last durable write of its auth state.")]
    verification: Verification | None
    reason: Annotated[str | None, Meta(description="The last disconnect in words.")]
    pairing_failure: Annotated[
        str | None, Meta(description="The code of why the last pairing came to nothing, until the next start.")
    ]
    created_at: Timestamp


class Sessions(Answer, frozen=True):
    sessions: list[Session]
    next_cursor: NextCursor


class Generation(Answer, frozen=True):
    """One pairing of a session."""

    generation: int
    current: bool
    restorable: bool
    jid: str | None
    created_at: Timestamp
    paired_at: Timestamp | None
    set_aside_at: Timestamp | None
    set_aside_by: SetAsideBy | None
    reason: str | None


class Generations(Answer, frozen=True):
    generations: list[Generation]
    next_cursor: NextCursor


class SessionAuditEntry(Answer, frozen=True):
    """Who or what set a pairing aside, brought it back or ended its retention, when and why."""

    at: Timestamp
    action: str
    generation: int | None
    actor: str
    reason: str | None


class SessionAudit(Answer, frozen=True):
    audit: list[SessionAuditEntry]
    next_cursor: NextCursor
