"""Chats, labels, presence and the account's own profile."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from orchestrator.wire.addresses import ChatText, Lid, UserText
from orchestrator.wire.pages import NextCursor
from orchestrator.wire.shape import Answer, Request, Timestamp

MessageId = Annotated[str, Meta(min_length=1, max_length=128, examples=["3EB0C431C26A1916E07E9A"])]
Color = Annotated[int, Meta(ge=0, le=19, description="One of WhatsApp's twenty.")]
LabelName = Annotated[str, Meta(min_length=1, max_length=100)]


class Chat(Answer, frozen=True, kw_only=True):
    """A chat as far as the session was told of it."""

    chat: Annotated[str, Meta(description="The jid of the contact or the group.")]
    name: str | None
    unread_count: int
    marked_unread: bool
    archived: bool
    pinned: bool
    muted: bool
    muted_until: Annotated[Timestamp | None, Meta(description="Null when it isn't muted, or muted for ever.")]
    ephemeral_seconds: int
    labels: Annotated[list[str], Meta(description="The ids of its labels.")]
    last_message_at: Timestamp | None


class Chats(Answer, frozen=True, kw_only=True):
    chats: list[Chat]
    next_cursor: NextCursor


class ReadMessage(Request, frozen=True, kw_only=True):
    message_id: MessageId
    participant: Annotated[UserText, Meta()] | None = None


class ReadChat(Request, frozen=True, kw_only=True):
    """Without messages the whole chat is marked as read, up to its newest message."""

    messages: Annotated[
        list[ReadMessage], Meta(max_length=500, description="In a group each with its sender as participant.")
    ] = field(default_factory=list)


class ChangeChat(Request, frozen=True, kw_only=True):
    """What is missing stays as it is."""

    archived: bool | UnsetType = UNSET
    pinned: bool | UnsetType = UNSET
    muted: bool | UnsetType = UNSET
    muted_until: (
        Annotated[datetime, Meta(tz=True, description="With muted: until then; without it, for ever.")] | UnsetType
    ) = UNSET
    unread: bool | UnsetType = UNSET


class SetPresence(Request, frozen=True, kw_only=True):
    presence: Literal["available", "unavailable"]


class SetChatState(Request, frozen=True, kw_only=True):
    chat: ChatText
    state: Annotated[
        Literal["composing", "recording", "paused"],
        Meta(description="Typing, recording, or neither any more. WhatsApp forgets it after some seconds."),
    ]


class SubscribePresence(Request, frozen=True, kw_only=True):
    chat: ChatText


class Profile(Answer, frozen=True, kw_only=True):
    jid: str
    lid: Lid
    name: str | None
    about: str | None
    picture_url: str | None


class ChangeProfile(Request, frozen=True, kw_only=True):
    """What is missing stays as it is."""

    name: Annotated[str, Meta(min_length=1, max_length=25)] | UnsetType = UNSET
    about: Annotated[str, Meta(max_length=139)] | UnsetType = UNSET


class Label(Answer, frozen=True, kw_only=True):
    label_id: str
    name: str
    color: int


class Labels(Answer, frozen=True, kw_only=True):
    labels: list[Label]


class SaveLabel(Request, frozen=True, kw_only=True):
    name: LabelName
    color: Color = 0
