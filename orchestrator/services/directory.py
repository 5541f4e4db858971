"""Contacts, chats and labels as far as a session knows them: what the sidecar learned, read from the store."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.directory import Change, Entry, Kind
from orchestrator.store.directory import DirectoryStore

#: Where a contact's name comes from: the phone's address book, or what it calls itself.
_NAMES = ("name", "verified_name", "push_name", "username")


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat and what it is called: a group by its subject, a contact by the best of its names."""

    entry: Entry
    name: str | None


class Directory:
    def __init__(self, store: DirectoryStore) -> None:
        self._store = store

    async def learn(self, changes: Sequence[Change]) -> None:
        await self._store.write(changes)

    async def contacts(
        self, tenant_id: str, session_id: str, *, after: tuple[int, str] | None, most: int
    ) -> list[Entry]:
        """By jid."""
        return await self._store.page(tenant_id, session_id, Kind.CONTACT, after=after, most=most)

    async def chats(self, tenant_id: str, session_id: str, *, after: tuple[int, str] | None, most: int) -> list[Chat]:
        """Those with the newest messages first."""
        entries = await self._store.page(tenant_id, session_id, Kind.CHAT, after=after, most=most)
        contacts = await self._store.some(tenant_id, session_id, Kind.CONTACT, [entry.entry_id for entry in entries])
        return [Chat(entry, entry.fields.get("name") or _called(contacts.get(entry.entry_id))) for entry in entries]

    async def labels(self, tenant_id: str, session_id: str) -> list[Entry]:
        """All of them: WhatsApp allows twenty."""
        return await self._store.page(tenant_id, session_id, Kind.LABEL, after=None, most=200)

    async def last_message(self, tenant_id: str, session_id: str, chat: str) -> dict[str, Any] | None:
        """The newest message that is known of a chat, as operations on chats take it."""
        known = (await self._store.some(tenant_id, session_id, Kind.CHAT, [chat])).get(chat)
        return None if known is None else known.fields.get("last_message")


def _called(contact: Entry | None) -> str | None:
    if contact is None:
        return None
    return next((contact.fields[name] for name in _NAMES if contact.fields.get(name)), None)
