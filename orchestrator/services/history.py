"""What a session was: its generations, what happened to them, and the way back to one of them."""

from collections.abc import Sequence

import structlog

from orchestrator.domain.generation import AuditEntry, Generation
from orchestrator.services.connections import Connections
from orchestrator.services.leases import LeaseBook
from orchestrator.services.supervision import Supervision
from orchestrator.store.audit import AuditStore
from orchestrator.store.generations import GenerationStore

log = structlog.get_logger(__name__)

#: Generations that one transaction purges: each is a thousand rows.
PURGED_AT_ONCE = 20


class History:
    def __init__(
        self,
        generations: GenerationStore,
        audit: AuditStore,
        leases: LeaseBook,
        connections: Connections,
        supervision: Supervision,
    ) -> None:
        self._generations = generations
        self._audit = audit
        self._leases = leases
        self._connections = connections
        self._supervision = supervision

    async def generations(
        self, tenant_id: str, session_id: str, *, before: int | None, most: int
    ) -> Sequence[Generation]:
        """Of the session, newest first, before the one of that number; of a deleted one, as long as they are kept."""
        return await self._generations.page(tenant_id, session_id, before=before, most=most)

    async def audit(self, tenant_id: str, session_id: str, *, before: int | None, most: int) -> Sequence[AuditEntry]:
        """The newest entries, newest first; ``SessionNotFound`` if there never was such a session."""
        entries = await self._audit.of_session(tenant_id, session_id, most, before)
        if not entries:
            await self._generations.page(tenant_id, session_id, before=None, most=1)
        return entries

    async def restore(self, tenant_id: str, session_id: str, generation: int, *, replace: bool) -> None:
        """Have the session run with a generation that was set aside, also one of a deleted session.

        Raises ``GenerationNotFound``, ``GenerationNotPaired`` and ``GenerationInUse``.
        """
        lease = self._leases.find(tenant_id, session_id)
        await self._generations.restore(tenant_id, session_id, generation, replace=replace, actor="owner")
        log.warning("generation restored", session_id=session_id, generation=generation)
        if lease is not None:  # it is fenced by now; the next round closes its connection
            self._leases.forget(lease.session_ref)
            self._connections.forget(lease.session_ref)
        self._supervision.wanted.set()

    async def purge(self, *, retention_days: float) -> None:
        """Forget generations that were set aside that long ago. Raises ``DatabaseUnavailable``."""
        while number := await self._generations.purge(days=retention_days, most=PURGED_AT_ONCE):
            log.warning("generations purged", number=number, after_days=retention_days)
