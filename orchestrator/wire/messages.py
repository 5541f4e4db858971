"""Messages to be sent, and what is known of them at once."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from orchestrator.domain.outbox import MessageState
from orchestrator.wire.shape import Answer, Request, Timestamp, text

Moment = Annotated[datetime, Meta(tz=True)]


class Queueing(Request, frozen=True, forbid_unknown_fields=False):
    """What has a message wait in the outbox instead of being sent at once; so does an Idempotency-Key."""

    queue: Annotated[bool, Meta(description="Accept it now and send it when the session is open.")] = False
    send_at: Annotated[Moment, Meta(description="Not before then, within a year.")] | None = None
    deadline: (
        Annotated[Moment, Meta(description="It fails if it isn't sent by then; a day after send_at unless given.")]
        | None
    ) = None

    @property
    def wanted(self) -> bool:
        return self.queue or self.send_at is not None or self.deadline is not None


class SendMessage(Queueing, frozen=True, forbid_unknown_fields=True, kw_only=True):
    to: Annotated[str, text("A phone number with country code, or a jid.", example="5511988887777")]
    type: Literal["text"]
    text: Annotated[str, Meta(min_length=1, description="At most 65,536 characters; an emoji is two.")]


class SentMessage(Answer, frozen=True):
    """A message that was written to WhatsApp's socket; with 202 one that waits in the outbox, and has a state there."""

    message_id: str
    to: Annotated[str, text("The jid that it goes to.", example="5511988887777@s.whatsapp.net")]
    state: Annotated[MessageState | UnsetType, Meta(description="With 202: ``queued``.")] = UNSET
    accepted_at: Timestamp | UnsetType = UNSET
    send_at: Timestamp | UnsetType = UNSET
    deadline: Timestamp | UnsetType = UNSET
