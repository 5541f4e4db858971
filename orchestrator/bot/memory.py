"""What the bot must not forget, in PostgreSQL by way of the API: nothing of it is only in this process.

It is read once, when this process becomes the bot, and written through from then on: nobody else writes it meanwhile
(``BotLeaseLost`` if somebody does).
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from orchestrator.client import Client
from orchestrator.domain.alert import AlertBook
from orchestrator.domain.language import Language

T = TypeVar("T", bound=msgspec.Struct)

#: Buttons of so many messages of a chat can be pressed; older ones are answered with the present state.
_KEYBOARDS = 30
#: Updates that are remembered as dealt with, against second deliveries.
_HANDLED = 50


class Keyboard(msgspec.Struct):
    """What the buttons of a message do, in their order. ``serial`` is in what Telegram gives back."""

    serial: int
    message_id: int
    actions: list[list[str]]
    stays: bool = False
    """What a button leads to is shown in a message of its own."""


class Pairing(msgspec.Struct):
    """A message in which a session's QR code is kept up to date until a phone has scanned it."""

    message_id: int
    tenant_id: str
    session_id: str
    shown: str = ""
    """The text of the code that is in it."""


class Chat(msgspec.Struct):
    chat_id: int
    language: Language = Language.EN
    name: str = ""
    tenant_id: str | None = None
    blocked: bool = False
    """The person has blocked the bot, or is gone."""
    asks: list[str] | None = None
    asks_file: list[str] | None = None
    pairing: Pairing | None = None
    serial: int = 0
    keyboards: list[Keyboard] = []
    handled: list[int] = []

    def serial_for(self, message_id: int | None, actions: list[list[str]]) -> int:
        """That of the message's present keyboard if it stays the same, so that a button pressed meanwhile counts; or a new one."""
        present = next((one for one in self.keyboards if one.message_id == message_id), None)
        if present is not None and present.actions == actions:
            return present.serial
        self.serial += 1
        return self.serial

    def add_keyboard(self, serial: int, message_id: int, actions: list[list[str]], *, stays: bool = False) -> None:
        """It takes the place of the one that the message had."""
        others = [one for one in self.keyboards if one.message_id != message_id]
        self.keyboards = [*others, Keyboard(serial, message_id, actions, stays)][-_KEYBOARDS:]

    def keyboard(self, serial: int) -> Keyboard | None:
        """None if it is too old."""
        return next((one for one in self.keyboards if one.serial == serial), None)

    def action(self, serial: int, number: int) -> list[str] | None:
        """What a button does; None if it is too old."""
        found = self.keyboard(serial)
        return found.actions[number] if found is not None and number < len(found.actions) else None

    @contextlib.contextmanager
    def asking_on(self) -> Iterator[None]:
        """News are shown meanwhile: what the person is being asked elsewhere in the chat goes on."""
        asks, asks_file = self.asks, self.asks_file
        try:
            yield
        finally:
            self.asks, self.asks_file = asks, asks_file

    def has_handled(self, update_id: int) -> None:
        self.handled = [*self.handled, update_id][-_HANDLED:]


class OperatorMemory(msgspec.Struct):
    """What concerns the operator's chat beside its conversation."""

    dashboard: int | None = None
    """The message that shows how the service is."""
    alerts: AlertBook = AlertBook()
    notices_after: int = 0
    """The last notice of billing that was told."""


class TenantAlerts(msgspec.Struct):
    """What tenants were told of."""

    alerts: AlertBook = AlertBook()


class BroadcastShown(msgspec.Struct):
    """The operator's message that shows how far a broadcast is."""

    broadcast_id: int | None = None
    message_id: int | None = None


class Memory:
    """Everything, as of the moment when this process became the bot under ``epoch``."""

    def __init__(self, client: Client, epoch: int) -> None:
        self._client = client
        self.epoch = epoch
        self.chats: dict[int, Chat] = {}
        self.operator = OperatorMemory()
        self.tenant_alerts = TenantAlerts()
        self.broadcast = BroadcastShown()
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def load(self) -> None:
        async for document in self._client.bot.documents(""):
            kind, _, _ = document.name.partition(":")
            match kind:
                case "chat":
                    chat = _read(document.value, Chat)
                    self.chats[chat.chat_id] = chat
                case "operator":
                    self.operator = _read(document.value, OperatorMemory)
                case "tenant-alerts":
                    self.tenant_alerts = _read(document.value, TenantAlerts)
                case "broadcast":
                    self.broadcast = _read(document.value, BroadcastShown)
                case _:
                    continue  # of a later version

    def lock(self, chat_id: int) -> asyncio.Lock:
        """One thing at a time in one chat, in the order in which it came."""
        return self._locks[chat_id]

    def of_tenant(self, tenant_id: str) -> Chat | None:
        """The chat in which a tenant is spoken to."""
        return next((chat for chat in self.chats.values() if chat.tenant_id == tenant_id and not chat.blocked), None)

    async def save(self, chat: Chat) -> None:
        self.chats[chat.chat_id] = chat
        await self._put(f"chat:{chat.chat_id}", chat)

    async def save_operator(self) -> None:
        await self._put("operator", self.operator)

    async def save_tenant_alerts(self) -> None:
        await self._put("tenant-alerts", self.tenant_alerts)

    async def save_broadcast(self) -> None:
        await self._put("broadcast", self.broadcast)

    async def _put(self, name: str, value: msgspec.Struct) -> None:
        await self._client.bot.put(name, msgspec.to_builtins(value), self.epoch)


def _read(value: dict[str, Any], type_: type[T]) -> T:
    return msgspec.convert(value, type_)
