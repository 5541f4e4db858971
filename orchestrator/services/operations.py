"""Everything that is asked of a session beside sending: groups, contacts, presence and more, done by the sidecar."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from orchestrator.domain.errors import SessionNotOpen
from orchestrator.services.leases import LeaseBook
from orchestrator.services.shards import Shards
from orchestrator.store.sessions import SessionStore

T = TypeVar("T", bound=msgspec.Struct)


class Operations:
    """As with sends, they go through what this replica holds, without a look into the database."""

    def __init__(self, store: SessionStore, leases: LeaseBook, shards: Shards) -> None:
        self._store = store
        self._leases = leases
        self._shards = shards

    async def perform(self, tenant_id: str, session_id: str, name: str, body: Mapping[str, Any], gives: type[T]) -> T:
        """The outcome of an operation of docs/internal-api.md; ``SessionNotOpen`` unless the session is open.

        ``WhatsAppRefused`` and its kinds, or ``WhatsAppNoAnswer``: it may have been done.
        """
        lease = self._leases.find(tenant_id, session_id)
        if lease is None:
            await self._store.get(tenant_id, session_id)  # tells a session that isn't held here from one that isn't
            raise SessionNotOpen
        return await self._shards.client_of(lease.session_ref).operate(lease.session_ref, name, body, gives)
