"""A broadcast: one text to all tenants that use the Telegram bot."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from orchestrator.domain.errors import BroadcastNotFound

_ID = re.compile(r"[1-9][0-9]{0,17}")


class BroadcastState(StrEnum):
    WAITING = "waiting"
    """The bot hasn't begun with it."""
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    recipients: int
    """Chats that it goes to."""
    told: int
    failed: int
    """Chats that could not be reached."""
    after_chat: int | None
    """The last chat that was dealt with, in the order of their ids; None: none yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadcast:
    broadcast_id: int
    text: str
    created_at: datetime
    progress: Progress | None
    """None until the bot begins."""
    ended_at: datetime | None
    cancelled: bool

    @property
    def state(self) -> BroadcastState:
        if self.ended_at is not None:
            return BroadcastState.CANCELLED if self.cancelled else BroadcastState.DONE
        return BroadcastState.WAITING if self.progress is None else BroadcastState.RUNNING


def existing_broadcast_id(text: str) -> int:
    """An id as it came in a request; ``BroadcastNotFound`` at once for what can't be one."""
    if not _ID.fullmatch(text):
        raise BroadcastNotFound
    return int(text)
