"""What other replicas are told: events, over a WebSocket (see orchestrator/peer/client.py)."""

import asyncio
import contextlib
import hmac

import aiohttp
import msgspec
from aiohttp import web

from orchestrator.api.admission import PEER_TOKEN
from orchestrator.api.bodies import json_response
from orchestrator.api.keys import SERVICES
from orchestrator.domain.errors import Unauthorized
from orchestrator.domain.event import Event
from orchestrator.peer.client import Interests, Reaches
from orchestrator.services.events import EventBus, PeerSubscription

#: Events that one message carries at most.
_AT_ONCE = 200
_HEARTBEAT_SECONDS = 5.0


async def database(request: web.Request) -> web.Response:
    """Whether this replica has the database, and a journal of the time without: another one asks in an outage and after."""
    _require_token(request)
    replicas = request.app[SERVICES].replicas
    return json_response(Reaches(database=replicas.reaches_database, journal=replicas.keeps_journal))


async def events(request: web.Request) -> web.StreamResponse:
    """Tell another replica what happens here until it leaves, reads too slowly, or the service stops."""
    _require_token(request)
    socket = web.WebSocketResponse(heartbeat=_HEARTBEAT_SECONDS, timeout=1.0)
    await socket.prepare(request)
    bus = request.app[SERVICES].events
    with bus.subscribed(PeerSubscription()) as subscription:
        hearing = asyncio.create_task(_hear(socket, bus, subscription))
        try:
            while (batch := await _next(subscription)) and not socket.closed:
                await socket.send_bytes(msgspec.json.encode(batch))
        finally:
            hearing.cancel()
            await socket.close()
    return socket


def _require_token(request: web.Request) -> None:
    given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
    if not hmac.compare_digest(given, f"Bearer {request.app[PEER_TOKEN]}".encode()):
        raise Unauthorized


async def _hear(socket: web.WebSocketResponse, bus: EventBus, subscription: PeerSubscription) -> None:
    """Take over what the other replica wants to hear; when it leaves, that ends the telling."""
    with contextlib.suppress(msgspec.DecodeError):
        async for message in socket:
            if message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
                subscription.tenant_ids = msgspec.json.decode(message.data, type=Interests).tenant_ids
                bus.catch_up(subscription)
    subscription.queue.put_nowait(None)


async def _next(subscription: PeerSubscription) -> list[Event]:
    """The next events, as many as there are; none at the end."""
    batch: list[Event] = []
    event = await subscription.queue.get()
    while event is not None:
        batch.append(event)
        if len(batch) == _AT_ONCE or subscription.queue.empty():
            return batch
        event = subscription.queue.get_nowait()
    subscription.queue.put_nowait(None)  # found again after this batch
    return batch
