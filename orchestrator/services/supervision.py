"""Keeps the sidecars running just what this replica holds leases for.

It compares what should run with what runs, again and again, instead of acting on single changes: a start of the
container, a crash of a sidecar or of the orchestrator, a lost lease, a move to another replica and a stop asked of one
all end in the same few lines.
"""

import asyncio
import random
import time
from collections.abc import Callable, Collection, Sequence

import structlog

from orchestrator.domain.crash_suspects import ISOLATED, CrashSuspects
from orchestrator.domain.errors import (
    AuthStateCorrupt,
    DatabaseUnavailable,
    JournalUndrained,
    OrchestratorError,
    SidecarGone,
    SidecarUnavailable,
    Unavailable,
)
from orchestrator.domain.reconciliation import RunningConnection, plan
from orchestrator.domain.session import ConnectionState, Lease
from orchestrator.domain.session_settings import SessionSettings
from orchestrator.domain.subscription import PAUSED_REASON
from orchestrator.services.connections import Connections, Qr
from orchestrator.services.events import EventBus
from orchestrator.services.leases import LeaseBook
from orchestrator.services.replicas import Replicas
from orchestrator.services.session_settings import Settings
from orchestrator.services.shards import Shard, Shards
from orchestrator.sidecar.client import Listing
from orchestrator.store.sessions import SessionStore

log = structlog.get_logger(__name__)

#: Leases taken at a time: a start of many sessions comes in waves, and a second replica gets its share.
CLAIM_BATCH = 50
#: Connections asked for at the same time.
START_CONCURRENCY = 8
#: Sessions given to other replicas in one round: each is without a connection for a moment.
MOVES_AT_ONCE = 2
#: Seconds without an answer before a sidecar counts as hung, and between two restarts of it.
HUNG_SECONDS = 30.0
RESTART_COOL_DOWN_SECONDS = 60.0
#: Rounds in which leases stayed free before a replica takes more than its share: who should take them doesn't.
PATIENCE_ROUNDS = 5
#: A sidecar that used this part of its memory before it vanished ran out of it.
_FULL_HEAP = 0.9

_NOT_ANSWERING = "The WhatsApp process does not answer; the connection is opened anew if it ended."
_HELD_BACK = "The WhatsApp process failed, and it is being found out which session does that; this one follows soon."


class Supervision:
    def __init__(
        self,
        sessions: SessionStore,
        leases: LeaseBook,
        connections: Connections,
        events: EventBus,
        shards: Shards,
        replicas: Replicas,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sessions = sessions
        self._leases = leases
        self._connections = connections
        self._events = events
        self._shards = shards
        self._replicas = replicas
        self._settings = settings
        self._clock = clock
        self._suspects = CrashSuspects()
        self._hung: set[Shard] = set()
        self._fresh: set[tuple[int, int]] = set()
        self._ended: set[tuple[int, int]] = set()
        self._stopping: set[int] = set()
        self._unwanted: set[int] = set()
        self._paused: set[int] = set()
        self._leftover_rounds = 0
        self._drained = False
        self._leaving = False
        self._taking = asyncio.Lock()
        """Claims and releases exclude one another: what was released must not be claimed in the same moment."""
        self._began_at = clock()
        self.wanted = asyncio.Event()

    @property
    def sidecar_reachable(self) -> bool:
        return any(shard.reachable for shard in self._shards)

    def hello(self, instance: str) -> None:
        """A sidecar process is up: look at once what it should run."""
        log.info("sidecar is up", instance=instance)
        self.wanted.set()

    async def departing(self, instance: str, closed: Collection[int]) -> None:
        """A sidecar is closing its sockets to end. The leases of those that are ``closed``, with nothing of them only in
        its journal, are free for other replicas from now on."""
        shard = self._shards.by_instance(instance)
        if shard is not None and shard.departed != instance:
            log.info("sidecar is ending", shard=shard.name)
            shard.departed = instance
            self._replicas.ready = any(shard.usable for shard in self._shards)
            if not self._replicas.ready:
                await self._leases.take_no_more()
        async with self._taking:
            await self._leases.release(closed)
        for session_ref in closed:
            self._shards.forget(session_ref)

    async def goodbye(self, instance: str, undrained: Collection[int] = ()) -> None:
        """The sidecar has closed every socket and ends: give its leases back, so that another replica takes over now.

        Those of ``undrained`` sessions run out by themselves: until then the next process here may write their journal.
        """
        log.info("sidecar says goodbye", instance=instance)
        shard = self._shards.by_instance(instance)
        if shard is None:
            return
        shard.departed, shard.reachable, shard.undrained = instance, False, frozenset(undrained)
        await self._release_drained(self._shards.of(shard))

    async def leave(self) -> None:
        """This process ends. Leases whose sidecar is gone are given back, as at its goodbye; those of a living one wait for
        our successor."""
        self._leaving = True
        living = [shard for shard in self._shards if not await _is_gone(shard)]
        for shard in living:
            log.warning("leases not given back: the sidecar may still be running", shard=shard.name)
        kept = set().union(*(self._shards.of(shard) for shard in living))
        unknown = {ref for ref in self._leases.held if living and self._shards.home_of(ref) is None}
        try:
            await self._release_drained(self._leases.held.keys() - kept - unknown)
        except Unavailable as error:
            log.warning("leases not given back; they run out by themselves", error=error.message)

    async def reconcile(self) -> None:
        """Claim, start and stop until what runs is what should run. Never raises for an outage: the next round goes on."""
        listings = await self._listings()
        self._replicas.ready = not self._leaving and any(shard.usable for shard in self._shards)
        all_heard = self._all_heard()
        self._replicas.keeps_journal = not all_heard or any(shard.undrained or shard.draining for shard in self._shards)
        if not listings or not all_heard:
            return
        if any(shard.draining for shard in self._shards) or not await self._knows_unwanted():
            return
        await self._claim()
        await self._stop_unwanted()
        await self._move_surplus()
        self._suspects.passed(self._clock())
        self._shards.keep_only(self._leases.held.keys())
        todo = plan(self._leases.held, self._running(listings))
        kept = self._stopping | self._unwanted | self._shards.undrained()
        gate = asyncio.Semaphore(START_CONCURRENCY)
        await asyncio.gather(
            *(self._stop_at(connection.where, connection.session_ref) for connection in todo.stop),
            self._start_all([lease for lease in todo.start if lease.session_ref not in kept], gate),
        )

    async def renew(self) -> None:
        """Prolong the leases. What was lost, or what another replica was asked to stop, the next round closes: a slow
        close must not keep the next renewal waiting."""
        renewal = await self._leases.renew()
        self._unwanted = {lease.session_ref for lease in renewal.unwanted}
        self._paused = {lease.session_ref for lease in renewal.paused}
        if renewal.lost or renewal.unwanted:
            self.wanted.set()

    async def holds(self, session_ref: int, epoch: int) -> bool:
        """Whether the session is still ours, asked when something replaced its connection.

        Without an answer of the database it is another replica's, if there was one and nobody has heard of us for longer
        than our leases last. Raises ``DatabaseUnavailable`` while that is unknown.
        """
        try:
            return await self._leases.check(session_ref, epoch)
        except DatabaseUnavailable:
            if self._replicas.others and self._replicas.silent_seconds > self._leases.ttl_seconds:
                return False
            raise

    async def record_states(self) -> None:
        """Bring the store up to date with the connections' states; raises ``DatabaseUnavailable`` to be called again."""
        for session_ref, connection in self._connections.unrecorded():
            state, lease = connection.state, self._leases.held.get(session_ref)
            if lease is not None:
                owner = self._leases.owner
                await self._sessions.record_state(lease, owner, state, connection.reason, connection.opened_at)
            self._connections.recorded(session_ref, state)

    async def stop(self, session_ref: int, reason: str | None = None) -> None:
        """Close the session's connection, if it is ours, and give its lease back once its last changes are stored.

        Until then each renewal says that it is unwanted, and it comes here again.
        """
        self._stopping.add(session_ref)
        self._suspects.forgive(session_ref)
        try:
            if await self._stop(session_ref, reason):
                async with self._taking:
                    await self._leases.release([session_ref])
                self._shards.forget(session_ref)
                self._unwanted.discard(session_ref)
            else:
                self._unwanted.add(session_ref)
        finally:
            self._stopping.discard(session_ref)

    async def restart(self, session_ref: int) -> None:
        """Close the session's connection, if it is ours, and have the next round open a new one."""
        self._suspects.forgive(session_ref)
        await self._stop(session_ref)
        self.wanted.set()

    async def _listings(self) -> dict[Shard, Listing]:
        """What the shards that can be worked with say, and everything that is learned from it."""
        answers = await asyncio.gather(*(self._ask(shard) for shard in self._shards))
        return {shard: listing for shard, listing in zip(self._shards, answers, strict=True) if listing is not None}

    async def _ask(self, shard: Shard) -> Listing | None:
        reports = self._connections.reports
        try:
            listing = await shard.client.list(journal_held=self._replicas.may_be_taken_over)
        except SidecarUnavailable:
            await self._shard_missing(shard)
            return None
        if listing.instance == shard.departed:
            return None
        if shard.instance not in (None, listing.instance):
            await self._shard_replaced(shard, listing)
        shard.instance, shard.departed, shard.listing = listing.instance, None, listing
        shard.answered_at, shard.reachable = self._clock(), True
        shard.undrained = frozenset(listing.undrained)
        self._hung.discard(shard)
        self._note_draining(shard, listing)
        await self._learn(shard, listing, reports)
        return listing

    def _all_heard(self) -> bool:
        """Before a shard was heard of, its journal may hold newer changes than the store, of any session."""
        return self._clock() - self._began_at > HUNG_SECONDS or all(shard.instance for shard in self._shards)

    async def _shard_missing(self, shard: Shard) -> None:
        if shard.reachable:
            log.warning("sidecar is out of reach", shard=shard.name)
            shard.reachable = False
            await self._nothing_runs(shard)
        now = self._clock()
        hung = now - shard.answered_at > HUNG_SECONDS and (shard.departed is None or shard.departed != shard.instance)
        if hung and now - shard.restarted_at > RESTART_COOL_DOWN_SECONDS:
            shard.restarted_at = now
            self._hung.add(shard)
            log.error("sidecar doesn't answer; restarting it", shard=shard.name)
            try:
                await shard.restart()
            except Unavailable as error:
                log.error("sidecar could not be restarted", shard=shard.name, error=error.message)

    async def _shard_replaced(self, shard: Shard, listing: Listing) -> None:
        """Another process answers in the place of the one before, of which the shard still tells, and nothing that ran in that
        runs any more."""
        shard.replacements += 1
        await self._nothing_runs(shard)
        if shard.departed == shard.instance:
            return
        words, full = listing.last_words, shard.heap_share > _FULL_HEAP
        if words is None and not full and shard not in self._hung:
            log.warning("sidecar was replaced after it was killed", shard=shard.name)
            return  # from outside: no session is to blame
        reason = words.reason if words else "it ran out of memory" if full else "it hung"
        log.error("sidecar failed", shard=shard.name, reason=reason, session_ref=words.session_ref if words else None)
        culprit = words.session_ref if words else None
        found = self._suspects.crashed(self._shards.of(shard), self._clock(), culprit)
        lease = None if found is None else self._leases.held.get(found)
        if lease is not None:
            log.error("session isolated", session_id=lease.session_id, reason=reason)
            alert = {"alert": "crash_loop", "reason": ISOLATED}
            self._events.publish(lease.tenant_id, "session.alert", lease.session_id, alert)

    def _note_draining(self, shard: Shard, listing: Listing) -> None:
        """A sidecar writes what an earlier process kept, which is newer than the store: whoever starts must load that."""
        if listing.draining and not shard.draining:
            log.warning(
                "sidecar writes the journal of an earlier process first", shard=shard.name, bytes=listing.journal.bytes
            )
        elif shard.draining and not listing.draining:
            log.info("sidecar has written the journal", shard=shard.name)
            self._drained = True
        shard.draining = listing.draining

    def _running(self, listings: dict[Shard, Listing]) -> list[RunningConnection[Shard]]:
        """What counts as running. A connection that ended by itself counts for one more round, in which its report of why
        arrives; then it is started anew."""
        told = [(shard, c) for shard, listing in listings.items() for c in listing.sessions]
        ended = {(c.session_ref, c.epoch) for _, c in told if c.state == ConnectionState.STOPPED}
        overdue, self._ended = ended & self._ended, ended
        return [
            RunningConnection(c.session_ref, c.generation, c.epoch, shard)
            for shard, c in told
            if (c.session_ref, c.epoch) not in overdue
        ]

    async def _knows_unwanted(self) -> bool:
        """After a journal was written, ask which of the leases that were taken for that are of sessions that should stop:
        none of them may start."""
        if self._drained:
            try:
                await self.renew()
            except Unavailable:
                return False  # asked again in the next round
            self._drained = False
        return True

    async def _release_drained(self, session_refs: Collection[int]) -> None:
        undrained = self._shards.undrained()
        async with self._taking:
            await self._leases.release([ref for ref in session_refs if ref not in undrained])

    async def _stop_unwanted(self) -> None:
        unwanted = self._unwanted & self._leases.held.keys()
        stops = (self._pause(ref) if ref in self._paused else self.stop(ref) for ref in unwanted)
        for outcome in await asyncio.gather(*stops, return_exceptions=True):
            if isinstance(outcome, Unavailable):
                log.warning("lease not given back; the next renewal says so again", error=outcome.message)
            elif isinstance(outcome, BaseException):
                raise outcome

    async def _pause(self, session_ref: int) -> None:
        """Stop a session whose tenant doesn't pay; what it should be stays as it is."""
        lease = self._leases.held[session_ref]
        log.info("session is paused", session_id=lease.session_id)
        await self.stop(session_ref, PAUSED_REASON)
        if session_ref not in self._leases.held:
            self._events.publish_state(lease, ConnectionState.PAUSED, PAUSED_REASON)

    async def _move_surplus(self) -> None:
        """Give sessions to replicas that have room, a few in a round: those that are open, so that nobody's pairing or
        reconnection is disturbed."""
        surplus = self._replicas.surplus()
        if surplus == 0:
            return
        busy = self._stopping | self._unwanted | self._shards.undrained()
        movable = [
            ref
            for ref in self._leases.held
            if ref not in busy and self._connections.of(ref).state is ConnectionState.OPEN
        ]
        for ref in random.sample(movable, min(surplus, MOVES_AT_ONCE, len(movable))):
            log.info("session moves to another replica", session_id=self._leases.held[ref].session_id)
            try:
                await self.stop(ref, "The session moves to another replica.")
            except Unavailable as error:
                log.warning("session not moved", error=error.message)

    async def _nothing_runs(self, shard: Shard) -> None:
        """The sidecar process is gone, and every connection with it: show that before the new ones report."""
        for ref in self._shards.of(shard):
            lease = self._leases.held.get(ref)
            if lease is not None and self._connections.of(ref).state is not ConnectionState.STARTING:
                await self._show(lease, ConnectionState.STARTING, _NOT_ANSWERING)

    async def _show(self, lease: Lease, state: ConnectionState, reason: str) -> None:
        await self._connections.set_state(lease.session_ref, state, reason)
        self._events.publish_state(lease, state, reason)

    async def _learn(self, shard: Shard, listing: Listing, reports: int) -> None:
        """Take over what the sidecar says of our connections: an orchestrator that died remembers nothing of them.

        ``reports``: how many there were when it was asked. What it has reported since may be newer than its list.
        """
        for told in listing.sessions:
            lease = self._leases.held.get(told.session_ref)
            if lease is None or lease.epoch != told.epoch:
                continue
            self._shards.settle(told.session_ref, shard)
            if self._connections.reported_since(told.session_ref, reports):
                continue
            if await self._connections.learn_state(told.session_ref, told.state, told.reason):
                self._events.publish_state(lease, told.state, told.reason, told.jid)
            self._connections.set_degraded(told.session_ref, told.degraded)
            known = self._connections.of(told.session_ref)
            if told.qr is not None and (known.qr is None or known.qr.qr != told.qr.qr):
                qr = Qr.until(told.qr.qr, told.qr.expires_at, rotated=told.qr.rotated)
                await self._connections.set_qr(told.session_ref, qr)

    async def _claim(self) -> None:
        try:
            most = self._share_of(await self._leases.free())
            async with self._taking:
                if most == 0 or self._leaving or not any(shard.usable for shard in self._shards):
                    return
                claimed = await self._leases.claim(min(most, CLAIM_BATCH))
        except Unavailable:
            return
        for lease in claimed:
            self._fresh.add((lease.session_ref, lease.epoch))
            self._connections.forget(lease.session_ref)
            self._shards.forget(lease.session_ref)
        if len(claimed) == CLAIM_BATCH:
            self.wanted.set()

    def _share_of(self, free: int) -> int:
        """Our fair share of what is free; all of it when those whose share it is leave it lying."""
        most = self._replicas.claimable(free)
        self._leftover_rounds = self._leftover_rounds + 1 if free > 0 and most == 0 else 0
        return free if self._leftover_rounds > PATIENCE_ROUNDS else most

    def _shard_for(self, lease: Lease) -> Shard | None:
        """Where to start a session: where it was, as long as that may come back with its journal, else where there is room."""
        home = self._shards.home_of(lease.session_ref)
        if home is not None and (home.usable or self._clock() - home.answered_at < HUNG_SECONDS):
            return home if home.usable else None
        return self._shards.least_loaded()

    async def _start_all(self, leases: Sequence[Lease], gate: asyncio.Semaphore) -> None:
        """Start these, each with its settings: without them nothing starts, because one that lacked its proxy would show
        WhatsApp our own address."""
        try:
            settings = await self._settings.of([lease.session_ref for lease in leases])
        except DatabaseUnavailable as error:
            log.warning("connections not started: their settings are unknown", number=len(leases), error=error.message)
            return
        starting = [(lease, settings[lease.session_ref]) for lease in leases if lease.session_ref in settings]
        await asyncio.gather(*(self._start(lease, known, gate) for lease, known in starting))

    async def _start(self, lease: Lease, settings: SessionSettings | AuthStateCorrupt, gate: asyncio.Semaphore) -> None:
        if lease.session_ref in self._suspects.held_back:
            await self._hold_back(lease)
            return
        if isinstance(settings, AuthStateCorrupt):
            if self._connections.of(lease.session_ref).state is not ConnectionState.PAUSED:
                await self._show(lease, ConnectionState.PAUSED, f"Its settings can't be opened: {settings.message}")
            return
        async with gate:
            shard = self._shard_for(lease)
            if shard is None:
                return
            try:
                # An epoch that a connection ran under is used up: a write of the dead sidecar may still be on its way.
                if (lease.session_ref, lease.epoch) not in self._fresh:
                    advanced = await self._leases.advance(lease)
                    if advanced is None:
                        return
                    lease = advanced
                self._fresh.discard((lease.session_ref, lease.epoch))
                self._shards.settle(lease.session_ref, shard)
                await shard.client.start(lease, settings)
                if self._settings.is_stale(lease.session_ref):
                    await self._tell_settings(shard, lease)
                log.info("connection started", session_id=lease.session_id, epoch=lease.epoch, shard=shard.name)
            except OrchestratorError as error:
                log.warning("connection not started", session_id=lease.session_id, error=error.message)

    async def _tell_settings(self, shard: Shard, lease: Lease) -> None:
        """They changed while the connection was started."""
        settings = (await self._settings.of([lease.session_ref])).get(lease.session_ref)
        if isinstance(settings, SessionSettings):
            await shard.client.apply(lease.session_ref, settings)

    async def _hold_back(self, lease: Lease) -> None:
        isolated = lease.session_ref in self._suspects.isolated
        state = ConnectionState.PAUSED if isolated else ConnectionState.WAITING_RETRY
        if self._connections.of(lease.session_ref).state is not state:
            await self._show(lease, state, ISOLATED if isolated else _HELD_BACK)

    async def _stop(self, session_ref: int, reason: str | None = None) -> bool:
        """Whether the session's epoch may end: nothing that is worth keeping will be written under it any more."""
        home = self._shards.home_of(session_ref)
        stopped = [await self._stop_at(shard, session_ref, reason) for shard in ([home] if home else self._shards)]
        self._connections.forget(session_ref)
        return all(stopped)

    async def _stop_at(self, shard: Shard, session_ref: int, reason: str | None = None) -> bool:
        try:
            await shard.client.stop(session_ref, reason)
        except JournalUndrained as error:
            log.warning("lease kept for the journal", session_ref=session_ref, error=error.message)
            return False
        except OrchestratorError as error:
            # Its writes are fenced all the same, and the next round sees it still running.
            log.warning("connection not stopped", session_ref=session_ref, error=error.message)
        return True


async def _is_gone(shard: Shard) -> bool:
    """Whether nothing listens there any more; a sidecar that doesn't answer may still run its sockets."""
    try:
        await shard.client.list()
    except SidecarUnavailable as error:
        return isinstance(error, SidecarGone)
    return False
