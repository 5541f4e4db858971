"""Server-sent events: what happens, as it happens."""

import asyncio

import msgspec
from aiohttp import web

from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.services.events import Event
from orchestrator.services.sidecar_events import timestamp

#: Seconds between comments that keep proxies from closing a quiet stream.
_HEARTBEAT_SECONDS = 15.0


async def stream(request: web.Request) -> web.StreamResponse:
    """Events from now on, of all sessions or of ``?session_id=``; ends when the reader is too slow or the service stops."""
    services = request.app[SERVICES]
    wanted = request.query.get("session_id")
    if wanted is not None:
        await services.sessions.get(request[TENANT], wanted)
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
        }
    )
    with services.events.subscribed(request[TENANT], wanted) as subscription:
        await response.prepare(request)
        await response.write(b": connected\n\n")
        while True:
            try:
                event = await asyncio.wait_for(subscription.queue.get(), _HEARTBEAT_SECONDS)
            except TimeoutError:
                await response.write(b": still here\n\n")
                continue
            if event is None:
                return response
            await response.write(_frame(event))


def _frame(event: Event) -> bytes:
    data = {"session_id": event.session_id, "at": timestamp(event.at), **event.data}
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.number, event.type.encode(), msgspec.json.encode(data))
