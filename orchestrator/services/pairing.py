"""Linking a session to a phone: the QR code that is valid now, or an eight-character code."""

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.domain.errors import (
    AlreadyPaired,
    FieldError,
    InvalidRequest,
    NotPairing,
    PaymentRequired,
    QrNotReady,
    SessionQuarantined,
)
from orchestrator.domain.recipient import phone_digits
from orchestrator.domain.session import ConnectionState, DesiredState, Session, SetAsideBy
from orchestrator.services.connections import Connections, PairingCode, Qr
from orchestrator.services.shards import Shards
from orchestrator.store.sessions import SessionStore

#: Seconds that a request waits for the first QR code of a session that was started just now.
QR_WAIT_SECONDS = 10.0


class Phase(StrEnum):
    """How far a pairing is, for the person at the phone."""

    WAITING = "waiting"
    """WhatsApp is being asked for a QR code."""
    SCAN = "scan"
    LINKING = "linking"
    """The account is stored; the connection isn't open yet."""
    LINKED = "linked"
    FAILED = "failed"
    """Over, or never begun: somebody must start it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """``failure``: its code, of the whole pairing, or of the attempt before this one."""

    phase: Phase
    qr: Qr | None = None
    code: PairingCode | None = None
    failure: str | None = None


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

    async def code(self, tenant_id: str, session_id: str, phone: str) -> PairingCode:
        """A code that the owner of ``phone`` (digits with country code) types into WhatsApp: ``ABCD-EFGH``.

        Within a minute it is the same for the same phone.
        """
        digits = phone_digits(phone)
        if digits is None:
            message = "must be a phone number with country code, digits only, such as 5511999990000"
            raise InvalidRequest(errors=[FieldError("phone", message)])
        session = await self._pairing_session(tenant_id, session_id)
        if await self._connections.wait_for_qr(session.session_ref, QR_WAIT_SECONDS) is None:
            await self._pairing_session(tenant_id, session_id)
            raise NotPairing
        shown = await self._shards.client_of(session.session_ref).pairing_code(session.session_ref, digits)
        code = PairingCode.until(shown.pairing_code, shown.expires_at)
        await self._connections.set_pairing_code(session.session_ref, code)
        return code

    async def progress(self, tenant_id: str, session_id: str) -> Progress:
        """What is true now, as far as this replica knows; ``SessionNotFound``."""
        session = await self._store.get(tenant_id, session_id)
        connection = self._connections.of(session.session_ref)
        if session.paired:
            is_open = ConnectionState.OPEN in (connection.state, session.shown_state)
            return Progress(Phase.LINKED if is_open else Phase.LINKING)
        runs = session.desired_state is DesiredState.RUNNING and not session.paused
        if session.set_aside_by is not None or not runs:
            return Progress(Phase.FAILED, failure=session.pairing_failure)
        qr = connection.qr if connection.qr is not None and connection.qr.valid() else None
        code = connection.pairing_code
        code = code if code is not None and code.valid() else None
        phase = Phase.WAITING if qr is None and code is None else Phase.SCAN
        return Progress(phase, qr, code, connection.retried_for)

    async def change(self, seconds: float) -> None:
        """Returns when anything about a connection of this replica changed, or after ``seconds``."""
        await self._connections.change(seconds)

    async def _pairing_session(self, tenant_id: str, session_id: str) -> Session:
        session = await self._store.get(tenant_id, session_id)
        if session.set_aside_by in (SetAsideBy.LOGOUT, SetAsideBy.FAILED_PAIRING):
            raise NotPairing(_ended(session))
        if session.set_aside_by is not None:
            raise SessionQuarantined
        if session.paired:
            raise AlreadyPaired
        if session.desired_state is not DesiredState.RUNNING:
            raise NotPairing(_ended(session))
        if session.paused:
            raise PaymentRequired
        return session


def _ended(session: Session) -> str | None:
    """Why nobody can link it now, if its last pairing came to nothing."""
    if session.pairing_failure is None:
        return None
    return f"The last pairing came to nothing: {session.reason} {NotPairing.default_message()}"
