"""The outbox: messages that were accepted and are sent when their session is open."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

#: How long after its time a message may still be sent, unless its sender says otherwise.
DEADLINE: Final = timedelta(days=1)
#: How far ahead a message may be accepted.
FURTHEST: Final = timedelta(days=366)
#: Tries that WhatsApp or Baileys turned down; a session that isn't open costs none.
MOST_ATTEMPTS: Final = 8
#: Messages of a session that may wait at a time.
MOST_WAITING: Final = 20_000
MOST_IN_BULK: Final = 1_000
#: Bytes of a file that waits with its message, and of all those of a session.
MOST_FILE_BYTES: Final = 32 * 1024 * 1024
MOST_FILES_BYTES: Final = 1024 * 1024 * 1024

_FIRST_RETRY_SECONDS: Final = 2.0
_LONGEST_RETRY_SECONDS: Final = 300.0


class MessageState(StrEnum):
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    """WhatsApp's server said that it has the message."""
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """What is told of a message; ``error`` is a stable code, of the last try or of its end."""

    message_id: str
    number: int
    to: str
    state: MessageState
    paced: bool
    bulk_id: str | None
    accepted_at: datetime
    send_at: datetime
    deadline: datetime
    attempts: int
    error: str | None
    sent_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Bulk:
    """Many messages of one request, and how many of them are in which state."""

    bulk_id: str
    total: int
    created_at: datetime
    cancelled_at: datetime | None
    states: dict[MessageState, int]

    @property
    def done(self) -> bool:
        return not (self.states.get(MessageState.QUEUED, 0) or self.states.get(MessageState.SENDING, 0))


def new_message_id() -> str:
    """A WhatsApp message id in the form of Baileys' ``generateMessageIDV2``."""
    return "3EB0" + secrets.token_hex(9).upper()


def retry_seconds(attempts: int, random: float) -> float:
    """How long to wait after that many failed tries; ``random`` is from 0 to 1."""
    longest = min(_LONGEST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2.0 ** (max(attempts, 1) - 1))
    return longest * (0.5 + random / 2)
