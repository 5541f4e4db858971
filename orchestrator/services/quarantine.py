"""Setting a generation aside: nothing is deleted, nobody writes to it any more, and somebody is told."""

import asyncio

import structlog

from orchestrator.domain.session import ConnectionState, Lease, SetAsideBy
from orchestrator.services.events import EventBus
from orchestrator.services.leases import LeaseBook
from orchestrator.services.shards import Shards
from orchestrator.store.sessions import SessionStore

log = structlog.get_logger(__name__)


class Quarantine:
    def __init__(self, sessions: SessionStore, leases: LeaseBook, events: EventBus, shards: Shards) -> None:
        self._sessions = sessions
        self._leases = leases
        self._events = events
        self._shards = shards
        self._one_at_a_time = asyncio.Lock()
        self._logouts: set[int] = set()

    async def log_out(self, lease: Lease) -> None:
        """Have WhatsApp remove the device, then set the generation aside; ``SessionNotOpen`` if it can't be asked."""
        self._logouts.add(lease.session_ref)
        try:
            await self._shards.client_of(lease.session_ref).logout(lease.session_ref)
            await self.set_aside(lease, SetAsideBy.LOGOUT, "Logged out by request.")
        finally:
            self._logouts.discard(lease.session_ref)

    async def set_aside(self, lease: Lease, by: SetAsideBy, reason: str) -> None:
        """Set the lease's generation aside and give the lease up; a second call finds the lease gone and does nothing.

        The owner's own logout comes here twice, from the request and as the sidecar's report of it, and is no alert.
        """
        async with self._one_at_a_time:
            if self._leases.held.get(lease.session_ref) != lease:
                return
            if lease.session_ref in self._logouts:
                by, reason = SetAsideBy.LOGOUT, "Logged out by request."
            wanted = by is SetAsideBy.LOGOUT
            state = ConnectionState.STOPPED if wanted else ConnectionState.QUARANTINED
            ours = await self._sessions.set_aside(lease, self._leases.owner, by, reason, state)
            if self._leases.held.get(lease.session_ref) == lease:
                self._leases.forget(lease.session_ref)
        if not ours:
            return
        log.warning(
            "generation set aside", session_id=lease.session_id, generation=lease.generation, by=by, reason=reason
        )
        self._events.publish_state(lease, state, reason)
        if not wanted:
            alert = {"alert": "quarantined", "generation": lease.generation, "by": by, "reason": reason}
            self._events.publish(lease.tenant_id, "session.alert", lease.session_id, alert)
