"""Messages that wait, bulks, and the pace of a session."""

from collections.abc import AsyncIterator

from orchestrator.client.transport import File, Transport, segment
from orchestrator.domain.outbox import MessageState
from orchestrator.wire import messages
from orchestrator.wire import outbox as wire


class Outbox:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def accept(self, session_id: str, message: messages.OutgoingMessage, key: str) -> messages.SentMessage:
        """Have a message sent when the session is open. Asked again until it is accepted: ``key`` makes it one message."""
        path, headers = f"/v1/sessions/{segment(session_id)}/messages", {"Idempotency-Key": key}
        return await self._transport.call("POST", path, messages.SentMessage, body=message, headers=headers)

    async def accept_file(
        self, session_id: str, message: messages.MediaMessage, file: File, key: str
    ) -> messages.SentMessage:
        """The same with a file that is here, of at most 32 MiB; ``message`` is without ``media``."""
        path, headers = f"/v1/sessions/{segment(session_id)}/messages", {"Idempotency-Key": key}
        return await self._transport.upload(path, messages.SentMessage, message, file, headers)

    def list(self, session_id: str, state: MessageState | None = None) -> AsyncIterator[wire.OutboxMessage]:
        """Newest first."""
        query = None if state is None else {"state": state.value}
        return self._transport.pages(_path(session_id), wire.OutboxPage, lambda page: page.messages, query)

    async def get(self, session_id: str, message_id: str) -> wire.OutboxMessage:
        return await self._transport.call("GET", _path(session_id, message_id), wire.OutboxMessage)

    async def cancel(self, session_id: str, message_id: str) -> wire.OutboxMessage:
        """``NotCancellable`` once it is being sent."""
        return await self._transport.call("DELETE", _path(session_id, message_id), wire.OutboxMessage)

    async def send_bulk(self, session_id: str, bulk: wire.SendBulk, key: str) -> wire.Bulk:
        """Asked again until it is accepted: ``key`` makes it one bulk."""
        headers = {"Idempotency-Key": key}
        return await self._transport.call("POST", _bulk(session_id), wire.Bulk, body=bulk, headers=headers)

    async def bulk(self, session_id: str, bulk_id: str) -> wire.Bulk:
        return await self._transport.call("GET", f"{_bulk(session_id)}/{segment(bulk_id)}", wire.Bulk)

    async def cancel_bulk(self, session_id: str, bulk_id: str) -> wire.Bulk:
        """What still waits of it."""
        return await self._transport.call("DELETE", f"{_bulk(session_id)}/{segment(bulk_id)}", wire.Bulk)

    async def pacing(self, session_id: str) -> wire.Pacing:
        return await self._transport.call("GET", _pacing(session_id), wire.Pacing)

    async def set_pacing(self, session_id: str, pacing: wire.Pacing) -> wire.Pacing:
        return await self._transport.call("PUT", _pacing(session_id), wire.Pacing, body=pacing)


def _path(session_id: str, message_id: str | None = None) -> str:
    path = f"/v1/sessions/{segment(session_id)}/outbox"
    return path if message_id is None else f"{path}/{segment(message_id)}"


def _bulk(session_id: str) -> str:
    return f"/v1/sessions/{segment(session_id)}/bulk"


def _pacing(session_id: str) -> str:
    return f"/v1/sessions/{segment(session_id)}/pacing"
