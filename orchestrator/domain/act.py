"""An act: what somebody did through the API that is kept on record."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What is about to be done, and by whom."""

    actor: str
    """A token's id, or ``ADMIN_ACTOR``."""
    action: str
    """The operation's name."""
    tenant_id: str
    """Whom it concerns."""
    path: str
    request_id: str
    address: str | None
    """Where the request came from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    act_id: int
    at: datetime
    deed: Deed
    status: int | None
    """How it was answered; None: it was begun, and how it ended is unknown."""
    result: str | None
    """The address of what was made."""
