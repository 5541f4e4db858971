"""HTTP to addresses that users name. Nothing here calls an address that the rules forbid, whatever its name says.

The rules look at the very address that a socket is about to connect to, so neither a name that resolves differently the
second time nor a redirect gets around them. No proxy of the environment is used: it would connect for us, unlooked at.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from orchestrator.domain.errors import AddressForbidden, AddressUnreachable
from orchestrator.domain.outbound import AddressRules

_CONNECT_SECONDS = 10.0
_CONNECTIONS = 100
_CONNECTIONS_OF_A_HOST = 16
_USER_AGENT = "Baileys-Orchestrator"

AddrInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]


class OutboundClient:
    """Answers are read as they come: no content encoding is undone, so that little can't become much."""

    def __init__(self, rules: AddressRules) -> None:
        """To be made inside a running event loop."""
        self.rules = rules
        connector = aiohttp.TCPConnector(
            limit=_CONNECTIONS,
            limit_per_host=_CONNECTIONS_OF_A_HOST,
            resolver=_Resolver(rules),
            socket_factory=self._checked_socket,
        )
        self._http = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"},
        )

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        *,
        total_seconds: float,
        redirects: int = 0,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, whose body is still to be read; ``total_seconds`` covers that too.

        With ``redirects`` 0 a redirect is the answer. Raises ``AddressForbidden`` and ``AddressUnreachable``, also from
        reading within the block.
        """
        problem = self.rules.url_problem(url)
        if problem is not None:
            raise AddressForbidden(f"The address {problem}.")
        asked = self._http.request(
            method,
            url,
            headers=headers,
            data=body,
            allow_redirects=redirects > 0,
            max_redirects=redirects + 1,  # aiohttp counts the first request as well
            timeout=aiohttp.ClientTimeout(total=total_seconds, sock_connect=_CONNECT_SECONDS),
        )
        try:
            response = await asked
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, _Forbidden):
                raise AddressForbidden from error
            raise AddressUnreachable(_words(error)) from error
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise AddressUnreachable(_words(error)) from error
        async with response:
            try:
                yield response
            except (aiohttp.ClientError, TimeoutError) as error:
                raise AddressUnreachable(_words(error)) from error

    async def close(self) -> None:
        await self._http.close()

    def _checked_socket(self, info: AddrInfo) -> socket.socket:
        family, kind, protocol, _, address = info
        if not self.rules.permits(address[0]):
            raise _Forbidden
        return socket.socket(family, kind, protocol)


class _Forbidden(OSError):
    """The rules forbid this address."""


class _Resolver(AbstractResolver):
    """A name of which one address is forbidden is forbidden: which of them would be connected to is chance."""

    def __init__(self, rules: AddressRules) -> None:
        self._rules = rules
        self._system = ThreadedResolver(asyncio.get_running_loop())

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._system.resolve(host, port, family)
        if not all(self._rules.permits(result["host"]) for result in found):
            raise _Forbidden
        return found

    async def close(self) -> None:
        await self._system.close()


def _words(error: Exception) -> str:
    """What happened, without the address: it may hold a secret."""
    match error:
        case TimeoutError():
            return "The address did not answer in time."
        case aiohttp.ClientConnectorDNSError():
            return "The address has a name that doesn't exist."
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return "The address has no valid certificate."
        case aiohttp.ClientConnectorError():
            return "Nothing takes a connection at the address."
        case aiohttp.TooManyRedirects():
            return "The address leads from one redirect to another."
        case aiohttp.InvalidURL():
            return "The address, or where it redirects to, is no URL with http:// or https://."
        case _:
            return "The connection broke before the answer was complete."
