"""The leases that this replica holds: taken, renewed, lost, released."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType

import structlog

from orchestrator.domain.auth_state import StateAddress
from orchestrator.domain.errors import LeaseLost
from orchestrator.domain.session import Lease, Wish
from orchestrator.store.leases import LeaseStore

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Renewal:
    """``lost``: somebody else's now, close at once; ``unwanted``: still ours, but the session should not run; ``paused``:
    those of them that should as soon as their tenant pays."""

    lost: list[Lease]
    unwanted: list[Lease]
    paused: list[Lease]


class LeaseBook:
    """What this replica holds, as far as it knows; PostgreSQL has the last word on every write."""

    def __init__(self, store: LeaseStore) -> None:
        self._store = store
        self._held: dict[int, Lease] = {}
        self._refs: dict[tuple[str, str], int] = {}
        self._backups: dict[int, datetime] = {}
        self._unrecorded: dict[int, datetime] = {}

    @property
    def owner(self) -> str:
        return self._store.owner

    @property
    def ttl_seconds(self) -> float:
        return self._store.ttl_seconds

    @property
    def held(self) -> Mapping[int, Lease]:
        return MappingProxyType(self._held)

    async def adopt(self, *, alone: bool) -> None:
        """Take up the leases that an earlier orchestrator of this process tree held; ``alone``: end everybody else's."""
        if alone:
            await self._store.end_others()
        await self._store.complete()
        for lease in await self._store.held():
            self._hold(lease)
        if self._held:
            log.info("leases adopted", number=len(self._held))

    async def free(self) -> int:
        """How many leases there are to be claimed, leftovers of ours included."""
        free, ours = await self._store.free()
        return free + max(0, ours - len(self._held))

    async def claim(self, most: int) -> list[Lease]:
        """Take up to ``most`` free leases of sessions that should run."""
        claimed = await self._store.claim(most, self._held)
        for lease in claimed:
            self._hold(lease)
            log.info("lease taken", session_id=lease.session_id, epoch=lease.epoch)
        return claimed

    async def renew(self) -> Renewal:
        """Prolong all leases in one statement. Raises ``DatabaseUnavailable`` for the third outcome, *unknown*."""
        held, backups = list(self._held.values()), self._unrecorded
        self._unrecorded = {}
        try:
            renewed = await self._store.renew(held, backups)
        except BaseException:
            self._unrecorded = backups | self._unrecorded
            raise
        # A lease that was advanced or given up while the statement ran is not the one that was asked about.
        same = [lease for lease in held if self._held.get(lease.session_ref) == lease]
        lost = [lease for lease in same if lease.session_ref not in renewed]
        for lease in lost:
            log.warning("lease lost", session_id=lease.session_id, epoch=lease.epoch)
            self.forget(lease.session_ref)
        wishes = [(lease, renewed[lease.session_ref]) for lease in same if lease.session_ref in renewed]
        return Renewal(
            lost=lost,
            unwanted=[lease for lease, wish in wishes if wish is not Wish.RUN],
            paused=[lease for lease, wish in wishes if wish is Wish.PAUSE],
        )

    async def advance(self, lease: Lease) -> Lease | None:
        """The same lease with a higher epoch, which fences whoever wrote under the old one; None if it was lost."""
        epoch = await self._store.advance(lease)
        if epoch is None:
            self.forget(lease.session_ref)
            return None
        self._hold(replace(lease, epoch=epoch))
        return self._held[lease.session_ref]

    async def recover(self, session_ref: int, generation: int, epoch: int) -> Lease | None:
        """Take the lease that a process which died held under this epoch, with the next one; None: somebody had it since.

        Raises ``LeaseBusy`` as long as the lease may still be another's.
        """
        lease = await self._store.recover(session_ref, generation, epoch)
        if lease is not None:
            self._hold(lease)
            log.info("lease recovered for its journal", session_id=lease.session_id, epoch=lease.epoch)
        return lease

    async def take_no_more(self) -> None:
        """Have the others count on taking everything that is free, before the next heartbeat tells them."""
        await self._store.take_no_more()

    async def release(self, session_refs: Iterable[int]) -> None:
        """Give these leases back, so that any replica may take them at once."""
        leases = [self._held[ref] for ref in session_refs if ref in self._held]
        await self._store.release(leases)
        for lease in leases:
            if self._held.get(lease.session_ref) != lease:
                continue  # advanced meanwhile: the statement left it ours
            self.forget(lease.session_ref)
            log.info("lease released", session_id=lease.session_id, epoch=lease.epoch)

    def forget(self, session_ref: int) -> None:
        """Stop holding a lease that PostgreSQL gave to nobody or to another owner."""
        lease = self._held.pop(session_ref, None)
        if lease is not None and self._refs.get((lease.tenant_id, lease.session_id)) == session_ref:
            del self._refs[lease.tenant_id, lease.session_id]
        self._backups.pop(session_ref, None)
        self._unrecorded.pop(session_ref, None)

    def _hold(self, lease: Lease) -> None:
        self._held[lease.session_ref] = lease
        self._refs[lease.tenant_id, lease.session_id] = lease.session_ref

    async def check(self, session_ref: int, epoch: int) -> bool:
        """Whether PostgreSQL still holds this epoch for us; ``DatabaseUnavailable`` is the third answer, *unknown*.

        The book alone can't tell: a process that was frozen for longer than the lease lasts knows nothing of it.
        """
        lease = self._held.get(session_ref)
        return lease is not None and lease.epoch == epoch and await self._store.is_ours(lease)

    def current(self, session_ref: int, epoch: int) -> Lease:
        """The held lease of exactly this epoch, or ``LeaseLost``."""
        lease = self._held.get(session_ref)
        if lease is None or lease.epoch != epoch:
            raise LeaseLost
        return lease

    def find(self, tenant_id: str, session_id: str) -> Lease | None:
        """The held lease of the session that a tenant calls so; None says nothing but that it isn't held here."""
        session_ref = self._refs.get((tenant_id, session_id))
        return None if session_ref is None else self._held[session_ref]

    def find_exactly(self, session_ref: int, generation: int, epoch: int) -> Lease | None:
        """The held lease of exactly this generation and epoch."""
        lease = self._held.get(session_ref)
        return lease if lease is not None and lease.epoch == epoch and lease.generation == generation else None

    def address_of(self, lease: Lease) -> StateAddress:
        """Where the auth state of a held lease is."""
        return _address(lease.tenant_id, lease.session_ref, lease.generation, self._store.owner, lease.epoch)

    def note_backup(self, session_ref: int, at: datetime) -> None:
        """A write of this session became durable; the next renewal records the time."""
        self._backups[session_ref] = self._unrecorded[session_ref] = at

    def last_backup_at(self, session_ref: int) -> datetime | None:
        return self._backups.get(session_ref)


#: One object for all writes under a lease: each write asks for it.
_address = lru_cache(10_000)(StateAddress)
