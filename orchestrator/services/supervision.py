"""Keeps the sidecar running just what this replica holds leases for.

It compares what should run with what runs, again and again, instead of acting on single changes: a start of the
container, a crash of the sidecar or of the orchestrator, a lost lease and a stop by another replica all end in the
same few lines.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection

import structlog

from orchestrator.domain.errors import JournalUndrained, OrchestratorError, SidecarGone, SidecarUnavailable, Unavailable
from orchestrator.domain.reconciliation import RunningConnection, plan
from orchestrator.domain.session import ConnectionState, Lease
from orchestrator.services.connections import Connections, Qr
from orchestrator.services.events import EventBus
from orchestrator.services.leases import LeaseBook
from orchestrator.sidecar.client import Listing, SidecarClient
from orchestrator.store.sessions import SessionStore

log = structlog.get_logger(__name__)

#: Leases taken at a time: a start of many sessions comes in waves, and a second replica gets its share.
CLAIM_BATCH = 50
#: Connections asked for at the same time.
START_CONCURRENCY = 8
#: Seconds without an answer before the sidecar counts as hung, and between two restarts of it.
HUNG_SECONDS = 30.0
RESTART_COOL_DOWN_SECONDS = 60.0

_NOT_ANSWERING = "The WhatsApp process does not answer; the connection is opened anew if it ended."


class Supervision:
    def __init__(
        self,
        sessions: SessionStore,
        leases: LeaseBook,
        connections: Connections,
        events: EventBus,
        sidecar: SidecarClient,
        restart_sidecar: Callable[[], Awaitable[None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sessions = sessions
        self._leases = leases
        self._connections = connections
        self._events = events
        self._sidecar = sidecar
        self._restart_sidecar = restart_sidecar
        self._clock = clock
        self._fresh: set[tuple[int, int]] = set()
        self._ended: set[tuple[int, int]] = set()
        self._stopping: set[int] = set()
        self._unwanted: set[int] = set()
        self._undrained: frozenset[int] = frozenset()
        self._instance: str | None = None
        self._departed: str | None = None
        self._draining = False
        self._answered_at = clock()
        self._restarted_at = -RESTART_COOL_DOWN_SECONDS
        self.sidecar_reachable = False
        self.wanted = asyncio.Event()

    def hello(self, instance: str) -> None:
        """A sidecar process is up: look at once what it should run."""
        log.info("sidecar is up", instance=instance)
        self.wanted.set()

    async def goodbye(self, instance: str, undrained: Collection[int] = ()) -> None:
        """The sidecar has closed every socket and ends: give the leases back, so that another replica takes over now.

        Those of ``undrained`` sessions run out by themselves: until then the next process here may write their journal.
        """
        log.info("sidecar says goodbye", instance=instance)
        self._departed = instance
        self.sidecar_reachable = False
        self._undrained = frozenset(undrained)
        await self._release_drained()

    async def leave(self) -> None:
        """This process ends. Leases whose sidecar is gone are given back, as at its goodbye; those of a living one wait for
        our successor."""
        try:
            await self._sidecar.list()
        except SidecarGone:
            try:
                await self._release_drained()
            except Unavailable as error:
                log.warning("leases not given back; they run out by themselves", error=error.message)
        except SidecarUnavailable:
            log.warning("leases not given back: the sidecar may still be running")

    async def reconcile(self) -> None:
        """Claim, start and stop until what runs is what should run. Never raises for an outage: the next round goes on."""
        try:
            listing = await self._sidecar.list()
        except SidecarUnavailable:
            await self._sidecar_missing()
            return
        if listing.instance == self._departed:
            return
        if self._instance not in (None, listing.instance):
            await self._nothing_runs()
        self._instance, self._departed = listing.instance, None
        self._answered_at, self.sidecar_reachable = self._clock(), True
        self._undrained = frozenset(listing.undrained)
        await self._learn(listing)
        drained = self._draining
        if self._waits_for_journal(listing):
            return
        if drained and not await self._knows_unwanted():
            return
        await self._claim()
        await self._stop_unwanted()
        todo = plan(self._leases.held, self._running(listing))
        kept = self._stopping | self._unwanted | self._undrained
        gate = asyncio.Semaphore(START_CONCURRENCY)
        await asyncio.gather(
            *(self._stop(session_ref) for session_ref in todo.stop),
            *(self._start(lease, gate) for lease in todo.start if lease.session_ref not in kept),
        )

    async def renew(self) -> None:
        """Prolong the leases. What was lost, or what another replica was asked to stop, the next round closes: a slow
        close must not keep the next renewal waiting."""
        renewal = await self._leases.renew()
        self._unwanted = {lease.session_ref for lease in renewal.unwanted}
        if renewal.lost or renewal.unwanted:
            self.wanted.set()

    async def record_states(self) -> None:
        """Bring the store up to date with the connections' states; raises ``DatabaseUnavailable`` to be called again."""
        for session_ref, connection in self._connections.unrecorded():
            state, lease = connection.state, self._leases.held.get(session_ref)
            if lease is not None:
                owner = self._leases.owner
                await self._sessions.record_state(lease, owner, state, connection.reason, connection.opened_at)
            self._connections.recorded(session_ref, state)

    async def stop(self, session_ref: int) -> None:
        """Close the session's connection, if it is ours, and give its lease back once its last changes are stored.

        Until then each renewal says that it is unwanted, and it comes here again.
        """
        self._stopping.add(session_ref)
        try:
            if await self._stop(session_ref):
                await self._leases.release([session_ref])
                self._unwanted.discard(session_ref)
            else:
                self._unwanted.add(session_ref)
        finally:
            self._stopping.discard(session_ref)

    async def restart(self, session_ref: int) -> None:
        """Close the session's connection, if it is ours, and have the next round open a new one."""
        await self._stop(session_ref)
        self.wanted.set()

    async def _knows_unwanted(self) -> bool:
        """Ask which of the leases that were taken for a journal are of sessions that should stop: none of them may start."""
        try:
            await self.renew()
        except Unavailable:
            self._draining = True  # asked again in the next round
            return False
        return True

    async def _release_drained(self) -> None:
        await self._leases.release([ref for ref in self._leases.held if ref not in self._undrained])

    async def _sidecar_missing(self) -> None:
        if self.sidecar_reachable:
            log.warning("sidecar is out of reach")
            self.sidecar_reachable = False
            await self._nothing_runs()
        now = self._clock()
        hung = now - self._answered_at > HUNG_SECONDS and self._departed is None
        if hung and now - self._restarted_at > RESTART_COOL_DOWN_SECONDS:
            self._restarted_at = now
            log.error("sidecar doesn't answer; restarting it")
            try:
                await self._restart_sidecar()
            except Unavailable as error:
                log.error("sidecar could not be restarted", error=error.message)

    async def _stop_unwanted(self) -> None:
        unwanted = self._unwanted & self._leases.held.keys()
        for outcome in await asyncio.gather(*(self.stop(ref) for ref in unwanted), return_exceptions=True):
            if isinstance(outcome, Unavailable):
                log.warning("lease not given back; the next renewal says so again", error=outcome.message)
            elif isinstance(outcome, BaseException):
                raise outcome

    def _waits_for_journal(self, listing: Listing) -> bool:
        """The sidecar writes what an earlier process kept, which is newer than the store: whoever starts must load that."""
        if listing.draining and not self._draining:
            log.warning("sidecar writes the journal of an earlier process first", bytes=listing.journal.bytes)
        elif self._draining and not listing.draining:
            log.info("sidecar has written the journal")
        self._draining = listing.draining
        return self._draining

    def _running(self, listing: Listing) -> list[RunningConnection]:
        """What counts as running. A connection that ended by itself counts for one more round, in which its report of why
        arrives; then it is started anew."""
        ended = {(c.session_ref, c.epoch) for c in listing.sessions if c.state == ConnectionState.STOPPED}
        overdue, self._ended = ended & self._ended, ended
        return [
            RunningConnection(c.session_ref, c.generation, c.epoch)
            for c in listing.sessions
            if (c.session_ref, c.epoch) not in overdue
        ]

    async def _nothing_runs(self) -> None:
        """The sidecar process is gone, and every connection with it: show that before the new ones report."""
        for lease in self._leases.held.values():
            connection = self._connections.of(lease.session_ref)
            if connection.state is not ConnectionState.STARTING:
                await self._connections.set_state(lease.session_ref, ConnectionState.STARTING, _NOT_ANSWERING)
                self._events.publish_state(lease, ConnectionState.STARTING, _NOT_ANSWERING)

    async def _learn(self, listing: Listing) -> None:
        """Take over what the sidecar says of our connections: an orchestrator that died remembers nothing of them."""
        for told in listing.sessions:
            lease = self._leases.held.get(told.session_ref)
            if lease is None or lease.epoch != told.epoch:
                continue
            known = self._connections.of(told.session_ref)
            if known.state is not told.state:
                await self._connections.set_state(told.session_ref, told.state, told.reason)
                self._events.publish_state(lease, told.state, told.reason, told.jid)
            self._connections.set_degraded(told.session_ref, told.degraded)
            if told.qr is not None and (known.qr is None or known.qr.qr != told.qr.qr):
                await self._connections.set_qr(told.session_ref, Qr.until(told.qr.qr, told.qr.expires_at))

    async def _claim(self) -> None:
        if self._instance == self._departed:
            return  # it said goodbye after it was listed
        try:
            claimed = await self._leases.claim(CLAIM_BATCH)
        except Unavailable:
            return
        for lease in claimed:
            self._fresh.add((lease.session_ref, lease.epoch))
            self._connections.forget(lease.session_ref)
        if len(claimed) == CLAIM_BATCH:
            self.wanted.set()

    async def _start(self, lease: Lease, gate: asyncio.Semaphore) -> None:
        async with gate:
            try:
                # An epoch that a connection ran under is used up: a write of the dead sidecar may still be on its way.
                if (lease.session_ref, lease.epoch) not in self._fresh:
                    advanced = await self._leases.advance(lease)
                    if advanced is None:
                        return
                    lease = advanced
                self._fresh.discard((lease.session_ref, lease.epoch))
                await self._sidecar.start(lease)
                log.info("connection started", session_id=lease.session_id, epoch=lease.epoch)
            except OrchestratorError as error:
                log.warning("connection not started", session_id=lease.session_id, error=error.message)

    async def _stop(self, session_ref: int) -> bool:
        """Whether the session's epoch may end: nothing that is worth keeping will be written under it any more."""
        drained = True
        try:
            await self._sidecar.stop(session_ref)
        except JournalUndrained as error:
            drained = False
            log.warning("lease kept for the journal", session_ref=session_ref, error=error.message)
        except OrchestratorError as error:
            # Its writes are fenced all the same, and the next round sees it still running.
            log.warning("connection not stopped", session_ref=session_ref, error=error.message)
        self._connections.forget(session_ref)
        return drained
