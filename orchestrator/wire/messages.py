"""Messages to be sent, one struct for each type, and what is known of them at once."""

from datetime import datetime
from typing import Annotated, Any, TypeAlias

from msgspec import UNSET, Meta, UnsetType

from orchestrator.domain.outbox import MessageState
from orchestrator.wire.pages import NextCursor
from orchestrator.wire.shape import Answer, Request, Timestamp, text

Moment = Annotated[datetime, Meta(tz=True)]

#: What a message is sent to instead of a chat when it is a status post.
STATUS = "status@broadcast"

MessageId = Annotated[str, Meta(min_length=1, max_length=128, description="The id that WhatsApp knows a message by.")]
Jid = Annotated[str, text("A phone number with country code, or a jid.", example="5511988887777")]
Caption = Annotated[str, Meta(max_length=65_536, description="Shown below it.")] | None
Base64Picture = (
    Annotated[str, Meta(max_length=100_000, description="A small JPEG in base64, shown until the file is loaded.")]
    | None
)


class Target(Request, frozen=True):
    """A message that is referred to, when its id alone doesn't say enough."""

    message_id: MessageId
    chat: Annotated[str | None, text("The chat that it is in, when that isn't the one of `to`.")] = None
    sender: Annotated[str | None, text("Who wrote it, when several messages have that id.")] = None
    from_me: Annotated[
        bool | None,
        Meta(description="Whether this account wrote it; with it, the message needn't be known here any more."),
    ] = None


QuotedId = Annotated[str, Meta(min_length=1, max_length=128)]
Reference: TypeAlias = QuotedId | Target


class MediaSource(Request, frozen=True):
    """Where a file comes from: ``url`` or ``data``, and neither when it comes as the part ``file`` of a form."""

    url: Annotated[str | None, text("http or https, at a public address.", example="https://example.org/a.jpg")] = None
    data: Annotated[str | None, Meta(description="The file itself, in base64.")] = None
    mimetype: Annotated[str, Meta(max_length=200, description="If it isn't what the file says.")] | None = None
    file_name: Annotated[str, Meta(max_length=255)] | None = None


class LinkPreview(Request, frozen=True):
    """What is shown of a link; ``url`` must be in the text."""

    url: Annotated[str, Meta(min_length=1, max_length=2048)]
    title: Annotated[str, Meta(min_length=1, max_length=1000)]
    description: Annotated[str, Meta(max_length=5000)] | None = None
    thumbnail: Base64Picture = None


class Phone(Request, frozen=True):
    number: Annotated[str, text("With country code.", example="+55 11 98888-7777")]
    label: Annotated[str, Meta(max_length=50, description="Such as work.")] | None = None


class ContactCard(Request, frozen=True):
    """A person or a company, from which a vCard is made."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    phones: Annotated[list[Phone], Meta(min_length=1, max_length=20)]
    emails: Annotated[tuple[Annotated[str, Meta(max_length=254)], ...], Meta(max_length=10)] = ()
    organization: Annotated[str, Meta(max_length=200)] | None = None
    title: Annotated[str, Meta(max_length=200, description="What the person is there.")] | None = None
    url: Annotated[str, Meta(max_length=2048)] | None = None


class Queueing(Request, frozen=True, forbid_unknown_fields=False):
    """What has a message wait in the outbox instead of being sent at once; so does an Idempotency-Key."""

    queue: Annotated[bool, Meta(description="Accept it now and send it when the session is open.")] = False
    send_at: Annotated[Moment, Meta(description="Not before then, within a year.")] | None = None
    deadline: (
        Annotated[Moment, Meta(description="It fails if it isn't sent by then; a day after send_at unless given.")]
        | None
    ) = None

    @property
    def waits(self) -> bool:
        return self.queue or self.send_at is not None or self.deadline is not None


class Message(Queueing, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    to: Annotated[
        str,
        text(
            "A phone number with country code, a jid (of a channel too: @newsletter), or `status@broadcast`.",
            example="5511988887777",
        ),
    ]


class QuotingMessage(Message, frozen=True, kw_only=True):
    quoted: Annotated[QuotedId | Target | None, Meta(description="The message that this one answers.")] = None


class PostableMessage(QuotingMessage, frozen=True, kw_only=True):
    recipients: (
        Annotated[list[Jid], Meta(min_length=1, max_length=1000, description="Who sees it, if it is a status post.")]
        | None
    ) = None


class MediaMessage(PostableMessage, frozen=True, kw_only=True):
    media: Annotated[MediaSource | None, Meta(description="Left out when the file comes as a part of a form.")] = None


Mentions = Annotated[tuple[Jid, ...], Meta(max_length=1000, description="Whom the text names as @ and the number.")]


class TextMessage(PostableMessage, frozen=True, kw_only=True, tag="text"):
    text: Annotated[str, Meta(min_length=1, description="At most 65,536 characters; an emoji is two.")]
    mentions: Mentions = ()
    link_preview: Annotated[
        bool | LinkPreview, Meta(description="true fetches what is shown of the first link in the text.")
    ] = False
    background_color: Annotated[str, Meta(pattern="^#[0-9A-Fa-f]{6}$", description="Of a status post.")] | None = None
    font: Annotated[int, Meta(ge=0, le=10, description="Of a status post.")] | None = None


class ImageMessage(MediaMessage, frozen=True, kw_only=True, tag="image"):
    """JPEG, PNG or WebP."""

    caption: Caption = None
    mentions: Mentions = ()
    thumbnail: Base64Picture = None


class VideoMessage(MediaMessage, frozen=True, kw_only=True, tag="video"):
    """MP4 or 3GPP; H.264 and AAC in it play on every phone."""

    caption: Caption = None
    mentions: Mentions = ()
    thumbnail: Base64Picture = None
    gif: Annotated[bool, Meta(description="Plays again and again, without sound.")] = False


class AudioMessage(MediaMessage, frozen=True, kw_only=True, tag="audio"):
    """A sound file."""


class VoiceMessage(MediaMessage, frozen=True, kw_only=True, tag="voice"):
    """A voice note: Ogg with Opus, which is not converted here."""


class DocumentMessage(MediaMessage, frozen=True, kw_only=True, tag="document"):
    """A file of any type."""

    file_name: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    caption: Caption = None
    mentions: Mentions = ()
    thumbnail: Base64Picture = None


class StickerMessage(MediaMessage, frozen=True, kw_only=True, tag="sticker"):
    """WebP of 512 x 512 pixels."""


class LocationMessage(QuotingMessage, frozen=True, kw_only=True, tag="location"):
    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]
    name: Annotated[str, Meta(max_length=1000)] | None = None
    address: Annotated[str, Meta(max_length=1000)] | None = None


class ContactMessage(QuotingMessage, frozen=True, kw_only=True, tag="contact"):
    contacts: Annotated[list[ContactCard], Meta(min_length=1, max_length=50)]


class PollMessage(QuotingMessage, frozen=True, kw_only=True, tag="poll"):
    name: Annotated[str, Meta(min_length=1, max_length=255, description="The question.")]
    options: Annotated[list[Annotated[str, Meta(min_length=1, max_length=100)]], Meta(min_length=2, max_length=12)]
    selectable_count: Annotated[
        int, Meta(ge=0, le=12, description="How many one person may choose; 0: any number.")
    ] = 1


class ReactionMessage(Message, frozen=True, kw_only=True, tag="reaction"):
    target: Reference
    emoji: Annotated[str, Meta(max_length=32, description="Empty takes the reaction back.")]


class EditMessage(Message, frozen=True, kw_only=True, tag="edit"):
    """Another text, or caption, for a message of ours; phones take it for 15 minutes."""

    target: Reference
    text: Annotated[str, Meta(min_length=1, description="At most 65,536 characters; an emoji is two.")]


class DeleteMessage(Message, frozen=True, kw_only=True, tag="delete"):
    """For everybody: a message of ours, or anybody's as an admin of a group."""

    target: Reference


class ForwardMessage(Message, frozen=True, kw_only=True, tag="forward"):
    target: Reference


OutgoingMessage: TypeAlias = (
    TextMessage
    | ImageMessage
    | VideoMessage
    | AudioMessage
    | VoiceMessage
    | DocumentMessage
    | StickerMessage
    | LocationMessage
    | ContactMessage
    | PollMessage
    | ReactionMessage
    | EditMessage
    | DeleteMessage
    | ForwardMessage
)


class SentMessage(Answer, frozen=True):
    """A message that was written to WhatsApp's socket; with 202 one that waits in the outbox, and has a state there."""

    message_id: str
    to: Annotated[str, text("The jid that it goes to.", example="5511988887777@s.whatsapp.net")]
    state: Annotated[MessageState | UnsetType, Meta(description="With 202: ``queued``.")] = UNSET
    accepted_at: Timestamp | UnsetType = UNSET
    send_at: Timestamp | UnsetType = UNSET
    deadline: Timestamp | UnsetType = UNSET


class FindMessage(Request, frozen=True):
    """Which of several messages of one id is meant."""

    chat: Annotated[str | None, text("The chat that it is in.")] = None
    sender: Annotated[str | None, text("Who wrote it.")] = None


class ChatMessages(Answer, frozen=True):
    """Messages of a chat, the newest first."""

    messages: Annotated[
        list[dict[str, Any]], Meta(description="Each the fields of an event message.received, and received_at.")
    ]
    next_cursor: NextCursor
