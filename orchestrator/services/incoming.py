"""Incoming messages, delivered from PostgreSQL at least once: contract 4.7 of the architecture.

The auth-state writer stores a message in the transaction of its ratchet step and says so here once it is committed. A
message that no stream of its tenant was given stays undelivered, and is told to the next one that comes.
"""

from collections.abc import AsyncIterator, Iterable
from itertools import islice

import structlog

from orchestrator.domain.errors import AuthStateCorrupt
from orchestrator.domain.session import Lease
from orchestrator.services.events import Event, EventBus
from orchestrator.store.incoming_messages import IncomingMessageStore, StoredMessage, event_data

log = structlog.get_logger(__name__)

_TYPE = "message.received"
#: Messages that one statement reads, marks or forgets; far from the seconds that a statement may take.
_READ_AT_ONCE = 200
_MARK_AT_ONCE = 5000
_FORGET_AT_ONCE = 5000


class IncomingMessages:
    def __init__(self, store: IncomingMessageStore, events: EventBus) -> None:
        self._store = store
        self._events = events
        self._given: set[int] = set()
        """Numbers that were written to a stream and aren't marked as delivered yet."""
        self._unreadable: set[int] = set()
        """Numbers whose rows can't be opened, so that each is logged once."""

    def committed(self, lease: Lease, number: int, data: bytes) -> None:
        """Tell the listeners of a message that PostgreSQL has as row ``number``; ``data`` is its JSON. Never raises."""
        try:
            self._events.publish(lease.tenant_id, _TYPE, lease.session_id, event_data(data), number)
        except AuthStateCorrupt as error:
            self._note_unreadable(lease.session_id, number, error)

    async def pages(self, tenant_id: str, session_id: str | None, after: int | None) -> AsyncIterator[list[Event]]:
        """Messages that nobody was given, and those after number ``after``, by number; at least one page, maybe empty.

        Raises ``DatabaseUnavailable``. Rows that can't be opened are logged and left out.
        """
        past = 0
        while True:
            given = frozenset(self._given)  # before the rows are read: meanwhile they may be marked, and gone from it
            rows = await self._store.page(tenant_id, session_id, after=after, past=past, most=_READ_AT_ONCE)
            wanted = [row for row in rows if row.number not in given or (after is not None and row.number > after)]
            yield [event for row in wanted if (event := self._event(tenant_id, row)) is not None]
            if len(rows) < _READ_AT_ONCE:
                return
            past = rows[-1].number

    def given(self, events: Iterable[Event]) -> None:
        """These were written to a stream of their tenant."""
        self._given.update(event.number for event in events if event.number is not None)

    async def mark_delivered(self) -> None:
        """Record what was given since the last time. Raises ``DatabaseUnavailable``; nothing is forgotten then."""
        while given := frozenset(islice(self._given, _MARK_AT_ONCE)):
            await self._store.mark_delivered(given)
            self._given -= given

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
