"""What happens, told to whoever listens: state changes, QR codes, messages, receipts, alerts."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from orchestrator.domain.event import Event
from orchestrator.domain.meter import Counter
from orchestrator.domain.session import ConnectionState, Lease, Session

L = TypeVar("L", bound="Listener")

#: Events that a slow listener may be behind before it is cut off: more than a long outage of the database lets through at once.
BACKLOG = 10_000


#: Whoever has one of these can link a session.
_LINKING = frozenset({"session.qr", "session.pairing_code"})


class Listener(Protocol):
    """Whoever wants events: a queue; None in it says that the listener was cut off or the service ends."""

    queue: asyncio.Queue[Event | None]

    def wants(self, event: Event) -> bool: ...


def _queue() -> asyncio.Queue[Event | None]:
    return asyncio.Queue(BACKLOG + 1)


@dataclass(slots=True, eq=False)
class Subscription:
    """A tenant's listener, to all of its sessions or to one, to all types of events (None) or to some."""

    tenant_id: str
    session_id: str | None
    links: bool = True
    """Whether it may link sessions, and so see what a phone scans or a person types."""
    types: frozenset[str] | None = None
    queue: asyncio.Queue[Event | None] = field(default_factory=_queue)

    def wants(self, event: Event) -> bool:
        if event.tenant_id != self.tenant_id or self.session_id not in (None, event.session_id):
            return False
        return self.wants_type(event.type) and (self.links or event.type not in _LINKING)

    def wants_type(self, type_: str) -> bool:
        return self.types is None or type_ in self.types


@dataclass(slots=True, eq=False)
class PeerSubscription:
    """Another replica that has listeners of these tenants, to what happens here."""

    tenant_ids: frozenset[str] = frozenset()
    queue: asyncio.Queue[Event | None] = field(default_factory=_queue)

    def wants(self, event: Event) -> bool:
        return not event.relayed and event.tenant_id in self.tenant_ids


class EventBus:
    """Hands events to the subscribers of this process. A listener that stops reading is cut off, never waited for."""

    def __init__(self) -> None:
        self._subscriptions: set[Listener] = set()
        self._watching_interest: set[asyncio.Event] = set()
        self.published = Counter()
        """Events of this process by type."""
        #: By tenant, session and type: what is true until it expires, such as the QR code that a phone accepts now.
        self._current: dict[tuple[str, str, str], Event] = {}

    @property
    def tenants_listening(self) -> frozenset[str]:
        """Whose events somebody wants to hear from this process."""
        return frozenset(s.tenant_id for s in self._subscriptions if isinstance(s, Subscription))

    def publish(
        self,
        tenant_id: str,
        type_: str,
        session_id: str,
        data: dict[str, Any],
        number: int | None = None,
        *,
        expires_at: datetime | None = None,
    ) -> None:
        self.published.add(type_)
        self.relay(Event(tenant_id, type_, session_id, data, datetime.now(UTC), number, expires_at=expires_at))

    def relay(self, event: Event) -> None:
        """Hand on an event as it is, such as one of another replica."""
        self._remember(event)
        for subscription in [s for s in self._subscriptions if s.wants(event)]:
            self._tell(subscription, event)

    def _tell(self, subscription: Listener, event: Event) -> None:
        if subscription.queue.qsize() < BACKLOG:
            subscription.queue.put_nowait(event)
        else:
            self._cut_off(subscription)

    def _remember(self, event: Event) -> None:
        if event.expires_at is not None:
            self._current[event.tenant_id, event.session_id, event.type] = event
        elif event.type == "session.state" and event.data["connection_state"] != ConnectionState.PAIRING:
            for key in [key for key in self._current if key[:2] == (event.tenant_id, event.session_id)]:
                del self._current[key]

    def catch_up(self, subscription: Listener) -> None:
        """Tell a listener what is true now and was told before it listened."""
        now = datetime.now(UTC)
        for key, event in list(self._current.items()):
            if event.expires_at is not None and event.expires_at <= now:
                del self._current[key]
            elif subscription.wants(event):
                self._tell(subscription, event)

    def publish_state(
        self, session: Session | Lease, state: ConnectionState, reason: str | None, jid: str | None = None
    ) -> None:
        data = {"connection_state": state, "reason": reason, "jid": jid}
        self.publish(session.tenant_id, "session.state", session.session_id, data)

    @contextmanager
    def watching_interest(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever ``tenants_listening`` may be another."""
        changed = asyncio.Event()
        self._watching_interest.add(changed)
        try:
            yield changed
        finally:
            self._watching_interest.discard(changed)

    @contextmanager
    def subscribed(self, listener: L) -> Iterator[L]:
        self._subscriptions.add(listener)
        self._interest_changed()
        self.catch_up(listener)
        try:
            yield listener
        finally:
            self._subscriptions.discard(listener)
            self._interest_changed()

    def close(self) -> None:
        """Let every listener know that this process ends."""
        for subscription in list(self._subscriptions):
            self._cut_off(subscription)

    def _interest_changed(self) -> None:
        for changed in self._watching_interest:
            changed.set()

    def _cut_off(self, subscription: Listener) -> None:
        self._subscriptions.discard(subscription)
        subscription.queue.put_nowait(None)


def timestamp(moment: datetime) -> str:
    """A time as the public API writes it: ISO 8601, UTC, milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def optional_timestamp(moment: datetime | None) -> str | None:
    """The same for a time that may not have come."""
    return None if moment is None else timestamp(moment)


def remaining_seconds(until: datetime) -> float:
    """How long it is until then, for people who watch a clock: not below zero, to a tenth."""
    return max(0.0, round((until - datetime.now(UTC)).total_seconds(), 1))
