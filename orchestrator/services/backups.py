"""Backup and restore: what the sidecar's auth state is written to and loaded from."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

import structlog

from orchestrator.domain.auth_state import AuthStateWrite, Found, LoadOutcome, SignalKeyName, StateAddress
from orchestrator.domain.errors import AuthStateCorrupt, EncryptionKeyMissing
from orchestrator.domain.session import SetAsideBy
from orchestrator.services.leases import LeaseBook
from orchestrator.services.quarantine import Quarantine
from orchestrator.store.auth_state import AuthStateStore

log = structlog.get_logger(__name__)


class Backups:
    """Every method raises ``LeaseLost``, ``DatabaseUnavailable`` or ``AuthStateCorrupt`` (after it quarantined)."""

    def __init__(self, store: AuthStateStore, leases: LeaseBook, quarantine: Quarantine) -> None:
        self._store = store
        self._leases = leases
        self._quarantine = quarantine

    async def load(self, session_ref: int, generation: int, epoch: int) -> LoadOutcome:
        async with self._corruption_quarantines(session_ref, generation, epoch) as address:
            outcome = await self._store.load(address)
        log.info(
            "auth state loaded",
            session_id=self._leases.current(session_ref, epoch).session_id,
            outcome="found" if isinstance(outcome, Found) else "absent",
            prefetched_keys=len(outcome.keys) if isinstance(outcome, Found) else 0,
        )
        return outcome

    async def read(
        self, session_ref: int, generation: int, epoch: int, names: Iterable[SignalKeyName]
    ) -> dict[SignalKeyName, str]:
        async with self._corruption_quarantines(session_ref, generation, epoch) as address:
            return await self._store.read(address, names)

    async def write(self, session_ref: int, generation: int, epoch: int, write: AuthStateWrite) -> None:
        """Returns when PostgreSQL has committed all of it."""
        await self._store.write(self._leases.address(session_ref, generation, epoch), write)
        self._leases.note_backup(session_ref)

    async def verify(
        self, session_ref: int, generation: int, epoch: int, creds: str, keys: Mapping[SignalKeyName, str | None]
    ) -> tuple[bool, list[SignalKeyName]]:
        """A verification backup: what differs between the sidecar's digests and what is stored."""
        async with self._corruption_quarantines(session_ref, generation, epoch) as address:
            return await self._store.differing(address, creds, keys)

    async def sent_message(self, session_ref: int, generation: int, epoch: int, message_id: str) -> bytes | None:
        """A message that we sent, for a phone that asks again; one that can't be opened is as good as pruned."""
        try:
            return await self._store.read_sent_message(self._leases.address(session_ref, generation, epoch), message_id)
        except AuthStateCorrupt as error:
            log.warning(
                "sent message can't be opened", session_ref=session_ref, message_id=message_id, error=error.message
            )
            return None

    @asynccontextmanager
    async def _corruption_quarantines(
        self, session_ref: int, generation: int, epoch: int
    ) -> AsyncIterator[StateAddress]:
        lease = self._leases.current(session_ref, epoch)
        try:
            yield self._leases.address(session_ref, generation, epoch)
        except AuthStateCorrupt as error:
            key_missing = isinstance(error, EncryptionKeyMissing)
            by = SetAsideBy.KEY_MISSING if key_missing else SetAsideBy.CORRUPT
            await self._quarantine.set_aside(lease, by, error.message)
            raise AuthStateCorrupt(error.message) from error
