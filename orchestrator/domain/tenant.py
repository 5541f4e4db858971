"""Tenants, and what their tokens may do."""

from dataclasses import dataclass
from enum import StrEnum

#: The operator's own tenant: it is there from the first start and can't be removed.
OPERATOR_TENANT = "operator"


class Scope(StrEnum):
    """What a token may do. A token has any of the first three; the admin token has all."""

    READ = "read"
    """Look at everything of the tenant, and listen to its events."""
    SEND = "send"
    """Send through its sessions."""
    MANAGE = "manage"
    """Create, link, start, stop and delete sessions, and make tokens."""
    ADMIN = "admin"
    """Manage tenants and see all of them."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a request's token stands for."""

    tenant_id: str
    scopes: frozenset[Scope]


ADMIN = Caller(OPERATOR_TENANT, frozenset(Scope))
