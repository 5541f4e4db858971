"""The client as a whole."""

from collections.abc import AsyncIterator
from types import TracebackType

import aiohttp

from orchestrator.client.event_stream import StreamEvent, events
from orchestrator.client.sessions import Sessions
from orchestrator.client.tenants import Tenants, Tokens
from orchestrator.client.transport import Transport

#: A send may take 45 s until WhatsApp's socket took it.
TIMEOUT_SECONDS = 60.0


class Client:
    """``token`` opens what it is for; with the admin token, ``tenant_id`` says whose things are meant, if not the operator's."""

    def __init__(
        self, base_url: str, token: str, *, tenant_id: str | None = None, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self._http = aiohttp.ClientSession()
        self._transport = Transport(self._http, base_url, token, tenant_id, timeout_seconds)
        self.sessions = Sessions(self._transport)
        self.tokens = Tokens(self._transport)
        self.tenants = Tenants(self._transport)

    def events(self, session_id: str | None = None, *, last_event_id: str | None = None) -> AsyncIterator[StreamEvent]:
        """What happens, as it happens, of all sessions or of one; it connects again by itself and misses no message.

        Each received message is given at least once: what was being dealt with when the reading ended comes again unless
        its id is ``last_event_id`` the next time.
        """
        return events(self._transport, session_id, last_event_id)

    async def close(self) -> None:
        await self._http.close()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
