"""A log-in: a token of a browser, which lives for hours and no longer than the token that it was made from."""

from dataclasses import dataclass
from datetime import datetime

from orchestrator.domain.tenant import Scope


@dataclass(frozen=True, slots=True)
class LoginLink:
    """What a link opens for whoever uses it first."""

    tenant_id: str | None
    """None: the admin's."""
    scopes: frozenset[Scope]
    """Of the tenant's; nothing for the admin, who has all."""
    parent: bytes | None
    """The digest of the token that must be valid as long as the log-in is; None: the link came from the bot."""
    created_by: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Login:
    token: str
    """Known now and never again: the store has its digest."""
    tenant_id: str
    expires_at: datetime
