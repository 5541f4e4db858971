"""Chats, labels, presence and the account's own profile."""

from collections.abc import AsyncIterator, Sequence
from typing import Literal

from orchestrator.client.transport import Transport, path_of, segment
from orchestrator.wire import chats as wire
from orchestrator.wire.groups import SetPicture


class Chats:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, session_id: str) -> AsyncIterator[wire.Chat]:
        """What the session was told of, the newest message first."""
        return self._transport.pages(path_of(session_id, "chats"), wire.Chats, lambda page: page.chats)

    async def change(self, session_id: str, chat: str, changes: wire.ChangeChat) -> None:
        """What isn't named stays as it is."""
        await self._transport.done("PATCH", path_of(session_id, "chats", chat), body=changes)

    async def read(self, session_id: str, chat: str, messages: Sequence[wire.ReadMessage] = ()) -> None:
        """Mark these messages as read, or the whole chat."""
        body = wire.ReadChat(messages=list(messages))
        await self._transport.done("POST", path_of(session_id, "chats", chat, "read"), body=body)


class Labels:
    """Of a business account."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self, session_id: str) -> Sequence[wire.Label]:
        return (await self._transport.call("GET", path_of(session_id, "labels"), wire.Labels)).labels

    async def create(self, session_id: str, name: str, color: int = 0) -> wire.Label:
        body = wire.SaveLabel(name=name, color=color)
        return await self._transport.call("POST", path_of(session_id, "labels"), wire.Label, body=body)

    async def change(self, session_id: str, label: str, name: str, color: int = 0) -> None:
        body = wire.SaveLabel(name=name, color=color)
        await self._transport.done("PUT", path_of(session_id, "labels", label), body=body)

    async def remove(self, session_id: str, label: str) -> None:
        await self._transport.done("DELETE", path_of(session_id, "labels", label))

    async def assign(self, session_id: str, label: str, chat: str, message_id: str | None = None) -> None:
        """To a chat, or to one of its messages."""
        await self._transport.done("PUT", _labelled(session_id, label, chat, message_id))

    async def unassign(self, session_id: str, label: str, chat: str, message_id: str | None = None) -> None:
        await self._transport.done("DELETE", _labelled(session_id, label, chat, message_id))


class Presence:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def set(self, session_id: str, presence: Literal["available", "unavailable"]) -> None:
        body = wire.SetPresence(presence=presence)
        await self._transport.done("PUT", path_of(session_id, "presence"), body=body)

    async def set_in_chat(self, session_id: str, chat: str, state: Literal["composing", "recording", "paused"]) -> None:
        body = wire.SetChatState(chat=chat, state=state)
        await self._transport.done("POST", path_of(session_id, "presence", "chat"), body=body)

    async def subscribe(self, session_id: str, chat: str) -> None:
        """Have ``presence.update`` events of this chat until the connection ends."""
        body = wire.SubscribePresence(chat=chat)
        await self._transport.done("POST", path_of(session_id, "presence", "subscribe"), body=body)


class Profile:
    """What the account shows of itself."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def get(self, session_id: str) -> wire.Profile:
        return await self._transport.call("GET", path_of(session_id, "profile"), wire.Profile)

    async def change(self, session_id: str, changes: wire.ChangeProfile) -> None:
        """What isn't named stays as it is."""
        await self._transport.done("PATCH", path_of(session_id, "profile"), body=changes)

    async def set_picture(self, session_id: str, picture: str) -> None:
        """``picture``: a JPEG in base64."""
        body = SetPicture(picture=picture)
        await self._transport.done("PUT", path_of(session_id, "profile", "picture"), body=body)

    async def remove_picture(self, session_id: str) -> None:
        await self._transport.done("DELETE", path_of(session_id, "profile", "picture"))


def _labelled(session_id: str, label: str, chat: str, message_id: str | None) -> str:
    of_chat = path_of(session_id, "labels", label, "chats", chat)
    return of_chat if message_id is None else f"{of_chat}/messages/{segment(message_id)}"
