"""Linking a session to a phone: the QR code that is valid now, or an eight-character code."""

from orchestrator.domain.errors import (
    AlreadyPaired,
    FieldError,
    InvalidRequest,
    NotPairing,
    QrNotReady,
    SessionQuarantined,
)
from orchestrator.domain.recipient import phone_digits
from orchestrator.domain.session import DesiredState, Session, SetAsideBy
from orchestrator.services.connections import Connections, Qr
from orchestrator.services.shards import Shards
from orchestrator.store.sessions import SessionStore

#: Seconds that a request waits for the first QR code of a session that was started just now.
QR_WAIT_SECONDS = 10.0


class Pairing:
    def __init__(self, store: SessionStore, connections: Connections, shards: Shards) -> None:
        self._store = store
        self._connections = connections
        self._shards = shards

    async def qr(self, tenant_id: str, session_id: str) -> Qr:
        """The QR code that a phone accepts now; waits a moment for the first one."""
        session = await self._pairing_session(tenant_id, session_id)
        qr = await self._connections.wait_for_qr(session.session_ref, QR_WAIT_SECONDS)
        if qr is None:
            # It may have been paired, or have given up, while this request waited.
            await self._pairing_session(tenant_id, session_id)
            raise QrNotReady
        return qr

    async def code(self, tenant_id: str, session_id: str, phone: str) -> str:
        """A code that the owner of ``phone`` (digits with country code) types into WhatsApp: ``ABCD-EFGH``."""
        digits = phone_digits(phone)
        if digits is None:
            message = "must be a phone number with country code, digits only, such as 5511999990000"
            raise InvalidRequest(errors=[FieldError("phone", message)])
        session = await self._pairing_session(tenant_id, session_id)
        if await self._connections.wait_for_qr(session.session_ref, QR_WAIT_SECONDS) is None:
            await self._pairing_session(tenant_id, session_id)
            raise NotPairing
        return await self._shards.client_of(session.session_ref).pairing_code(session.session_ref, digits)

    async def _pairing_session(self, tenant_id: str, session_id: str) -> Session:
        session = await self._store.get(tenant_id, session_id)
        if session.set_aside_by is SetAsideBy.LOGOUT:
            raise NotPairing
        if session.set_aside_by is not None:
            raise SessionQuarantined
        if session.paired:
            raise AlreadyPaired
        if session.desired_state is not DesiredState.RUNNING:
            raise NotPairing
        return session
