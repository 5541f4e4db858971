"""Backup and restore: what the sidecar's auth state is written to and loaded from."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import structlog

from orchestrator.domain.auth_state import (
    AuthStateWrite,
    Found,
    LoadOutcome,
    Prefetched,
    SignalKeyName,
    StateAddress,
)
from orchestrator.domain.errors import AuthStateCorrupt, EncryptionKeyMissing, LeaseLost
from orchestrator.domain.session import Lease, SetAsideBy
from orchestrator.services.leases import LeaseBook
from orchestrator.services.quarantine import Quarantine
from orchestrator.store.auth_state import AuthStateStore
from orchestrator.store.auth_state_writer import AuthStateWriter, Outcome

log = structlog.get_logger(__name__)

#: Told of each incoming message once it is durable: whose it is, its number and the JSON of its event's data.
IncomingMessage = Callable[[Lease, int, bytes], None]


class Backups:
    """Every method raises ``LeaseLost``, ``DatabaseUnavailable`` or ``AuthStateCorrupt`` (after it quarantined)."""

    def __init__(
        self,
        store: AuthStateStore,
        writer: AuthStateWriter,
        leases: LeaseBook,
        quarantine: Quarantine,
        on_incoming: IncomingMessage,
    ) -> None:
        self._store = store
        self._writer = writer
        self._leases = leases
        self._quarantine = quarantine
        self._on_incoming = on_incoming

    async def load(self, sessions: Iterable[tuple[int, int, int]]) -> list[LoadOutcome | LeaseLost | AuthStateCorrupt]:
        """The creds of many sessions, each (session_ref, generation, epoch), in one read; what fails, fails for itself."""
        leases = [self._leases.find_exactly(*session) for session in sessions]
        held = [lease for lease in leases if lease is not None]
        loaded = iter(await self._store.load([self._leases.address_of(lease) for lease in held]))
        outcomes = [LeaseLost() if lease is None else next(loaded) for lease in leases]
        for lease, outcome in zip(leases, outcomes, strict=True):
            if lease is not None and isinstance(outcome, AuthStateCorrupt):
                await self._set_aside(lease, outcome)
        number = sum(isinstance(outcome, Found) for outcome in outcomes)
        log.info("auth states loaded", asked=len(outcomes), found=number)
        return outcomes

    async def prefetch(self, session_ref: int, generation: int, epoch: int) -> Prefetched:
        async with self._corruption_quarantines(session_ref, generation, epoch) as address:
            return await self._store.prefetch(address)

    async def read(
        self, session_ref: int, generation: int, epoch: int, names: Iterable[SignalKeyName]
    ) -> dict[SignalKeyName, str]:
        async with self._corruption_quarantines(session_ref, generation, epoch) as address:
            return await self._store.read(address, names)

    async def write(self, writes: Sequence[tuple[int, int, int, AuthStateWrite]]) -> list[Exception | None]:
        """Write to many sessions, each (session_ref, generation, epoch, what); returns when all of it is settled.

        None says that PostgreSQL committed all of that write, an error that nothing of it was written, or, with
        ``DatabaseUnavailable``, that this is unknown. Raises ``Overloaded`` when none was even begun.
        """
        leases = [self._leases.find_exactly(*session) for *session, _ in writes]
        held = [(lease, write) for lease, (*_, write) in zip(leases, writes, strict=True) if lease is not None]
        written = iter(await self._writer.write_all([(self._leases.address_of(lease), write) for lease, write in held]))
        now = datetime.now(UTC)
        return [
            LeaseLost() if lease is None else self._settled(lease, write, next(written), now)
            for lease, (*_, write) in zip(leases, writes, strict=True)
        ]

    async def verify(
        self, session_ref: int, generation: int, epoch: int, creds: str, keys: Mapping[SignalKeyName, str | None]
    ) -> tuple[bool, list[SignalKeyName]]:
        """A verification backup: what differs between the sidecar's digests and what is stored."""
        async with self._corruption_quarantines(session_ref, generation, epoch) as address:
            return await self._store.differing(address, creds, keys)

    async def sent_message(self, session_ref: int, generation: int, epoch: int, message_id: str) -> bytes | None:
        """A message that we sent, for a phone that asks again; one that can't be opened is as good as pruned."""
        lease = self._lease(session_ref, generation, epoch)
        try:
            return await self._store.read_sent_message(self._leases.address_of(lease), message_id)
        except AuthStateCorrupt as error:
            log.warning(
                "sent message can't be opened", session_ref=session_ref, message_id=message_id, error=error.message
            )
            return None

    def _settled(self, lease: Lease, write: AuthStateWrite, outcome: Outcome, at: datetime) -> Exception | None:
        if isinstance(outcome, Exception):
            return outcome
        self._leases.note_backup(lease.session_ref, at)
        for message_key, number in outcome.items():
            self._on_incoming(lease, number, write.incoming_messages[message_key])
        return None

    def _lease(self, session_ref: int, generation: int, epoch: int) -> Lease:
        lease = self._leases.find_exactly(session_ref, generation, epoch)
        if lease is None:
            raise LeaseLost
        return lease

    @asynccontextmanager
    async def _corruption_quarantines(
        self, session_ref: int, generation: int, epoch: int
    ) -> AsyncIterator[StateAddress]:
        lease = self._lease(session_ref, generation, epoch)
        try:
            yield self._leases.address_of(lease)
        except AuthStateCorrupt as error:
            await self._set_aside(lease, error)
            raise

    async def _set_aside(self, lease: Lease, error: AuthStateCorrupt) -> None:
        by = SetAsideBy.KEY_MISSING if isinstance(error, EncryptionKeyMissing) else SetAsideBy.CORRUPT
        await self._quarantine.set_aside(lease, by, error.message)
