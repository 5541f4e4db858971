"""What a stored message is found by: digests, because ids are whatever their senders choose, and chats are people.

The sidecar makes the same keys (baileys-server/src/connections/incoming-messages.js).
"""

import hashlib
from typing import Final

_ID_DIGITS: Final = 24
_CHAT_DIGITS: Final = 24
_SENDER_DIGITS: Final = 16


def message_key(message_id: str, chat: str, sender: str) -> str:
    """64 hexadecimal digits: of the id, of the chat, of the sender."""
    return id_key(message_id) + chat_key(chat) + _digest(sender, _SENDER_DIGITS)


def id_key(message_id: str) -> str:
    """How the keys of all messages with this id begin."""
    return _digest(message_id, _ID_DIGITS)


def chat_key(chat: str) -> str:
    """What stands in the keys of all messages of this chat, from position ``CHAT_POSITION``."""
    return _digest(chat, _CHAT_DIGITS)


#: Counted from 1, as PostgreSQL's substr does.
CHAT_POSITION: Final = _ID_DIGITS + 1
CHAT_LENGTH: Final = _CHAT_DIGITS


def _digest(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
