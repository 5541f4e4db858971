"""What the sidecar last said about each connection: facts that live in memory because they are true only while it runs."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from orchestrator.domain.session import ConnectionState


@dataclass(frozen=True, slots=True)
class Qr:
    """A pairing QR code's text and until when a phone accepts it."""

    qr: str
    expires_at: datetime
    rotated: bool = False
    """In the place of one that WhatsApp took back: who scanned that one must scan again."""

    @classmethod
    def until(cls, qr: str, milliseconds: int, *, rotated: bool = False) -> "Qr":
        """From the sidecar's way of telling time: milliseconds since 1970."""
        return cls(qr, _moment(milliseconds), rotated)

    def valid(self) -> bool:
        return self.expires_at > datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class PairingCode:
    """Eight characters to be typed on the phone, and until when it accepts them."""

    code: str
    expires_at: datetime

    @classmethod
    def until(cls, code: str, milliseconds: int) -> "PairingCode":
        return cls(code, _moment(milliseconds))

    def valid(self) -> bool:
        return self.expires_at > datetime.now(UTC)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


@dataclass(frozen=True, slots=True)
class Verification:
    """The last verification backup, and what all of them repaired since this orchestrator or the lease began."""

    at: datetime
    keys: int
    """Signal keys that were compared."""
    repaired_keys: int
    repaired_creds: int


@dataclass(slots=True)
class Connection:
    state: ConnectionState = ConnectionState.STARTING
    reason: str | None = None
    """The last reason that was given: an open connection still knows why the one before it ended."""
    opened_at: datetime | None = None
    degraded: bool = False
    qr: Qr | None = None
    pairing_code: PairingCode | None = None
    retried_for: str | None = None
    """Why the last pairing attempt came to nothing, while another one is under way by itself."""
    verification: Verification | None = None
    repaired_at: datetime | None = None
    """When a verification last found a difference."""
    reported: int = 0
    """Which of the sidecar's reports was its last one; 0: none yet."""
    learned: bool = False
    """The state is from a list; the sidecar's own report of it may still be on its way."""


class Connections:
    """By ``session_ref``; a session that nobody told of has a blank connection."""

    def __init__(self) -> None:
        self._connections: dict[int, Connection] = {}
        self._unrecorded: set[int] = set()
        self.reports = 0
        """How many reports the sidecars have made of their connections so far."""
        self._changed = asyncio.Condition()

    def of(self, session_ref: int) -> Connection:
        return self._connections.get(session_ref, Connection())

    async def set_state(self, session_ref: int, state: ConnectionState, reason: str | None) -> None:
        """A new state; it counts as unrecorded until the store has it."""
        connection = self._connections.setdefault(session_ref, Connection())
        connection.state, connection.reason = state, reason or connection.reason
        connection.learned = False
        if state is ConnectionState.OPEN:
            connection.opened_at = datetime.now(UTC)
        if state is not ConnectionState.PAIRING:
            connection.qr = connection.pairing_code = None
        if state is ConnectionState.OPEN:
            connection.retried_for = None
        self._unrecorded.add(session_ref)
        await self._notify()

    def note_report(self, session_ref: int) -> None:
        """The sidecar reports something of this connection: lists that were asked for before may be older."""
        self.reports += 1
        self._connections.setdefault(session_ref, Connection()).reported = self.reports

    def reported_since(self, session_ref: int, reports: int) -> bool:
        """Whether the sidecar has reported something of this connection since there were so many reports."""
        return self.of(session_ref).reported > reports

    async def report_state(self, session_ref: int, state: ConnectionState, reason: str | None) -> bool:
        """The sidecar reports a state; whether that is news, and not what a list has told before."""
        connection = self.of(session_ref)
        if connection.learned and connection.state is state:
            connection.learned, connection.reason = False, reason or connection.reason
            return False
        await self.set_state(session_ref, state, reason)
        return True

    async def learn_state(self, session_ref: int, state: ConnectionState, reason: str | None) -> bool:
        """A list tells a state; whether that is news."""
        if self.of(session_ref).state is state:
            return False
        await self.set_state(session_ref, state, reason)
        self._connections[session_ref].learned = True
        return True

    async def set_qr(self, session_ref: int, qr: Qr) -> None:
        self._connections.setdefault(session_ref, Connection()).qr = qr
        await self._notify()

    async def set_pairing_code(self, session_ref: int, code: PairingCode) -> None:
        self._connections.setdefault(session_ref, Connection()).pairing_code = code
        await self._notify()

    async def set_retried(self, session_ref: int, failure: str) -> None:
        """The pairing attempt came to nothing and the sidecar begins another by itself."""
        self._connections.setdefault(session_ref, Connection()).retried_for = failure
        await self._notify()

    def set_degraded(self, session_ref: int, degraded: bool) -> None:
        self._connections.setdefault(session_ref, Connection()).degraded = degraded

    def set_verified(self, session_ref: int, keys: int, *, repaired_keys: int, repaired_creds: bool) -> None:
        """A verification backup compared ``keys`` signal keys and the creds; the repairs add up."""
        connection = self._connections.setdefault(session_ref, Connection())
        before = connection.verification or Verification(datetime.now(UTC), 0, 0, 0)
        if repaired_keys or repaired_creds:
            connection.repaired_at = datetime.now(UTC)
        connection.verification = Verification(
            datetime.now(UTC), keys, before.repaired_keys + repaired_keys, before.repaired_creds + repaired_creds
        )

    def all(self) -> Iterable[tuple[int, Connection]]:
        return list(self._connections.items())

    def forget(self, session_ref: int) -> None:
        self._connections.pop(session_ref, None)
        self._unrecorded.discard(session_ref)

    async def change(self, seconds: float) -> None:
        """Returns when anything about any connection changed, or after ``seconds``."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait()
        except TimeoutError:
            return

    def unrecorded(self) -> Iterable[tuple[int, Connection]]:
        return [(ref, self._connections[ref]) for ref in self._unrecorded if ref in self._connections]

    def recorded(self, session_ref: int, state: ConnectionState) -> None:
        """The store has this state; a newer one stays unrecorded."""
        if self.of(session_ref).state is state:
            self._unrecorded.discard(session_ref)

    async def wait_for_qr(self, session_ref: int, seconds: float) -> Qr | None:
        """The QR code that is valid now, waiting up to ``seconds`` for one; None when there is none by then."""

        def valid() -> Qr | None:
            qr = self.of(session_ref).qr
            return qr if qr is not None and qr.valid() else None

        try:
            async with asyncio.timeout(seconds), self._changed:
                while (qr := valid()) is None:
                    await self._changed.wait()
                return qr
        except TimeoutError:
            return None

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
