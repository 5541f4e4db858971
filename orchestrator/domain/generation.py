"""A generation: one pairing of a session, and what is on record of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from orchestrator.domain.session import SetAsideBy


class Action(StrEnum):
    """What can happen to a generation."""

    SET_ASIDE = "set_aside"
    RESTORED = "restored"
    PURGED = "purged"


@dataclass(frozen=True, slots=True)
class Generation:
    """``current``: the one that the session uses; ``restorable``: it is set aside, was paired, and its creds are there."""

    generation: int
    current: bool
    restorable: bool
    jid: str | None
    created_at: datetime
    paired_at: datetime | None
    set_aside_at: datetime | None
    set_aside_by: SetAsideBy | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """``actor``: who or what did it, a ``SetAsideBy`` or ``owner``, ``orchestrator``, ``retention``."""

    number: int
    at: datetime
    action: str
    generation: int | None
    actor: str
    reason: str | None
