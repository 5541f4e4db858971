"""What an owner does with sessions: create, look, start, stop, log out, delete."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from orchestrator.domain.errors import (
    GenerationInUse,
    JournalUndrained,
    PaymentRequired,
    SessionNotOpen,
    SessionQuarantined,
)
from orchestrator.domain.session import ConnectionState, DesiredState, Session, SetAsideBy
from orchestrator.services.connections import Connections, Verification
from orchestrator.services.events import EventBus
from orchestrator.services.leases import LeaseBook
from orchestrator.services.quarantine import Quarantine
from orchestrator.services.supervision import Supervision
from orchestrator.store.sessions import SessionStore

#: States from which a start opens a new connection, because the present one has given up.
_GIVEN_UP = frozenset({ConnectionState.CONFLICT, ConnectionState.PAUSED, ConnectionState.WAITING_RETRY})

_UNREADABLE = (SetAsideBy.CORRUPT, SetAsideBy.KEY_MISSING)
#: Nobody would want these back: the next start is a new pairing.
_OVER = (SetAsideBy.LOGOUT, SetAsideBy.FAILED_PAIRING)

_LINKED_ALREADY = (
    "The session is linked and needs no new pairing; to link another account all the same, repeat the call with"
    ' "replace": true. The present one comes back if the new one fails.'
)


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session with what only the replica that runs it knows."""

    session: Session
    degraded: bool
    last_backup_at: datetime | None
    verification: Verification | None


class Sessions:
    def __init__(
        self,
        store: SessionStore,
        leases: LeaseBook,
        connections: Connections,
        supervision: Supervision,
        quarantine: Quarantine,
        events: EventBus,
    ) -> None:
        self._store = store
        self._leases = leases
        self._connections = connections
        self._supervision = supervision
        self._quarantine = quarantine
        self._events = events

    async def create(self, tenant_id: str, session_id: str) -> SessionView:
        """A new session that starts at once, and waits for its pairing."""
        session = await self._store.create(tenant_id, session_id)
        self._supervision.wanted.set()
        return self._view(session)

    async def page(
        self,
        tenant_id: str,
        *,
        after: str | None,
        most: int,
        search: str = "",
        states: Collection[ConnectionState] = (),
    ) -> Sequence[SessionView]:
        """By id, from the one after ``after``."""
        found = await self._store.page(tenant_id, after=after, most=most, search=search, states=states)
        return [self._view(session) for session in found]

    async def page_of_all(
        self, *, search: str | None, states: Collection[ConnectionState], after: tuple[str, str] | None, most: int
    ) -> Sequence[SessionView]:
        """All tenants', by tenant and id."""
        found = await self._store.page_of_all(search=search, states=states, after=after, most=most)
        return [self._view(session) for session in found]

    async def count_by_state(self, tenant_id: str | None = None) -> dict[ConnectionState, int]:
        """Of a tenant or of all, as the store knows it: seconds behind."""
        return await self._store.count_by_state(tenant_id)

    async def get(self, tenant_id: str, session_id: str) -> SessionView:
        return self._view(await self._store.get(tenant_id, session_id))

    async def start(self, tenant_id: str, session_id: str, *, new_pairing: bool, replace: bool = False) -> SessionView:
        """Have the session run.

        A pairing that is set aside needs ``new_pairing``, unless its owner logged it out or it came to nothing, which
        starts a new one, or its state could not be opened, which is tried again. A ``new_pairing`` in the place of one
        that works needs ``replace`` too (else ``GenerationInUse``); that one comes back if the new one fails.
        ``PaymentRequired`` while it is paused.
        """
        session = (await self.get(tenant_id, session_id)).session
        if session.paused:
            raise PaymentRequired
        by = session.set_aside_by
        if session.paired and new_pairing:
            if not replace:
                raise GenerationInUse(_LINKED_ALREADY)
            await self._replace(session)
        if by in _UNREADABLE and not new_pairing:
            await self._store.reinstate(by, session.session_ref)
        elif by is not None:
            if by not in _OVER and not new_pairing:
                raise SessionQuarantined
            await self._store.begin_generation(session.session_ref, after=session.generation)
        await self._store.desire(session.session_ref, DesiredState.RUNNING)
        if session.shown_state in _GIVEN_UP:
            await self._supervision.restart(session.session_ref)
        self._supervision.wanted.set()
        return await self.get(tenant_id, session_id)

    async def stop(self, tenant_id: str, session_id: str) -> SessionView:
        """Close the connection and keep it closed; the pairing stays, and a start needs no QR code."""
        session = (await self.get(tenant_id, session_id)).session
        await self._store.desire(session.session_ref, DesiredState.STOPPED)
        await self._supervision.stop(session.session_ref)
        if session.set_aside_by is None:
            await self._store.record_stop(session.session_ref, "Stopped by request.")
        self._publish_stopped(session, "Stopped by request.")
        return await self.get(tenant_id, session_id)

    async def restart(self, tenant_id: str, session_id: str) -> SessionView:
        """As ``start``, and a connection that there is makes place for a new one; ``SessionQuarantined``."""
        session = (await self.start(tenant_id, session_id, new_pairing=False)).session
        await self._supervision.restart(session.session_ref)
        return await self.get(tenant_id, session_id)

    async def log_out(self, tenant_id: str, session_id: str) -> SessionView:
        """Have WhatsApp remove the device and set the pairing aside; ``SessionNotOpen`` unless the session is open."""
        session = (await self.get(tenant_id, session_id)).session
        lease = self._leases.held.get(session.session_ref)
        if lease is None or session.shown_state is not ConnectionState.OPEN:
            raise SessionNotOpen
        await self._quarantine.log_out(lease)
        self._connections.forget(session.session_ref)
        self._supervision.wanted.set()
        return await self.get(tenant_id, session_id)

    async def delete(self, tenant_id: str, session_id: str) -> None:
        """Stop the session and hide it. The device stays linked on the phone: log out first to remove it there."""
        session = (await self.get(tenant_id, session_id)).session
        await self._store.desire(session.session_ref, DesiredState.STOPPED)
        await self._supervision.stop(session.session_ref)
        await self._store.delete(session.session_ref, session.generation)
        self._leases.forget(session.session_ref)
        self._publish_stopped(session, "The session was deleted.")

    async def _replace(self, session: Session) -> None:
        """Begin a new pairing in the place of one that works; ``JournalUndrained`` when its last changes aren't stored."""
        await self._supervision.stop(session.session_ref)
        if session.session_ref in self._leases.held:
            raise JournalUndrained
        await self._store.replace_generation(session.session_ref, session.generation)
        self._leases.forget(session.session_ref)
        self._connections.forget(session.session_ref)

    def _publish_stopped(self, session: Session, reason: str) -> None:
        if session.shown_state is not ConnectionState.STOPPED:
            self._events.publish_state(session, ConnectionState.STOPPED, reason, session.jid)

    def _view(self, session: Session) -> SessionView:
        """Add what this replica knows better than the store, if it is the one that runs the session."""
        if session.session_ref not in self._leases.held:
            return SessionView(session, degraded=False, last_backup_at=session.last_backup_at, verification=None)
        connection = self._connections.of(session.session_ref)
        session = replace(
            session,
            connection_state=connection.state,
            owner=self._leases.owner,
            reason=connection.reason or session.reason,
            last_open_at=connection.opened_at or session.last_open_at,
        )
        last = self._leases.last_backup_at(session.session_ref) or session.last_backup_at
        return SessionView(session, connection.degraded, last, connection.verification)
