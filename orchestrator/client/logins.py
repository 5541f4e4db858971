"""Log-ins of browsers."""

from orchestrator.client.transport import Transport
from orchestrator.wire import logins as wire
from orchestrator.wire.shape import NoFields


class Logins:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def begin(self) -> wire.Login:
        """A token for a browser, with the rights of this client's."""
        return await self._transport.call("POST", "/v1/logins", wire.Login, body=NoFields())

    async def end(self) -> None:
        """This client's token, which is a log-in's, opens nothing from now on; ``LoginNotFound``."""
        await self._transport.done("DELETE", "/v1/logins/current")

    async def make_link(self) -> wire.LoginLink:
        """A link to the dashboard that works once."""
        return await self._transport.call("POST", "/v1/login-links", wire.LoginLink, body=NoFields())
