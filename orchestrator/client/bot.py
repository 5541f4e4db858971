"""What the Telegram bot asks for itself."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from orchestrator.client.transport import Transport, segment
from orchestrator.wire import bot as wire
from orchestrator.wire.broadcasts import Broadcast, ReportBroadcast


class Bot:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def hold(self, holder: str, seconds: float) -> int | None:
        """The epoch under which this process is the bot for so long; None while another one is."""
        body = wire.HoldLease(holder=holder, seconds=seconds)
        return (await self._transport.call("POST", "/v1/bot/lease", wire.Lease, body=body)).epoch

    async def release(self, holder: str) -> None:
        await self._transport.done("POST", "/v1/bot/lease/release", body=wire.ReleaseLease(holder=holder))

    async def first_token(self) -> str | None:
        """The admin token of the very first start, once; None ever after."""
        return (await self._transport.call("POST", "/v1/bot/first-token", wire.FirstToken)).admin_token

    def documents(self, prefix: str) -> AsyncIterator[wire.Document]:
        query = {"prefix": prefix, "limit": "200"}
        return self._transport.pages("/v1/bot/documents", wire.Documents, lambda page: page.documents, query)

    async def put(self, name: str, value: dict[str, Any], epoch: int) -> None:
        """``BotLeaseLost`` when another process is the bot by now."""
        body = wire.PutDocument(epoch=epoch, value=value)
        await self._transport.done("PUT", f"/v1/bot/documents/{segment(name)}", body=body)

    async def report_broadcast(self, broadcast_id: int, report: ReportBroadcast) -> Broadcast:
        """How things are with it: it may have been cancelled. ``BotLeaseLost`` when another process is the bot by now."""
        return await self._transport.call("PUT", f"/v1/bot/broadcasts/{broadcast_id}", Broadcast, body=report)

    async def updates(self) -> list[dict[str, Any]]:
        """What Telegram delivered to the webhook and nobody dealt with."""
        return (await self._transport.call("GET", "/v1/bot/updates", wire.Updates)).updates

    async def forget(self, update_ids: Sequence[int]) -> None:
        body = wire.ForgetUpdates(update_ids=list(update_ids))
        await self._transport.done("POST", "/v1/bot/updates/forget", body=body)
