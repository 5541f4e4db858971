"""A session: one linked WhatsApp account, what it should be and what it is."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from orchestrator.domain.errors import SessionNotFound
from orchestrator.domain.subscription import PAUSED_REASON

#: "." and ".." can't be addressed: clients resolve them away from a URL's path.
SESSION_ID = re.compile(r"(?!\.\.?$)[A-Za-z0-9._-]{1,64}")


class DesiredState(StrEnum):
    RUNNING = "running"
    STOPPED = "stopped"


class Wish(StrEnum):
    """What whoever runs a session should do with it."""

    RUN = "run"
    PAUSE = "pause"
    """Close it until its tenant pays."""
    STOP = "stop"


class ConnectionState(StrEnum):
    STARTING = "starting"
    PAIRING = "pairing"
    CONNECTING = "connecting"
    OPEN = "open"
    WAITING_RETRY = "waiting_retry"
    CONFLICT = "conflict"
    PAUSED = "paused"
    QUARANTINED = "quarantined"
    STOPPED = "stopped"


class SetAsideBy(StrEnum):
    """Who or what set a generation aside."""

    LOGOUT = "logout"
    """Its owner's own request."""
    WHATSAPP = "whatsapp"
    """A logout that WhatsApp proved."""
    CORRUPT = "corrupt"
    """Its stored state can't be opened; a start tries again."""
    KEY_MISSING = "key_missing"
    """Its stored state is sealed with a key that wasn't given; the next start of the process tries again."""
    REPLACED = "replaced"
    """A pairing that was brought in from outside took its place."""
    NEW_PAIRING = "new_pairing"
    """A new pairing was begun in its place; it comes back if that comes to nothing."""
    FAILED_PAIRING = "failed_pairing"
    """Its own pairing came to nothing: WhatsApp never confirmed it."""
    DELETE = "delete"
    """The session was deleted."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session as the store knows it. ``owner`` is the living replica that has its lease."""

    session_ref: int
    tenant_id: str
    session_id: str
    desired_state: DesiredState
    connection_state: ConnectionState
    reason: str | None
    pairing_failure: str | None
    """The code of why its last pairing came to nothing (domain/pairing_failure.py), until it is started again."""
    generation: int
    paired: bool
    jid: str | None
    set_aside_by: SetAsideBy | None
    epoch: int
    owner: str | None
    last_open_at: datetime | None
    last_backup_at: datetime | None
    created_at: datetime
    paused: bool = False
    """Nobody may run it, because its tenant's subscription has ended."""

    @property
    def lease_held(self) -> bool:
        return self.owner is not None

    @property
    def shown_state(self) -> ConnectionState:
        """The connection state that is true now: without a live lease nobody runs the socket, whatever was stored last."""
        if self.set_aside_by is not None:
            wanted = self.set_aside_by in (SetAsideBy.LOGOUT, SetAsideBy.FAILED_PAIRING, SetAsideBy.DELETE)
            return ConnectionState.STOPPED if wanted else ConnectionState.QUARANTINED
        if self.lease_held:
            return self.connection_state
        if self.desired_state is DesiredState.RUNNING:
            return ConnectionState.PAUSED if self.paused else ConnectionState.STARTING
        return ConnectionState.STOPPED

    @property
    def shown_reason(self) -> str | None:
        """Why it is in that state, or the last thing that ended its connection."""
        paused = self.paused and self.shown_state is ConnectionState.PAUSED and not self.lease_held
        return PAUSED_REASON if paused else self.reason


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to run a session's socket and to write its auth state, as this replica holds it."""

    session_ref: int
    session_id: str
    tenant_id: str
    generation: int
    epoch: int


def existing_id(text: str) -> str:
    """A session id as it came in a request; ``SessionNotFound`` at once for what can't be one."""
    if not SESSION_ID.fullmatch(text):
        raise SessionNotFound
    return text
