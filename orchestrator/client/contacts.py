"""Contacts, numbers and the block list."""

from collections.abc import AsyncIterator, Sequence
from typing import Literal

from orchestrator.client.transport import Transport, path_of
from orchestrator.wire import contacts as wire
from orchestrator.wire.addresses import UserAddress


class Contacts:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, session_id: str) -> AsyncIterator[wire.Contact]:
        """Those that the session was told of, by jid."""
        return self._transport.pages(path_of(session_id, "contacts"), wire.Contacts, lambda page: page.contacts)

    async def save(self, session_id: str, contact: str, name: str, first_name: str | None = None) -> None:
        """In the phone's address book."""
        body = wire.SaveContact(name=name, first_name=first_name)
        await self._transport.done("PUT", path_of(session_id, "contacts", contact), body=body)

    async def remove(self, session_id: str, contact: str) -> None:
        await self._transport.done("DELETE", path_of(session_id, "contacts", contact))

    async def about(self, session_id: str, contact: str) -> wire.About:
        return await self._transport.call("GET", path_of(session_id, "contacts", contact, "about"), wire.About)

    async def picture(
        self, session_id: str, contact: str, size: Literal["preview", "image"] = "preview"
    ) -> wire.PictureUrl:
        """Of a person or of a group."""
        path = path_of(session_id, "contacts", contact, "picture")
        return await self._transport.call("GET", path, wire.PictureUrl, query={"size": size})

    async def check(self, session_id: str, numbers: Sequence[str]) -> Sequence[wire.CheckedNumber]:
        """Which of up to 500 numbers are on WhatsApp, in their order."""
        path, body = path_of(session_id, "numbers", "check"), wire.CheckNumbers(numbers=list(numbers))
        return (await self._transport.call("POST", path, wire.CheckedNumbers, body=body)).numbers

    async def blocked(self, session_id: str) -> Sequence[UserAddress]:
        return (await self._transport.call("GET", path_of(session_id, "blocklist"), wire.Blocklist)).blocked

    async def block(self, session_id: str, contact: str) -> None:
        await self._transport.done("PUT", path_of(session_id, "blocklist", contact))

    async def unblock(self, session_id: str, contact: str) -> None:
        await self._transport.done("DELETE", path_of(session_id, "blocklist", contact))
