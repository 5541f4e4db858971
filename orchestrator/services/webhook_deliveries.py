"""Brings events to webhooks: at least once, and in order for each session.

Three steps, each of which a killed process leaves for the next: received messages are made deliveries of, from PostgreSQL,
up to a cursor of the session; streams in which something waits are claimed; and a stream's deliveries are posted one after
the other. One that fails holds up those behind it, and nobody else's.
"""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import structlog

from orchestrator.domain.errors import DatabaseUnavailable
from orchestrator.domain.event import Event
from orchestrator.domain.session import Lease
from orchestrator.domain.webhook import EVENT_TYPES, GIVE_UP, SWITCH_OFF, Attempt, DeliveryState, retry_seconds, wants
from orchestrator.outbound.client import OutboundClient
from orchestrator.services.events import BACKLOG, EventBus
from orchestrator.services.leases import LeaseBook
from orchestrator.services.webhooks import attempt, payload
from orchestrator.store.stored_events import StoredEvents
from orchestrator.store.webhooks import Interest, Stream, Waiting, WebhookStore

log = structlog.get_logger(__name__)

_RECEIVED = "message.received"
#: Events that whoever makes them stores in the transaction that makes them true.
_STORED_ELSEWHERE = frozenset({_RECEIVED, "message.status", "bulk.finished"})
_MESSAGES_AT_ONCE = 200
_EVENTS_AT_ONCE = 200
_STREAMS_AT_ONCE = 32
_DELIVERIES_AT_ONCE = 20
#: Seconds for which a stream is claimed: more than a try can take.
_CLAIM_SECONDS = 60.0
#: Seconds that are waited for without letting go of the stream.
_SHORT_SECONDS = 5.0
#: Seconds between looks for streams whose time to be tried again has come.
_LOOK_SECONDS = 1.0
#: Seconds between looks for received messages that another process left.
_SWEEP_SECONDS = 15.0
#: Seconds after which what webhooks want is read anew, though nobody said that it changed.
_RELOAD_SECONDS = 60.0
_UNOWNED_AT_ONCE = 1000
#: The receiver says that it will never be there again.
_GONE = 410


class WebhookDeliveries:
    """A listener of the event bus as well: it stores what a webhook wants and nobody else stores."""

    def __init__(
        self,
        store: WebhookStore,
        stored: StoredEvents,
        leases: LeaseBook,
        events: EventBus,
        outbound: OutboundClient,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._stored = stored
        self._leases = leases
        self._events = events
        self._outbound = outbound
        self._clock = clock
        self._draw = draw
        self.queue: asyncio.Queue[Event | None] = asyncio.Queue(BACKLOG + 1)
        self._interests: dict[str, list[Interest]] = {}
        self._stale = True
        self._known = False
        """Whether what webhooks want is known. Until it is, everything that one may want is stored."""
        self._loaded_at = -_RELOAD_SECONDS
        self._received: set[int] = set()
        self._swept_at = -_SWEEP_SECONDS
        self._swept: frozenset[int] = frozenset()
        self._working: dict[str, asyncio.Task[None]] = {}
        self.has_received = asyncio.Event()
        self.wanted = asyncio.Event()
        """Set when there may be something to deliver."""

    # -- what is wanted

    def interest_changed(self) -> None:
        """A webhook was made, changed or deleted."""
        self._stale = True
        self._known = False
        self.has_received.set()
        self.wanted.set()

    async def load_interests(self) -> None:
        """Learn anew what webhooks want, if that may have changed. Raises ``DatabaseUnavailable``."""
        now = asyncio.get_running_loop().time()
        if not self._stale and now - self._loaded_at < _RELOAD_SECONDS:
            return
        self._stale = False
        try:
            found = await self._store.interests()
        except BaseException:
            self._stale = True
            raise
        self._loaded_at = now
        self._swept_at = -_SWEEP_SECONDS
        self._interests = {}
        for interest in found:
            self._interests.setdefault(interest.tenant_id, []).append(interest)
        self._known = not self._stale

    def _is_wanted(self, tenant_id: str, session_id: str, type_: str) -> bool:
        if not self._known:
            return type_ in EVENT_TYPES
        return any(
            interest.session_id in (None, session_id) and wants(interest.events, type_)
            for interest in self._interests.get(tenant_id, ())
        )

    # -- events that happen while somebody wants them

    def wants(self, event: Event) -> bool:
        """For the event bus; every event comes by here."""
        if event.relayed or (self._known and event.tenant_id not in self._interests):
            return False
        if event.number is not None:
            self.wanted.set()  # its deliveries are there already
            return False
        if event.type in _STORED_ELSEWHERE:
            return False
        return self._is_wanted(event.tenant_id, event.session_id, event.type)

    async def store_events(self, first: Event) -> None:
        """Store ``first`` and what else waits in the queue. Raises ``DatabaseUnavailable``."""
        batch = [first]
        while len(batch) < _EVENTS_AT_ONCE and not self.queue.empty():
            event = self.queue.get_nowait()
            if event is None:
                self.queue.put_nowait(None)  # found again after this batch
                break
            batch.append(event)
        await self._stored.add_live(batch)
        self.wanted.set()

    # -- received messages

    def received(self, lease: Lease) -> None:
        """A message of this session is durable. On the way of every message: nothing is done here but remember."""
        if self._is_wanted(lease.tenant_id, lease.session_id, _RECEIVED):
            self._received.add(lease.session_ref)
            self.has_received.set()

    async def make_deliveries(self) -> None:
        """Make deliveries of the messages that were received here, and that others left. Raises ``DatabaseUnavailable``."""
        await self.load_interests()
        await self._sweep()
        while self._received:
            session_ref = self._received.pop()
            try:
                await self._make_deliveries_of(session_ref)
            except BaseException:
                self._received.add(session_ref)
                raise

    async def sweep_unowned(self) -> None:
        """The same for sessions that nobody runs: their last messages may have been left by an owner that died."""
        unowned = await self._store.unowned(_UNOWNED_AT_ONCE)
        for session_ref in await self._store.behind(unowned) if unowned else ():
            await self._make_deliveries_of(session_ref)

    async def _make_deliveries_of(self, session_ref: int) -> None:
        while await self._store.make_deliveries(session_ref, _MESSAGES_AT_ONCE) == _MESSAGES_AT_ONCE:
            self.wanted.set()
        self.wanted.set()

    async def _sweep(self) -> None:
        held = frozenset(
            lease.session_ref
            for lease in self._leases.held.values()
            if self._is_wanted(lease.tenant_id, lease.session_id, _RECEIVED)
        )
        now = asyncio.get_running_loop().time()
        if not held or (now - self._swept_at < _SWEEP_SECONDS and held == self._swept):
            return
        self._received.update(await self._store.behind(held))
        self._swept_at, self._swept = now, held

    # -- delivering

    async def begin(self) -> None:
        """Begin to work on streams in which something is due. Raises ``DatabaseUnavailable``."""
        await self.load_interests()
        free = _STREAMS_AT_ONCE - len(self._working)
        if not self._interests or free <= 0:
            return
        for stream in await self._store.claim(busy=self._working.keys(), most=free, seconds=_CLAIM_SECONDS):
            task = self._working[stream.key] = asyncio.create_task(self._work(stream))
            task.add_done_callback(partial(self._done, stream.key))

    async def finish(self) -> None:
        """Stop in the middle and let go of the streams: what was not settled is posted again."""
        for task in self._working.values():
            task.cancel()
        await asyncio.gather(*self._working.values(), return_exceptions=True)
        await self._store.let_go()

    def _done(self, key: str, _task: asyncio.Task[None]) -> None:
        self._working.pop(key, None)
        self.wanted.set()

    async def _work(self, stream: Stream) -> None:
        try:
            await self._post_all(stream)
        except DatabaseUnavailable:
            log.warning("deliveries wait for the database", webhook_id=stream.webhook_id)
            await asyncio.sleep(_LOOK_SECONDS)  # the claim stays; it is taken up again
        except Exception:
            log.exception("deliveries failed", webhook_id=stream.webhook_id)
            await asyncio.sleep(_SWEEP_SECONDS)

    async def _post_all(self, stream: Stream) -> None:
        """Post what waits until nothing does, one fails, or the stream is another's."""
        woken: int | None = stream.woken
        failed = stream.attempts
        while woken is not None:
            batch = await self._store.next_of(stream, _DELIVERIES_AT_ONCE)
            if not batch:
                if await self._store.sleep(stream, woken):
                    return
                woken = await self._store.prolong(stream, _CLAIM_SECONDS)
                continue
            for waiting in batch:
                tried = await self._post(waiting)
                state = self._state_after(waiting, tried)
                failed = failed + 1 if state is DeliveryState.WAITING else 0
                woken, failing_since = await self._store.settle(
                    stream, waiting.delivery.number, tried, state, _CLAIM_SECONDS
                )
                if tried.status == _GONE or (failing_since and self._clock() - failing_since > SWITCH_OFF):
                    await self._switch_off(stream, waiting, gone=tried.status == _GONE)
                if woken is None:
                    return
                if state is DeliveryState.WAITING:
                    pause = retry_seconds(failed, self._draw())
                    if pause > _SHORT_SECONDS:
                        await self._store.later(stream, failed, pause)
                        return
                    await asyncio.sleep(pause)
                    break  # from the same one on

    async def _post(self, waiting: Waiting) -> Attempt:
        delivery = waiting.delivery
        if waiting.data is None:
            return Attempt(0, None, None, "The stored event can't be opened; check SESSION_ENCRYPTION_KEYS.")
        body = payload(delivery.type, delivery.created_at, {"session_id": delivery.session_id, **waiting.data})
        return await attempt(self._outbound, waiting.url, waiting.secrets, delivery.event_id, body, self._clock())

    def _state_after(self, waiting: Waiting, tried: Attempt) -> DeliveryState:
        if tried.succeeded:
            return DeliveryState.DELIVERED
        if waiting.data is not None and self._clock() - waiting.delivery.created_at < GIVE_UP:
            return DeliveryState.WAITING
        log.warning("delivery given up", event_id=waiting.delivery.event_id, status=tried.status, error=tried.error)
        return DeliveryState.DEAD

    async def _switch_off(self, stream: Stream, waiting: Waiting, *, gone: bool) -> None:
        reason = "The address answered 410 Gone." if gone else f"Nothing could be delivered for {SWITCH_OFF.days} days."
        if await self._store.switch_off(stream.webhook_id, reason):
            log.warning("webhook switched off", webhook_id=stream.webhook_id, reason=reason)
            data = {"alert": "webhook_disabled", "webhook_id": stream.webhook_id, "reason": reason}
            self._events.publish(waiting.tenant_id, "session.alert", waiting.delivery.session_id, data)
            self.interest_changed()
