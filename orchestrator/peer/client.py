"""Calls to other replicas: their events over a WebSocket, and requests of programs that came to the wrong one.

``GET /peer/v1/events`` is a WebSocket, open to whoever shows the token that the replica wrote into its row. The caller
sends ``{"tenant_ids": [...]}`` whenever that changes and gets arrays of events. ``GET /peer/v1/database`` answers
``{"database": bool, "journal": bool}``.
"""

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import aiohttp
import msgspec

from orchestrator.domain.errors import ReplicaUnreachable
from orchestrator.domain.event import Event
from orchestrator.domain.replica import Replica
from orchestrator.telemetry.tracing import client_span

#: Says that a request was forwarded already, so that it never goes round in a circle.
FORWARDED_HEADER = "X-Forwarded-By-Replica"
#: Shows that a request comes from a replica, which has counted it and put it on record. Never passed on.
PEER_TOKEN_HEADER = "X-Peer-Token"  # noqa: S105 (a name)
#: From another replica: that it is asked for by the bot of that one.
FOR_BOT_HEADER = "X-For-Bot"
EVENTS_PATH = "/peer/v1/events"
DATABASE_PATH = "/peer/v1/database"

_CONNECT_SECONDS = 3.0
_QUESTION_SECONDS = 1.0
#: A connection without any answer for that long is dead.
_HEARTBEAT_SECONDS = 5.0
#: Headers that concern one connection only (RFC 9110 section 7.6.1), and what is made anew for ours.
_NOT_PASSED_ON = frozenset(
    "connection content-encoding content-length host keep-alive server date te trailer transfer-encoding upgrade x-page-token x-peer-token".split()
)


class Interests(msgspec.Struct, frozen=True):
    """What a replica wants to hear."""

    tenant_ids: frozenset[str]


class Reaches(msgspec.Struct, frozen=True):
    """Whether a replica has the database, and whether its journal has changes that the database hasn't."""

    database: bool
    journal: bool = False
    """Releases before this field kept none that another replica could lose without knowing."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request of a program, to be made again at another replica."""

    method: str
    path_and_query: str
    headers: Mapping[str, str]
    body: bytes | AsyncIterable[bytes]
    seconds: float
    """How long the answer may take to begin; its owner gives up before that."""


@dataclass(frozen=True, slots=True)
class Reply:
    """``chunks`` raises ``ReplicaUnreachable`` when the body breaks off; ``length`` is None when it isn't known."""

    status: int
    headers: Mapping[str, str]
    length: int | None
    chunks: AsyncIterator[bytes]


class PeerClient:
    def __init__(self, http: aiohttp.ClientSession, replica_id: str) -> None:
        self._http = http
        self._replica_id = replica_id

    async def reaches(self, replica: Replica) -> Reaches | None:
        """What that replica has; None when it doesn't say."""
        if replica.address is None:
            return None
        headers = {"Authorization": f"Bearer {replica.peer_token}"}
        timeout = aiohttp.ClientTimeout(total=_QUESTION_SECONDS)
        try:
            async with self._http.get(replica.address + DATABASE_PATH, headers=headers, timeout=timeout) as response:
                return msgspec.json.decode(await response.read(), type=Reaches)
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError):
            return None

    @asynccontextmanager
    async def forward(self, replica: Replica, call: Call) -> AsyncIterator[Reply]:
        """Make the call there. ``ReplicaUnreachable`` when it wasn't reached; its cause is set when it may have been."""
        headers = _passed_on(call.headers) | {FORWARDED_HEADER: self._replica_id}
        if replica.peer_token is not None:
            headers[PEER_TOKEN_HEADER] = replica.peer_token
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=call.seconds)
        with client_span(f"replica {call.method}", **{"replica.id": replica.replica_id}) as span:
            asked = self._http.request(
                call.method,
                f"{replica.address}{call.path_and_query}",
                headers={name: value for name, value in headers.items() if name.lower() not in span.headers}
                | dict(span.headers),
                data=(io.BytesIO(call.body) if call.body else None) if isinstance(call.body, bytes) else call.body,
                timeout=timeout,
                allow_redirects=False,
            )
            try:
                response = await asked
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
                raise ReplicaUnreachable from None
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise ReplicaUnreachable from error
            span.note("http.response.status_code", response.status)
        async with response:
            yield Reply(response.status, _passed_on(response.headers), response.content_length, _chunks(response))

    async def events(self, replica: Replica, interests: AsyncGenerator[frozenset[str]]) -> AsyncGenerator[Event]:
        """What happens there, for the tenants in the newest of ``interests``; raises ``ReplicaUnreachable`` at its end."""
        headers = {"Authorization": f"Bearer {replica.peer_token}"}
        try:
            async with self._http.ws_connect(
                f"{replica.address}{EVENTS_PATH}", headers=headers, heartbeat=_HEARTBEAT_SECONDS, timeout=_WEBSOCKET
            ) as socket:
                telling = asyncio.create_task(_tell(socket, interests))
                try:
                    async for message in socket:
                        for event in msgspec.json.decode(message.data, type=list[Event]):
                            yield event
                finally:
                    telling.cancel()
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError) as error:
            raise ReplicaUnreachable from error
        raise ReplicaUnreachable


_WEBSOCKET = aiohttp.ClientWSTimeout(ws_close=1.0)


async def _tell(socket: aiohttp.ClientWebSocketResponse, interests: AsyncGenerator[frozenset[str]]) -> None:
    async with aclosing(interests):
        async for tenant_ids in interests:
            await socket.send_bytes(msgspec.json.encode(Interests(tenant_ids)))


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise ReplicaUnreachable from error


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _NOT_PASSED_ON}
