"""One text to all tenants that use the Telegram bot."""

from typing import Annotated, TypeAlias

from msgspec import Meta

from orchestrator.domain.broadcast import BroadcastState
from orchestrator.wire.bot import Epoch
from orchestrator.wire.pages import NextCursor
from orchestrator.wire.shape import Answer, Request, Timestamp

#: Telegram takes 4,096 in a message.
LONGEST_TEXT = 3500

BroadcastId: TypeAlias = Annotated[int, Meta(ge=1, le=2**62, description="Its number.", examples=[1])]
_Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**31 - 1)]
_Chat: TypeAlias = Annotated[
    int | None, Meta(description="The last Telegram chat that was dealt with, in the order of their ids.")
]


class CreateBroadcast(Request, frozen=True):
    text: Annotated[str, Meta(min_length=1, max_length=LONGEST_TEXT, pattern=r"^[^\x00]*\S[^\x00]*$")]


class Broadcast(Answer, frozen=True):
    broadcast_id: BroadcastId
    text: str
    state: BroadcastState
    recipients: Annotated[int | None, Meta(description="Chats that it goes to; null until the bot begins with it.")]
    told: int
    failed: Annotated[int, Meta(description="Chats that could not be reached.")]
    after_chat: _Chat
    created_at: Timestamp
    ended_at: Timestamp | None


class Broadcasts(Answer, frozen=True):
    broadcasts: list[Broadcast]
    next_cursor: NextCursor


class ReportBroadcast(Request, frozen=True):
    epoch: Epoch
    recipients: _Count
    told: _Count
    failed: _Count
    after_chat: _Chat
    done: bool = False
