"""What a session knows of contacts, chats and labels: pieces that WhatsApp tells once, put together."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

#: A field of an entry by which it is sorted: chats by their newest message.
LAST_MESSAGE = "last_message"
_UNREAD = "unread_count"
_UNREAD_ADDED = "unread_added"
_LABELS = "labels"


class Kind(StrEnum):
    CONTACT = "contact"
    CHAT = "chat"
    LABEL = "label"


@dataclass(frozen=True, slots=True)
class Change:
    """``fields`` None: the entry is gone. A field that is null has no value any more."""

    session_ref: int
    generation: int
    kind: Kind
    entry_id: str
    fields: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Entry:
    entry_id: str
    fields: Mapping[str, Any]
    sort_at: int
    """Milliseconds since 1970 of what it is sorted by; 0 when there is nothing."""


def merged(known: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """An entry after a change: what is told replaces what was known, but for unread messages, which add up, and labels,
    of which each is told for itself."""
    told = dict(change)
    added = told.pop(_UNREAD_ADDED, 0)
    labels = told.pop(_LABELS, {})
    both = {**known, **told}
    if added:
        both[_UNREAD] = int(both.get(_UNREAD) or 0) + added
    if labels:
        kept = set(known.get(_LABELS, ())) | {label for label, assigned in labels.items() if assigned}
        both[_LABELS] = sorted(kept - {label for label, assigned in labels.items() if not assigned})
    return {name: value for name, value in both.items() if value is not None}


def sort_at(fields: Mapping[str, Any]) -> int:
    """Milliseconds since 1970 of an entry's newest message; 0 without one."""
    last = fields.get(LAST_MESSAGE)
    return int(last["timestamp"]) * 1000 if last else 0
