"""The outbox: messages that wait, bulks, and the pace of a session."""

from typing import Annotated, Any

from msgspec import Meta, field

from orchestrator.domain.outbox import MessageState
from orchestrator.domain.pacing import PacedMessages
from orchestrator.wire.messages import Moment
from orchestrator.wire.pages import NextCursor, Page
from orchestrator.wire.shape import Answer, Request, Timestamp, text

MessageId = Annotated[str, text("Of WhatsApp, fixed when the message was accepted.", example="3EB0A1B2C3D4E5F6071829")]
Code = Annotated[str | None, Meta(description="Why the last try failed, or why it was given up; null: it wasn't.")]


class OutboxMessage(Answer, frozen=True):
    """A message that was accepted, and what became of it. In a group: delivered to, and read by, the first of its members."""

    message_id: MessageId
    to: Annotated[str, text("The jid that it goes to.", example="5511988887777@s.whatsapp.net")]
    state: MessageState
    bulk_id: str | None
    accepted_at: Timestamp
    send_at: Timestamp
    deadline: Annotated[Timestamp, Meta(description="When it fails if it wasn't sent by then.")]
    attempts: Annotated[int, Meta(description="Tries that WhatsApp turned down.")]
    error: Code
    sent_at: Timestamp | None
    delivered_at: Timestamp | None
    read_at: Timestamp | None


class OutboxPage(Answer, frozen=True):
    messages: list[OutboxMessage]
    next_cursor: NextCursor


class ListOutbox(Page, frozen=True):
    state: MessageState | None = None
    bulk_id: Annotated[str, Meta(max_length=64)] | None = None
    to: Annotated[str, Meta(max_length=64, description="A phone number with country code, or a jid.")] | None = None


class BulkRecipient(Request, frozen=True):
    to: Annotated[str, text("A phone number with country code, or a jid.", example="5511988887777")]
    variables: Annotated[
        dict[str, str | int | float], Meta(description="What the places of the template stand for.", max_length=100)
    ] = field(default_factory=dict)


class SendBulk(Request, frozen=True, kw_only=True):
    """One message to many: ``{{name}}`` in any of its texts stands for a variable of each recipient."""

    template: Annotated[dict[str, Any], Meta(description="A message as in a single send, without ``to``.")]
    messages: Annotated[list[BulkRecipient], Meta(min_length=1, max_length=1000)]
    send_at: Annotated[Moment, Meta(description="Not before then, within a year.")] | None = None
    deadline: Annotated[Moment, Meta(description="What isn't sent by then fails.")] | None = None


class Bulk(Answer, frozen=True):
    """How far it is: the number of its messages in each state."""

    bulk_id: Annotated[str, text("Names the bulk.", example="bulk_5f0c1d2e3a4b5c6d7e8f9a0b")]
    total: int
    queued: int
    sending: int
    sent: int
    delivered: int
    read: int
    failed: int
    cancelled: int
    done: Annotated[bool, Meta(description="Nothing of it waits any more.")]
    created_at: Timestamp
    cancelled_at: Timestamp | None


class IdempotencyKey(Request, frozen=True):
    idempotency_key: Annotated[
        str | None,
        text(
            "The same key and body get the same answer, and one message; the same key with another body is refused. Kept for "
            "30 days after the message was sent.",
            pattern="^[!-~]{1,255}$",
        ),
    ] = field(name="Idempotency-Key", default=None)


TimeOfDay = Annotated[str, text("hh:mm", example="22:00", pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class QuietHours(Request, frozen=True):
    begins: TimeOfDay
    ends: TimeOfDay


class WarmUp(Request, frozen=True):
    """A newly linked number sends ``first_day`` messages on its first day and ``growth`` times as many on each further one."""

    first_day: Annotated[int, Meta(ge=1, le=100_000)]
    growth: Annotated[float, Meta(ge=1, le=10)]
    days: Annotated[int, Meta(ge=1, le=90)]


class Pacing(Request, frozen=True, kw_only=True):
    """How fast a session sends what keeps to a pace. Direct sends, which are answered with 201, never do."""

    applies_to: Annotated[
        PacedMessages, Meta(description="``bulk``; ``all``: every message of the outbox; ``none``: nothing.")
    ] = PacedMessages.BULK
    messages_per_minute: Annotated[float, Meta(ge=0.1, le=600)] = 12.0
    jitter: Annotated[
        float, Meta(ge=0, le=1, description="By which part each pause may be longer or shorter; drawn anew for each.")
    ] = 0.5
    time_zone: Annotated[
        str, text("An IANA name: whose days and quiet hours they are.", example="America/Sao_Paulo")
    ] = "UTC"
    quiet_hours: Annotated[QuietHours, Meta(description="Nothing is sent, over midnight too.")] | None = None
    warm_up: WarmUp | None = None
