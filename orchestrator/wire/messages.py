"""Messages to be sent, and what is known of them at once."""

from typing import Annotated, Literal

from msgspec import Meta

from orchestrator.wire.shape import Answer, Request, text


class SendMessage(Request, frozen=True):
    to: Annotated[str, text("A phone number with country code, or a jid.", example="5511988887777")]
    type: Literal["text"]
    text: Annotated[str, Meta(min_length=1, description="At most 65,536 characters; an emoji is two.")]


class SentMessage(Answer, frozen=True):
    """A message that was written to WhatsApp's socket."""

    message_id: str
    to: Annotated[str, text("The jid that it went to.", example="5511988887777@s.whatsapp.net")]
