"""Channels, which Baileys calls newsletters."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from orchestrator.wire.shape import Answer, Request, Timestamp

ChannelName = Annotated[str, Meta(min_length=1, max_length=100)]
ChannelDescription = Annotated[str, Meta(max_length=2048)]


class Channel(Answer, frozen=True, kw_only=True):
    channel_id: str
    name: str | None
    description: str | None
    invite_code: str | None
    followers: int
    verified: bool
    role: Annotated[Literal["owner", "admin", "subscriber", "guest"], Meta(description="This account's own.")]
    muted: bool
    created_at: Timestamp | None


class CreateChannel(Request, frozen=True, kw_only=True):
    name: ChannelName
    description: ChannelDescription | None = None


class ChangeChannel(Request, frozen=True, kw_only=True):
    """What is missing stays as it is."""

    name: ChannelName | UnsetType = UNSET
    description: ChannelDescription | UnsetType = UNSET
