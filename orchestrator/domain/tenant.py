"""Tenants, the tokens that speak for them, and what these may do."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from orchestrator.domain.errors import ScopeMissing, TenantNotFound

#: The operator's own tenant: it is there from the first start and can't be blocked or removed.
OPERATOR_TENANT = "operator"

#: Who the admin token stands for, as an actor in the audit log.
ADMIN_ACTOR = "admin"

#: Every token of a tenant begins with it, so that scanners find a leaked one, and anything else is refused without a look
#: into the database.
TOKEN_PREFIX = "bo_"  # noqa: S105 (no secret)

#: The same as for sessions: it is part of addresses, and of the associated data of every sealed value.
TENANT_ID = re.compile(r"(?!\.\.?$)[A-Za-z0-9._-]{1,64}")


class Scope(StrEnum):
    """What a token may do. A token of a tenant has any of the first three; the admin token has all."""

    READ = "read"
    """Look at everything of the tenant, and listen to its events."""
    SEND = "send"
    """Send through its sessions, and keep the contacts that these remind."""
    MANAGE = "manage"
    """Create, link, start, stop and delete sessions, and make tokens."""
    ADMIN = "admin"
    """Manage tenants and see all of them."""


#: What a token of a tenant can have.
TENANT_SCOPES = frozenset({Scope.READ, Scope.SEND, Scope.MANAGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a tenant may have at most; None: as much as it likes."""

    sessions: int | None = None
    messages_per_minute: int | None = None
    storage_bytes: int | None = None
    """What its sessions may take in the database before no further one may be made. Auth states are always written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    tenant_id: str
    name: str
    limits: Limits
    chat_retention_days: int
    """How long messages of its chats are kept; 0: they are not."""
    blocked_at: datetime | None
    blocked_reason: str | None
    sessions: int
    stored_bytes: int | None
    """What its sessions took in the database when that was last measured, which is only done where there is a limit."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """What is known of a token of a tenant; the token itself was shown once."""

    token_id: str
    tenant_id: str
    name: str
    hint: str
    """Its first characters, by which its owner recognises it."""
    scopes: frozenset[Scope]
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a valid token opens, as it was last read from the store."""

    token_id: str
    tenant_id: str
    scopes: frozenset[Scope]
    expires_at: datetime | None
    blocked: bool
    messages_per_minute: int | None
    parent: bytes | None = None
    """Of a log-in: the digest of the token that it was made from."""

    def expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a request's token stands for."""

    tenant_id: str
    """The tenant of the token, whatever the request is about."""
    scopes: frozenset[Scope]
    actor: str
    """The id of its token, or ``ADMIN_ACTOR``."""
    messages_per_minute: int | None = field(default=None)

    @property
    def is_admin(self) -> bool:
        return Scope.ADMIN in self.scopes

    def require(self, scopes: Iterable[Scope]) -> None:
        """Raise ``ScopeMissing`` unless the caller has all of them."""
        missing = sorted(set(scopes) - self.scopes)
        if missing:
            raise ScopeMissing(f"This token lacks the scope {', '.join(missing)}; use one that has it.")


ADMIN = Caller(OPERATOR_TENANT, frozenset(Scope), ADMIN_ACTOR)
#: The Telegram bot, which does what the operator and tenants ask it to.
BOT = Caller(OPERATOR_TENANT, frozenset(Scope), "bot")


def existing_tenant_id(text: str) -> str:
    """A tenant id as it came in a request; ``TenantNotFound`` at once for what can't be one."""
    if not TENANT_ID.fullmatch(text):
        raise TenantNotFound
    return text
