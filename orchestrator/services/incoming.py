"""Incoming messages, delivered from PostgreSQL at least once: contract 4.7 of the architecture.

The auth-state writer stores a message in the transaction of its ratchet step and says so here once it is committed. A
message that no stream of its tenant was given stays undelivered, and is told to the next one that comes.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from itertools import count, islice

import structlog

from orchestrator.domain.errors import AuthStateCorrupt
from orchestrator.domain.event import Event
from orchestrator.domain.session import Lease
from orchestrator.services.events import EventBus
from orchestrator.store.incoming_messages import IncomingMessageStore, StoredMessage, event_data
from orchestrator.store.stored_events import StoredEvents

log = structlog.get_logger(__name__)

_TYPE = "message.received"
#: Messages that one statement reads, marks or forgets; far from the seconds that a statement may take.
_READ_AT_ONCE = 200
_MARK_AT_ONCE = 5000
_FORGET_AT_ONCE = 5000


class IncomingMessages:
    def __init__(self, store: IncomingMessageStore, stored: StoredEvents, events: EventBus) -> None:
        self._store = store
        self._stored = stored
        self._events = events
        self._given: dict[int, int] = {}
        """As which one messages were first written to a stream, by number and in that order; without those marked as delivered."""
        self._giving = count()
        self._unreadable: set[int] = set()
        """Numbers whose rows can't be opened, so that each is logged once."""

    def committed(self, lease: Lease, number: int, data: bytes) -> None:
        """Tell the listeners of a message that PostgreSQL has as row ``number``; ``data`` is its JSON. Never raises."""
        try:
            self._events.publish(lease.tenant_id, _TYPE, lease.session_id, event_data(data), number)
        except AuthStateCorrupt as error:
            self._note_unreadable(lease.session_id, number, error)

    async def pages(self, tenant_id: str, session_id: str | None, after: int | None) -> AsyncIterator[list[Event]]:
        """Messages that nobody was given, and those after ``after``, by number; at least one page, maybe empty.

        After ``after`` is what has a higher number, and what was given later: transactions may be committed in another
        order than their rows were numbered, and whoever had ``after`` last may have missed what came behind it.
        Raises ``DatabaseUnavailable``. Rows that can't be opened are logged and left out.
        """
        past = 0
        while True:
            given = dict(self._given)  # before the rows are read: meanwhile they may be marked, and gone from it
            rows = await self._store.page(tenant_id, session_id, after=after, past=past, most=_READ_AT_ONCE)
            wanted = [row for row in rows if row.number not in given or _is_after(after, row.number, given)]
            yield [event for row in wanted if (event := self._event(tenant_id, row)) is not None]
            if len(rows) < _READ_AT_ONCE:
                return
            past = rows[-1].number

    async def missed(self, tenant_id: str, session_id: str | None, after: int) -> AsyncIterator[list[Event]]:
        """Stored events other than messages that came after number ``after``, by number; some of the last seconds before too.

        Raises ``DatabaseUnavailable``.
        """
        past = 0
        while True:
            page = await self._stored.page(tenant_id, session_id, after=after, past=past, most=_READ_AT_ONCE)
            yield page
            if len(page) < _READ_AT_ONCE:
                return
            past = page[-1].number or past

    def given(self, events: Iterable[Event]) -> None:
        """These were written to a stream of their tenant."""
        for event in events:
            if event.number is not None and event.type == _TYPE:
                self._given.setdefault(event.number, next(self._giving))

    async def mark_delivered(self) -> None:
        """Record what was given since the last time. Raises ``DatabaseUnavailable``; nothing is forgotten then."""
        while given := list(islice(self._given, _MARK_AT_ONCE)):
            await self._store.mark_delivered(given)
            for number in given:
                self._given.pop(number, None)

    async def prune(self, *, delivered_hours: int, undelivered_days: int) -> None:
        """Forget messages that were delivered that long ago, and those that nobody asked for in all that time."""
        while True:
            delivered, undelivered = await self._store.prune(
                delivered_hours=delivered_hours, undelivered_days=undelivered_days, most=_FORGET_AT_ONCE
            )
            if undelivered:
                log.warning("messages dropped that nobody was given", number=undelivered, after_days=undelivered_days)
            if delivered + undelivered < _FORGET_AT_ONCE:
                return

    def _event(self, tenant_id: str, row: StoredMessage) -> Event | None:
        try:
            data = self._store.open(row)
        except AuthStateCorrupt as error:
            self._note_unreadable(row.session_id, row.number, error)
            return None
        return Event(tenant_id, _TYPE, row.session_id, data, row.received_at, row.number)

    def _note_unreadable(self, session_id: str, number: int, error: AuthStateCorrupt) -> None:
        if number not in self._unreadable:
            self._unreadable.add(number)
            log.error("incoming message can't be opened", session_id=session_id, number=number, error=error.message)


def _is_after(after: int | None, number: int, given: Mapping[int, int]) -> bool:
    """Whether ``number``, one of ``given``, is after ``after``; one that is marked already was given before all of them."""
    return after is not None and (number > after or after not in given or given[number] > given[after])
