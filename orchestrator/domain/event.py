"""Something that happened to a session, told to whoever listens."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """One event as the public API shows it; ``number`` is the place of a stored one among all that are stored."""

    tenant_id: str
    type: str
    session_id: str
    """Empty: it is about no session."""
    data: dict[str, Any]
    at: datetime
    number: int | None = None
    relayed: bool = False
    """It happened at another replica."""
    expires_at: datetime | None = None
    """Until when it is worth telling: until then, whoever begins to listen is told of the newest of its kind first."""
    event_id: str | None = None
    """Names one that is stored, other than a received message, however often it is told."""


def new_event_id() -> str:
    return f"evt_{secrets.token_hex(12)}"
