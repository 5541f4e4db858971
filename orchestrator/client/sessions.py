"""Sessions, their pairing, their settings and their messages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from orchestrator.client.transport import File, Transport, path_of, segment
from orchestrator.wire import activity as doings
from orchestrator.wire import messages, session_settings
from orchestrator.wire import pairing as linking
from orchestrator.wire import sessions as wire
from orchestrator.wire.shape import NoFields

#: Of a download that doesn't move.
_SILENCE_SECONDS = 90.0


class Sessions:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(self, session_id: str) -> wire.Session:
        """A session that starts at once; ``SessionExists``."""
        body = wire.CreateSession(session_id=session_id)
        return await self._transport.call("POST", "/v1/sessions", wire.Session, body=body)

    def list(self) -> AsyncIterator[wire.Session]:
        """All of them, by id."""
        return self._transport.pages("/v1/sessions", wire.Sessions, lambda page: page.sessions)

    async def get(self, session_id: str) -> wire.Session:
        return await self._transport.call("GET", _path(session_id), wire.Session)

    async def start(self, session_id: str, *, new_pairing: bool = False, replace: bool = False) -> wire.Session:
        """Have it run; one whose pairing is set aside needs ``new_pairing`` (``SessionQuarantined``), one whose works ``replace`` too."""
        body = wire.StartSession(new_pairing=new_pairing, replace=replace)
        return await self._transport.call("POST", _path(session_id, "start"), wire.Session, body=body)

    async def stop(self, session_id: str) -> wire.Session:
        return await self._transport.call("POST", _path(session_id, "stop"), wire.Session, body=NoFields())

    async def restart(self, session_id: str) -> wire.Session:
        """Have it run, with a new connection if it has one; ``SessionQuarantined``."""
        return await self._transport.call("POST", _path(session_id, "restart"), wire.Session, body=NoFields())

    async def log_out(self, session_id: str) -> wire.Session:
        """Have WhatsApp remove the device; ``SessionNotOpen``."""
        return await self._transport.call("POST", _path(session_id, "logout"), wire.Session, body=NoFields())

    async def delete(self, session_id: str) -> None:
        """Close and hide it. The device stays linked on the phone: log out first to remove it there."""
        await self._transport.done("DELETE", _path(session_id), query={"confirm": session_id})

    def generations(self, session_id: str) -> AsyncIterator[wire.Generation]:
        """Its pairings, newest first; of a deleted session too."""
        return self._transport.pages(_path(session_id, "generations"), wire.Generations, lambda page: page.generations)

    async def restore(self, session_id: str, generation: int, *, replace: bool = False) -> wire.Session:
        """Have it run with an earlier pairing again; ``replace`` one that works."""
        path = _path(session_id, f"generations/{generation}/restore")
        return await self._transport.call("POST", path, wire.Session, body=wire.RestoreGeneration(replace=replace))

    def audit(self, session_id: str) -> AsyncIterator[wire.SessionAuditEntry]:
        """What happened to its pairings, newest first."""
        return self._transport.pages(_path(session_id, "audit"), wire.SessionAudit, lambda page: page.audit)

    async def qr(self, session_id: str) -> linking.Qr:
        """The QR code that a phone accepts now; ``QrNotReady``, ``AlreadyPaired``, ``NotPairing``."""
        return await self._transport.call("GET", _path(session_id, "qr"), linking.Qr)

    async def pairing(self, session_id: str) -> linking.PairingProgress:
        """How far its linking is, without waiting."""
        return await self._transport.call("GET", _path(session_id, "pairing"), linking.PairingProgress)

    async def activity(self, session_id: str) -> doings.SessionActivity:
        """Its last 168 hours."""
        return await self._transport.call("GET", _path(session_id, "activity"), doings.SessionActivity)

    def connections(self, session_id: str) -> AsyncIterator[doings.ConnectionChange]:
        """How its connection changed, newest first."""
        path = _path(session_id, "connections")
        return self._transport.pages(path, doings.ConnectionChanges, lambda page: page.changes)

    async def pairing_code(self, session_id: str, phone: str) -> linking.PairingCode:
        """A code that the owner of ``phone`` (digits with country code) types into WhatsApp."""
        body = linking.RequestPairingCode(phone=phone)
        return await self._transport.call("POST", _path(session_id, "pairing-code"), linking.PairingCode, body=body)

    async def create_pairing_link(self, session_id: str, body: linking.CreatePairingLink) -> linking.NewPairingLink:
        """A page on which whoever holds the phone links the session; ``AlreadyPaired``."""
        path = _path(session_id, "pairing-links")
        return await self._transport.call("POST", path, linking.NewPairingLink, body=body)

    def pairing_links(self, session_id: str) -> AsyncIterator[linking.PairingLink]:
        """Newest first."""
        path = _path(session_id, "pairing-links")
        return self._transport.pages(path, linking.PairingLinks, lambda page: page.pairing_links)

    async def revoke_pairing_link(self, session_id: str, link_id: int) -> None:
        """Its page is gone at once."""
        await self._transport.done("DELETE", _path(session_id, f"pairing-links/{link_id}"))

    async def settings(self, session_id: str) -> session_settings.Settings:
        return await self._transport.call("GET", _path(session_id, "settings"), session_settings.Settings)

    async def change_settings(
        self, session_id: str, changes: session_settings.ChangeSettings
    ) -> session_settings.ChangedSettings:
        """While it runs. What isn't named stays as it is, None is as by default."""
        path = _path(session_id, "settings")
        return await self._transport.call("PATCH", path, session_settings.ChangedSettings, body=changes)

    async def send(self, session_id: str, message: messages.OutgoingMessage) -> messages.SentMessage:
        """Send a message of any type. Not asked again when it may have been sent: ``SendUnconfirmed``, ``ServiceUnreachable``."""
        return await self._transport.call("POST", _path(session_id, "messages"), messages.SentMessage, body=message)

    async def send_file(self, session_id: str, message: messages.MediaMessage, file: File) -> messages.SentMessage:
        """Send a message whose file is here; ``message`` is without ``media``."""
        return await self._transport.upload(_path(session_id, "messages"), messages.SentMessage, message, file)

    async def send_text(self, session_id: str, to: str, text: str) -> messages.SentMessage:
        """Send a text to a number or jid."""
        return await self.send(session_id, messages.TextMessage(to=to, text=text))

    def chat_messages(self, session_id: str, chat: str) -> AsyncIterator[dict[str, Any]]:
        """What is kept of a chat, the newest first; ``ChatsNotKept``."""
        path = _path(session_id, f"chats/{segment(chat)}/messages")
        return self._transport.pages(path, messages.ChatMessages, lambda page: page.messages)

    @asynccontextmanager
    async def media(
        self, session_id: str, message_id: str, which: messages.FindMessage | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The file of a message as it comes; an error while it is read says that it wasn't the whole."""
        query = {} if which is None else {k: str(v) for k, v in msgspec.to_builtins(which).items() if v is not None}
        path = _path(session_id, f"messages/{segment(message_id)}/media")
        async with self._transport.opened(path, query, {}, _SILENCE_SECONDS) as content:
            yield content.iter_any()


def _path(session_id: str, action: str | None = None) -> str:
    path = path_of(session_id)
    return path if action is None else f"{path}/{action}"
