"""What happens, told to whoever listens: state changes, QR codes, messages, receipts, alerts."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from orchestrator.domain.session import ConnectionState, Lease, Session

#: Events that a slow listener may be behind before it is cut off: more than a long outage of the database lets through at once.
BACKLOG = 10_000


@dataclass(frozen=True, slots=True)
class Event:
    """One event as the public API shows it; ``number`` is the row of a stored incoming message, None for all others."""

    tenant_id: str
    type: str
    session_id: str
    data: dict[str, Any]
    at: datetime
    number: int | None = None


@dataclass(slots=True, eq=False)
class Subscription:
    """One listener's queue; None in it says that the listener was cut off or the service ends."""

    tenant_id: str
    session_id: str | None
    queue: asyncio.Queue[Event | None] = field(default_factory=lambda: asyncio.Queue(BACKLOG + 1))

    def wants(self, event: Event) -> bool:
        return event.tenant_id == self.tenant_id and self.session_id in (None, event.session_id)


class EventBus:
    """Hands events to the subscribers of this process. A listener that stops reading is cut off, never waited for."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    def publish(
        self, tenant_id: str, type_: str, session_id: str, data: dict[str, Any], number: int | None = None
    ) -> None:
        event = Event(tenant_id, type_, session_id, data, datetime.now(UTC), number)
        for subscription in [s for s in self._subscriptions if s.wants(event)]:
            if subscription.queue.qsize() < BACKLOG:
                subscription.queue.put_nowait(event)
            else:
                self._cut_off(subscription)

    def publish_state(
        self, session: Session | Lease, state: ConnectionState, reason: str | None, jid: str | None = None
    ) -> None:
        data = {"connection_state": state, "reason": reason, "jid": jid}
        self.publish(session.tenant_id, "session.state", session.session_id, data)

    @contextmanager
    def subscribed(self, tenant_id: str, session_id: str | None) -> Iterator[Subscription]:
        subscription = Subscription(tenant_id, session_id)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def close(self) -> None:
        """Let every listener know that this process ends."""
        for subscription in list(self._subscriptions):
            self._cut_off(subscription)

    def _cut_off(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)
        subscription.queue.put_nowait(None)


def timestamp(moment: datetime) -> str:
    """A time as the public API writes it: ISO 8601, UTC, milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
