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

    @classmethod
    def until(cls, qr: str, milliseconds: int) -> "Qr":
        """From the sidecar's way of telling time: milliseconds since 1970."""
        return cls(qr, datetime.fromtimestamp(milliseconds / 1000, UTC))

    def valid(self) -> bool:
        return self.expires_at > datetime.now(UTC)


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
    verification: Verification | None = None


class Connections:
    """By ``session_ref``; a session that nobody told of has a blank connection."""

    def __init__(self) -> None:
        self._connections: dict[int, Connection] = {}
        self._unrecorded: set[int] = set()
        self._changed = asyncio.Condition()

    def of(self, session_ref: int) -> Connection:
        return self._connections.get(session_ref, Connection())

    async def set_state(self, session_ref: int, state: ConnectionState, reason: str | None) -> None:
        """A new state; it counts as unrecorded until the store has it."""
        connection = self._connections.setdefault(session_ref, Connection())
        connection.state, connection.reason = state, reason or connection.reason
        if state is ConnectionState.OPEN:
            connection.opened_at = datetime.now(UTC)
        if state is not ConnectionState.PAIRING:
            connection.qr = None
        self._unrecorded.add(session_ref)
        await self._notify()

    async def set_qr(self, session_ref: int, qr: Qr) -> None:
        self._connections.setdefault(session_ref, Connection()).qr = qr
        await self._notify()

    def set_degraded(self, session_ref: int, degraded: bool) -> None:
        self._connections.setdefault(session_ref, Connection()).degraded = degraded

    def set_verified(self, session_ref: int, keys: int, *, repaired_keys: int, repaired_creds: bool) -> None:
        """A verification backup compared ``keys`` signal keys and the creds; the repairs add up."""
        connection = self._connections.setdefault(session_ref, Connection())
        before = connection.verification or Verification(datetime.now(UTC), 0, 0, 0)
        connection.verification = Verification(
            datetime.now(UTC), keys, before.repaired_keys + repaired_keys, before.repaired_creds + repaired_creds
        )

    def forget(self, session_ref: int) -> None:
        self._connections.pop(session_ref, None)
        self._unrecorded.discard(session_ref)

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
