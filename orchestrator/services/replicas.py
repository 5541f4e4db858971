"""This replica among the others: it says that it lives, knows who else does, and frees what dead ones held."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from orchestrator.domain.errors import DatabaseUnavailable
from orchestrator.domain.replica import Replica, claimable, surplus
from orchestrator.peer.client import PeerClient
from orchestrator.services.leases import LeaseBook
from orchestrator.store.replicas import SILENT_SECONDS, Own, ReplicaStore

log = structlog.get_logger(__name__)

#: The server's clock and ours may differ that much in the time between two heartbeats; more is a jump.
_CLOCK_TOLERANCE_SECONDS = 1.0
#: Stands for "always": PostgreSQL compares it with a lease's term.
_ALWAYS_SECONDS = 1e9
#: How long after an outage another replica that is still cut off keeps its sessions for what only its journal has.
JOURNAL_GRACE_SECONDS = 300.0
#: How long after an outage the sessions of one that died are left to its successor: what it took in the meantime is only on
#: its disk.
SUCCESSOR_GRACE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _Heartbeat:
    """When the server was asked and had answered, by our clock, and its own clock in between; all in seconds."""

    asked_at: float
    answered_at: float
    server: float

    def drift_since(self, before: "_Heartbeat") -> float:
        """How much further the server's clock went than can have passed since then, or less far: a slow heartbeat is no jump."""
        passed = self.server - before.server
        least, most = self.asked_at - before.answered_at, self.answered_at - before.asked_at
        return passed - min(max(passed, least), most)


class Replicas:
    """``ready`` and ``keeps_journal`` are the supervision's to set: whether sessions could run here, and whether a journal
    here has, or as far as is known may have, changes that the database hasn't."""

    def __init__(
        self,
        store: ReplicaStore,
        leases: LeaseBook,
        client: PeerClient,
        *,
        port: int,
        address: str | None = None,
        settle_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._leases = leases
        self._client = client
        self._port = port
        self._address = address
        self._settle_seconds = settle_seconds
        self._clock = clock
        self._others: Mapping[str, Replica] = {}
        self._ready_others: frozenset[str] = frozenset()
        self._changed_at = clock()
        self._renewed: _Heartbeat | None = None
        self._began_at = clock()
        self._heard_since = -math.inf
        self._cut_off = False
        self._nobody_can_claim = False
        self.ready = False
        self.keeps_journal = True
        self.changed = asyncio.Event()
        """Set when another replica came, left or became ready."""

    @property
    def others(self) -> Mapping[str, Replica]:
        """Those that have a row, by id; as of the last heartbeat."""
        return self._others

    @property
    def reaches_database(self) -> bool:
        """Whether the last heartbeat was heard, and is not long ago; before the first one, whether nothing speaks against it."""
        return not self._cut_off and (self._renewed is None or self.silent_seconds < SILENT_SECONDS)

    @property
    def silent_seconds(self) -> float:
        """How long nobody has heard of us."""
        return math.inf if self._renewed is None else self._clock() - self._renewed.asked_at

    @property
    def may_be_taken_over(self) -> bool:
        """Whether somebody else might have our leases without our knowing: there are others, and not all of them are cut
        off from the database themselves."""
        return bool(self._others) and not self._nobody_can_claim

    def claimable(self, free: int) -> int:
        """How many of ``free`` leases are ours to take."""
        return claimable(len(self._leases.held), self._others.values(), free)

    def surplus(self) -> int:
        """How many sessions others should have instead of us; none before it is clear that the others stay."""
        if self._clock() - self._changed_at < self._settle_seconds:
            return 0
        return surplus(len(self._leases.held), self._others.values())

    async def renew(self) -> int:
        """One heartbeat; the number of leases that it found to be a dead replica's, and freed.

        Raises ``DatabaseUnavailable``: others may not have heard of us.
        """
        asked_at = self._clock()  # the others hear of us later than that, if at all
        try:
            look = await self._store.renew(Own(self._address, len(self._leases.held), self.ready))
        except DatabaseUnavailable:
            self._cut_off = True
            self._nobody_can_claim = await self._all_are_cut_off()
            raise
        self._note_contact(_Heartbeat(asked_at, self._clock(), look.server_seconds))
        if self._address is None:
            self._address = _url(look.own_host or "127.0.0.1", self._port)
        self._note_others({other.replica_id: other for other in look.others})
        return look.ran_out + (await self._bury(look.silent) if look.silent else 0)

    async def changes(self, seconds: float) -> bool:
        """Wait that long for the news that leases became free, or that sessions should start or stop.

        Raises ``DatabaseUnavailable``.
        """
        return await self._store.changed(seconds)

    async def leave(self) -> None:
        """Be forgotten by the others, unless a lease is kept for a successor's journal. Raises ``DatabaseUnavailable``."""
        await self._store.leave()

    async def close(self) -> None:
        await self._store.close()

    async def _all_are_cut_off(self) -> bool:
        """Whether every other replica says so itself; one that doesn't answer may have what we haven't."""
        answers = await asyncio.gather(*(self._client.reaches(other) for other in self._others.values()))
        return all(reaches is not None and not reaches.database for reaches in answers)

    async def _with_journals(self, silent: Mapping[str, float], heard_for: float) -> frozenset[str]:
        """Those of the silent ones that have a journal of the time in which all were cut off, or may have died with one.

        A process that is new here knows of an outage only what its others and the server's last start say.
        """
        if min(heard_for, self._clock() - self._began_at) >= JOURNAL_GRACE_SECONDS:
            return frozenset()
        asked = [self._others[replica_id] for replica_id in silent]
        answers = await asyncio.gather(*(self._client.reaches(other) for other in asked))
        return frozenset(
            other.replica_id
            for other, reaches in zip(asked, answers, strict=True)
            if (
                min(heard_for, silent[other.replica_id]) < SUCCESSOR_GRACE_SECONDS
                if reaches is None
                else reaches.journal
            )
        )

    def _note_contact(self, heartbeat: _Heartbeat) -> None:
        if not self.reaches_database:
            # Who asked us meanwhile heard that we are cut off, and may have begun a journal.
            self._heard_since = heartbeat.asked_at
        elif self._renewed is not None:
            drift = heartbeat.drift_since(self._renewed)
            if abs(drift) > _CLOCK_TOLERANCE_SECONDS:
                log.warning("the database's clock jumped; nobody counts as dead for a while", seconds=round(drift, 1))
                self._heard_since = heartbeat.asked_at
        self._cut_off = self._nobody_can_claim = False
        self._renewed = heartbeat

    def _note_others(self, others: Mapping[str, Replica]) -> None:
        ready = frozenset(other.replica_id for other in others.values() if other.ready)
        if ready != self._ready_others or others.keys() != self._others.keys():
            log.info("replicas", others=len(others), ready=len(ready))
            self._changed_at = self._clock()
            self.changed.set()
        self._others, self._ready_others = others, ready

    async def _bury(self, silent: Mapping[str, float]) -> int:
        heard_for = min(_ALWAYS_SECONDS, self._clock() - self._heard_since)
        # What is only in another's journal would be lost, and its message numbers used again here.
        spared = await self._with_journals(silent, heard_for)
        dead, freed = await self._store.bury(heard_for, spared)
        for replica_id in dead:
            log.warning("replica is dead; its leases are free", replica=replica_id, leases=freed)
        return freed


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
