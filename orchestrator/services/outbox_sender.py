"""Sends what the outbox holds, for the sessions that this replica runs.

One drain for each session that has something due and is open. It takes messages out in order, at most a few chats at a
time, and one chat's messages one after the other: the next leaves when WhatsApp has said that it has the one before. So a
chat that fails holds up nobody else, and what a killed process had under way is sent again in the same order.

A message is never sent under a second id. What became of one is unknown when the sidecar or this process died in between:
it stays ``sending``, and is sent again under its id, after a moment in which its receipts may arrive and make that
needless. The phone shows it once.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import structlog

from orchestrator.domain.errors import (
    AddressUnreachable,
    DatabaseUnavailable,
    MediaHostUnreachable,
    MessageRefused,
    OrchestratorError,
    SendFailed,
    SendUnconfirmed,
    SessionNotOpen,
    Unavailable,
)
from orchestrator.domain.outbox import MOST_ATTEMPTS, MessageState, retry_seconds
from orchestrator.domain.pacing import PacedSoFar, Pacing, day_begins, next_send_at
from orchestrator.domain.session import ConnectionState, Lease
from orchestrator.services.connections import Connections
from orchestrator.services.events import EventBus
from orchestrator.services.leases import LeaseBook
from orchestrator.services.media import Upload
from orchestrator.services.messaging import Messaging
from orchestrator.store.outbox import Changed, Claimed, OutboxStore, Outcome, bulk_data
from orchestrator.store.pacing import PacingStore
from orchestrator.wire import messages as wire

log = structlog.get_logger(__name__)

#: Chats of a session that are sent to at a time; Baileys sends one message after the other anyway.
_CHATS_AT_ONCE = 8
#: Messages taken out at a time.
_CLAIM_AT_ONCE = 16
#: Seconds between looks for what nobody woke us for: an owner that died, a message whose time has come.
_LOOK_SECONDS = 5.0
#: Seconds in which receipts of a message that may have left come in after the session opened.
_RECEIPT_SECONDS = 2.0
#: Seconds before what is unknown is tried to be found out again.
_UNKNOWN_SECONDS = 1.0
_PROGRESS_SECONDS = 1.0
#: Receipts that are kept while the database is away, and that one statement records.
_MOST_RECEIPTS = 50_000
_RECEIPTS_AT_ONCE = 1_000
_OUTCOMES_AT_ONCE = 500

_RECEIPT_STATES = {
    "sent": MessageState.SENT,
    "delivered": MessageState.DELIVERED,
    "read": MessageState.READ,
    "played": MessageState.READ,
    "failed": MessageState.FAILED,
}

Chat = tuple[bool, bytes]
"""Whether it is the lane that keeps to a pace, and the chat's digest."""


@dataclass(eq=False)
class _Drain:
    """The work on one session under one lease."""

    lease: Lease
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    sending: dict[Chat, asyncio.Task[None]] = field(default_factory=dict)
    held_up: dict[Chat, datetime] = field(default_factory=dict)
    """Until when a chat waits that failed."""
    next_paced: datetime | None = None
    """When the next message may leave that keeps to a pace; None: not known, look."""
    empty: set[bool] = field(default_factory=set)
    """Lanes in which nothing is left, as long as nobody wakes us and no time comes."""
    task: asyncio.Task[None] | None = None

    def busy(self, *, paced: bool) -> list[bytes]:
        return [chat for lane, chat in (*self.sending, *self.held_up) if lane is paced]


class OutboxSender:
    def __init__(
        self,
        store: OutboxStore,
        pacing: PacingStore,
        leases: LeaseBook,
        connections: Connections,
        messaging: Messaging,
        events: EventBus,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._pacing = pacing
        self._leases = leases
        self._connections = connections
        self._messaging = messaging
        self._events = events
        self._clock = clock
        self._draw = draw
        self._drains: dict[int, _Drain] = {}
        self._due: set[int] = set()
        self._users: set[int] = set()
        """Sessions whose receipts may be of the outbox."""
        self._looked_at = -_LOOK_SECONDS
        self._looked_for: frozenset[int] = frozenset()
        self._outcomes: list[tuple[Lease, Outcome, asyncio.Future[None]]] = []
        self._receipts: dict[tuple[int, str], tuple[Lease, MessageState]] = {}
        self._receipts_lock = asyncio.Lock()
        self._under_way: set[str] = set()
        self._settled_by_receipt: dict[str, asyncio.Event] = {}
        self._progress_told: dict[str, float] = {}
        self._finishing = False
        self.wanted = asyncio.Event()
        """Set when somebody should look at what there is to send."""
        self.has_outcomes = asyncio.Event()

    # -- waking

    def wake(self, session_ref: int) -> None:
        """Something was put into this session's outbox, or it opened."""
        self._users.add(session_ref)
        self._due.add(session_ref)
        drain = self._drains.get(session_ref)
        if drain is not None:
            drain.woken.set()
        self.wanted.set()

    def opened(self, session_ref: int) -> None:
        """The session is open: what waits may be sent."""
        if session_ref in self._users:
            self.wake(session_ref)

    def pace_changed(self, session_ref: int) -> None:
        drain = self._drains.get(session_ref)
        if drain is not None:
            drain.next_paced = None
        self.wake(session_ref)

    async def look(self) -> None:
        """Begin to drain what is due and open. Raises ``DatabaseUnavailable``."""
        held = frozenset(self._leases.held)
        now = asyncio.get_running_loop().time()
        if held and (held != self._looked_for or now - self._looked_at >= _LOOK_SECONDS):
            found = await self._store.waiting(held, ahead_seconds=_LOOK_SECONDS)
            self._looked_at, self._looked_for = now, held
            self._users = {ref for ref in self._users if ref in held} | set(found)
            for ref, waits in found.items():
                if waits and ref not in self._drains:
                    self._due.add(ref)
        if self._finishing:
            return
        for ref in [ref for ref in self._due if ref not in self._drains]:
            lease = self._leases.held.get(ref)
            if lease is None:
                self._due.discard(ref)  # its owner will see it
            elif self._is_open(lease):
                self._due.discard(ref)
                drain = self._drains[ref] = _Drain(lease)
                drain.task = asyncio.create_task(self._run(drain))

    async def finish(self, seconds: float) -> None:
        """Take nothing more out, and wait that long for what is under way."""
        self._finishing = True
        tasks = [drain.task for drain in self._drains.values() if drain.task is not None]
        for drain in self._drains.values():
            drain.woken.set()
        if not tasks:
            return
        await asyncio.wait(tasks, timeout=seconds)
        for task in [*tasks, *(task for drain in self._drains.values() for task in drain.sending.values())]:
            task.cancel()

    # -- one session

    async def _run(self, drain: _Drain) -> None:
        ref = drain.lease.session_ref
        try:
            drain.held_up = await self._store.backing_off(ref)
            if await self._drain(drain):
                self._due.add(ref)
        except DatabaseUnavailable:
            self._due.add(ref)
        except Exception:
            log.exception("outbox of a session failed", session_id=drain.lease.session_id)
            self._due.add(ref)
        finally:
            # Whoever is still being sent to is no business of the next drain before that is over.
            await asyncio.gather(*drain.sending.values(), return_exceptions=True)
            self._drains.pop(ref, None)
            if drain.woken.is_set():
                self._due.add(ref)
                self.wanted.set()

    async def _drain(self, drain: _Drain) -> bool:
        """Whether there may be more to do, once the session is open again."""
        fresh_until = self._clock()
        while not self._finishing and self._is_open(drain.lease):
            now = self._clock()
            held_up = {chat: until for chat, until in drain.held_up.items() if until > now}
            if drain.woken.is_set() or len(held_up) < len(drain.held_up) or now >= fresh_until:
                drain.empty.clear()
                fresh_until = now + timedelta(seconds=_LOOK_SECONDS)
            drain.woken.clear()
            drain.held_up = held_up
            if len(drain.sending) > _CHATS_AT_ONCE // 2 or await self._claim(drain, now) or drain.sending:
                await _wait((drain.woken,), drain.sending.values(), _LOOK_SECONDS)
                continue
            until = await self._next_moment(drain, now)
            if until is not None and until <= now + timedelta(seconds=_LOOK_SECONDS):
                fresh_until = until
                await _wait((drain.woken,), (), (until - now).total_seconds())
            elif not drain.woken.is_set():
                return False
        return True

    def _is_open(self, lease: Lease) -> bool:
        held = self._leases.held.get(lease.session_ref)
        return held == lease and self._connections.of(lease.session_ref).state is ConnectionState.OPEN

    async def _claim(self, drain: _Drain, now: datetime) -> bool:
        claimed = False not in drain.empty and await self._claim_lane(drain, paced=False, most=_CLAIM_AT_ONCE)
        if True in drain.empty or any(lane for lane, _ in drain.sending):
            return claimed
        if drain.next_paced is None or drain.next_paced <= now:
            pacing, so_far, linked_at = await self._pacing.of(drain.lease.session_ref)
            # The pause after the last message was drawn when it left; after a restart it is drawn again.
            begins = drain.next_paced or next_send_at(pacing, so_far, linked_at, now, self._draw())
            drain.next_paced = begins
            if begins <= now:
                paced = await self._claim_lane(drain, paced=True, most=1)
                if paced:
                    drain.next_paced = _after_one(pacing, so_far, linked_at, now, self._draw())
                claimed = claimed or paced
        return claimed

    async def _claim_lane(self, drain: _Drain, *, paced: bool, most: int) -> bool:
        busy = drain.busy(paced=paced)
        claimed = await self._store.claim(drain.lease, self._leases.owner, paced=paced, busy=busy, most=most)
        chats: dict[bytes, list[Claimed]] = {}
        for each in claimed:
            chats.setdefault(each.chat, []).append(each)
        for chat, messages in chats.items():
            drain.sending[paced, chat] = asyncio.create_task(self._send_chat(drain, (paced, chat), messages))
        if len(claimed) < most and not busy:
            drain.empty.add(paced)
        return bool(claimed)

    async def _next_moment(self, drain: _Drain, now: datetime) -> datetime | None:
        """When there may be something to do without anybody saying so."""
        moments = list(drain.held_up.values())
        for paced in (False, True):
            due = await self._store.next_due(drain.lease.session_ref, paced=paced)
            if due is not None:
                moments.append(max(due, drain.next_paced) if paced and drain.next_paced else due)
        if drain.next_paced is not None and drain.next_paced > now:
            moments.append(drain.next_paced)
        return min(moments, default=None)

    # -- one chat

    async def _send_chat(self, drain: _Drain, chat: Chat, messages: Sequence[Claimed]) -> None:
        """Send these one after the other; at the first that didn't get through the rest is put back."""
        settled: list[asyncio.Future[None]] = []
        try:
            for number, claimed in enumerate(messages):
                outcome = await self._send_one(drain.lease, claimed)
                if outcome is not None:
                    settled.append(self._settle(drain.lease, outcome))
                if outcome is None or outcome.state is MessageState.QUEUED:
                    unknown = self._clock() + timedelta(seconds=_UNKNOWN_SECONDS)
                    drain.held_up[chat] = unknown if outcome is None else outcome.retry_at or unknown
                    settled += [self._settle(drain.lease, _put_back(later)) for later in messages[number + 1 :]]
                    break
            await asyncio.gather(*settled)
        except Exception:
            log.exception("chat of the outbox failed", session_id=drain.lease.session_id)
            drain.held_up[chat] = self._clock() + timedelta(seconds=_LOOK_SECONDS)
        finally:
            drain.sending.pop(chat, None)

    async def _send_one(self, lease: Lease, claimed: Claimed) -> Outcome | None:
        """None: it stays ``sending``, because it isn't known whether it left, or a receipt has settled it."""
        message, now = claimed.message, self._clock()
        content = _content(claimed)
        if content is None:
            return _outcome(lease, claimed, MessageState.FAILED, "unreadable")
        if claimed.left_over and not claimed.may_have_left and message.deadline <= now:
            return _outcome(lease, claimed, MessageState.FAILED, "deadline_passed")
        if claimed.may_have_left and await self._is_settled_by_receipt(lease, message.message_id):
            return _outcome(lease, claimed, MessageState.SENT)
        upload = None
        if claimed.has_file and isinstance(content, wire.MediaMessage) and content.media is not None:
            about, file = content.media, self._store.file(lease, message.message_id)
            upload = Upload(file, about.mimetype, about.file_name)
            content = msgspec.structs.replace(content, media=None)
        self._under_way.add(message.message_id)
        try:
            heard = await self._messaging.send_once(
                lease.tenant_id,
                lease.session_id,
                content,
                message.message_id,
                again=claimed.may_have_left,
                upload=upload,
            )
            return _outcome(lease, claimed, MessageState.SENT) if heard else None
        except OrchestratorError as error:
            return self._outcome_of(lease, claimed, error)
        finally:
            self._under_way.discard(message.message_id)

    def _outcome_of(self, lease: Lease, claimed: Claimed, error: OrchestratorError) -> Outcome | None:
        message = claimed.message
        match error:
            case SendUnconfirmed():
                return None
            case SessionNotOpen() | Unavailable():
                # It was not even asked for; but an earlier time it may have left.
                return None if claimed.may_have_left else _put_back(claimed)
            case MessageRefused():
                is_worth_a_try = False
            case SendFailed() | AddressUnreachable() | MediaHostUnreachable():
                is_worth_a_try = message.attempts + 1 < MOST_ATTEMPTS
            case _:
                is_worth_a_try = False
        if is_worth_a_try:
            retry_at = self._clock() + timedelta(seconds=retry_seconds(message.attempts + 1, self._draw()))
            return _outcome(lease, claimed, MessageState.QUEUED, error.code, retry_at=retry_at, tried=True)
        log.warning("message failed", session_id=lease.session_id, message_id=message.message_id, code=error.code)
        return _outcome(lease, claimed, MessageState.FAILED, error.code, tried=True)

    async def _is_settled_by_receipt(self, lease: Lease, message_id: str) -> bool:
        """Whether a receipt of a message that may have left comes in by the time that those of a reconnect do."""
        told = self._settled_by_receipt.setdefault(message_id, asyncio.Event())
        opened_at = self._connections.of(lease.session_ref).opened_at or self._clock()
        seconds = _RECEIPT_SECONDS - (self._clock() - opened_at).total_seconds()
        try:
            async with asyncio.timeout(max(0.1, min(seconds, _RECEIPT_SECONDS))):
                await told.wait()
        except TimeoutError:
            return False
        finally:
            self._settled_by_receipt.pop(message_id, None)
        return True

    # -- recording

    def _settle(self, lease: Lease, outcome: Outcome) -> asyncio.Future[None]:
        """Done once PostgreSQL has it: only then may the chat be looked at again."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._outcomes.append((lease, outcome, done))
        self.has_outcomes.set()
        return done

    async def record_outcomes(self) -> None:
        """Record what became of messages, many in one transaction. Raises ``DatabaseUnavailable``, and keeps them."""
        while self._outcomes:
            batch = self._outcomes[:_OUTCOMES_AT_ONCE]
            sessions = {lease.session_ref: lease for lease, _, _ in batch}
            self._tell(await self._store.settle(sessions, [outcome for _, outcome, _ in batch]))
            del self._outcomes[: len(batch)]
            for _, _, done in batch:
                if not done.done():
                    done.set_result(None)

    async def take_receipts(self, receipts: Sequence[tuple[Lease, dict[str, Any]]]) -> None:
        """Record receipts, many in one transaction; while the database is away they are kept for when it is back."""
        for lease, data in receipts:
            state = _RECEIPT_STATES.get(str(data.get("status")))
            message_id = str(data.get("message_id"))
            # One that was not looked for yet, because its lease is new, may use the outbox.
            concerns_us = lease.session_ref in self._users or lease.session_ref not in self._looked_for
            if state is None or not concerns_us:
                continue
            if state is MessageState.SENT and message_id in self._under_way:
                continue  # the answer to the send says it too
            told = self._settled_by_receipt.get(message_id)
            if told is not None and state is not MessageState.FAILED:
                told.set()
            if len(self._receipts) < _MOST_RECEIPTS:
                before = self._receipts.get((lease.session_ref, message_id))
                if before is None or _rank(before[1]) < _rank(state):
                    self._receipts[lease.session_ref, message_id] = (lease, state)
        try:
            await self.record_receipts()
        except DatabaseUnavailable:
            log.warning("receipts wait for the database", number=len(self._receipts))

    async def record_receipts(self) -> None:
        """Raises ``DatabaseUnavailable``, and keeps them."""
        async with self._receipts_lock:
            while self._receipts:
                batch = dict(list(self._receipts.items())[:_RECEIPTS_AT_ONCE])
                sessions = {lease.session_ref: lease for lease, _ in batch.values()}
                rows = [(ref, message_id, state) for (ref, message_id), (_, state) in batch.items()]
                self._tell(await self._store.record_receipts(sessions, rows))
                for key, taken in batch.items():
                    if self._receipts.get(key) == taken:
                        del self._receipts[key]

    async def expire(self) -> None:
        """Give up what waited beyond its deadline, of all sessions. Raises ``DatabaseUnavailable``."""
        while True:
            changed = await self._store.expire(_OUTCOMES_AT_ONCE)
            self._tell(changed)
            if len(changed.messages) < _OUTCOMES_AT_ONCE:
                return

    def _tell(self, changed: Changed) -> None:
        for event in changed.events:
            self._events.relay(event)
        now = asyncio.get_running_loop().time()
        for lease, bulk in changed.bulks:
            if bulk.done or now - self._progress_told.get(bulk.bulk_id, -_PROGRESS_SECONDS) >= _PROGRESS_SECONDS:
                self._progress_told[bulk.bulk_id] = now
                self._events.publish(lease.tenant_id, "bulk.progress", lease.session_id, bulk_data(bulk))
            if bulk.done:
                self._progress_told.pop(bulk.bulk_id, None)


def _content(claimed: Claimed) -> wire.OutgoingMessage | None:
    """The message as its sender gave it; None if that can't be read here."""
    if claimed.body is None:
        return None
    try:
        content: wire.OutgoingMessage = msgspec.json.decode(claimed.body, type=wire.OutgoingMessage)
        return content
    except msgspec.MsgspecError:
        return None


def _rank(state: MessageState) -> int:
    return {MessageState.DELIVERED: 3, MessageState.READ: 4}.get(state, 2)


def _outcome(
    lease: Lease,
    claimed: Claimed,
    state: MessageState,
    error: str | None = None,
    *,
    retry_at: datetime | None = None,
    tried: bool = False,
) -> Outcome:
    return Outcome(lease.session_ref, claimed.message.message_id, state, error, retry_at, tried)


def _put_back(claimed: Claimed) -> Outcome:
    """As if it had not been taken out."""
    message = claimed.message
    return Outcome(claimed.session_ref, message.message_id, MessageState.QUEUED, message.error)


def _after_one(pacing: Pacing, so_far: PacedSoFar, linked_at: datetime | None, now: datetime, drawn: float) -> datetime:
    """When the next may leave after one that leaves now."""
    same_day = so_far.last_at is not None and day_begins(so_far.last_at, pacing.time_zone) == day_begins(
        now, pacing.time_zone
    )
    return next_send_at(pacing, PacedSoFar(now, so_far.that_day + 1 if same_day else 1), linked_at, now, drawn)


async def _wait(events: Sequence[asyncio.Event], tasks: Any, seconds: float) -> None:
    """Until one of the events is set, one of the tasks is done, or the time is up."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait([*waits, *tasks], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
