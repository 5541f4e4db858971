"""What a service tells of itself without a token, but for its metrics."""

from typing import Any

import msgspec

from orchestrator.client.transport import Transport
from orchestrator.domain.errors import UnexpectedAnswer
from orchestrator.wire import health as wire


class Health:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def alive(self) -> wire.Health:
        """``ServiceUnreachable`` if it isn't."""
        return await self._transport.call("GET", "/healthz", wire.Health)

    async def ready(self) -> wire.Readiness:
        """Whether the database and the sidecar answer."""
        return await self._transport.call("GET", "/readyz", wire.Readiness, also=(503,))

    async def metrics(self) -> str:
        """In the format of Prometheus."""
        return (await self._transport.content("GET", "/metrics")).decode()

    async def openapi(self) -> dict[str, Any]:
        """The description of the API, OpenAPI 3.1."""
        try:
            return msgspec.json.decode(await self._transport.content("GET", "/openapi.json"), type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise UnexpectedAnswer from error
