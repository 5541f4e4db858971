"""One text to all tenants that use the Telegram bot; for the admin token."""

from collections.abc import AsyncIterator

from orchestrator.client.transport import Transport
from orchestrator.wire import broadcasts as wire
from orchestrator.wire.shape import NoFields


class Broadcasts:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(self, text: str) -> wire.Broadcast:
        """``BroadcastUnderWay``, ``BotOff``."""
        body = wire.CreateBroadcast(text=text)
        return await self._transport.call("POST", "/v1/broadcasts", wire.Broadcast, body=body)

    def list(self) -> AsyncIterator[wire.Broadcast]:
        """Newest first."""
        return self._transport.pages("/v1/broadcasts", wire.Broadcasts, lambda page: page.broadcasts)

    async def newest(self) -> wire.Broadcast | None:
        """The only one that may be under way."""
        found = await self._transport.call("GET", "/v1/broadcasts", wire.Broadcasts, query={"limit": "1"})
        return found.broadcasts[0] if found.broadcasts else None

    async def get(self, broadcast_id: int) -> wire.Broadcast:
        return await self._transport.call("GET", f"/v1/broadcasts/{broadcast_id}", wire.Broadcast)

    async def cancel(self, broadcast_id: int) -> wire.Broadcast:
        """As it is by then: one that has ended stays so."""
        path = f"/v1/broadcasts/{broadcast_id}/cancel"
        return await self._transport.call("POST", path, wire.Broadcast, body=NoFields())
