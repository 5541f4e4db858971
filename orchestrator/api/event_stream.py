"""Server-sent events: what happens, as it happens."""

import asyncio

import msgspec
from aiohttp import web

from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.domain.session import existing_id
from orchestrator.services.events import Event, Subscription, timestamp

#: Seconds between comments that keep proxies from closing a quiet stream.
_HEARTBEAT_SECONDS = 15.0
#: Seconds that a reader may take for what is written to it.
_WRITE_SECONDS = 30.0


async def stream(request: web.Request) -> web.StreamResponse:
    """Events from now on, of all sessions or of ``?session_id=``; ends when the reader is too slow or the service stops."""
    services = request.app[SERVICES]
    wanted = request.query.get("session_id")
    if wanted is not None:
        await services.sessions.get(request[TENANT], existing_id(wanted))
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
        }
    )
    with services.events.subscribed(request[TENANT], wanted) as subscription:
        await response.prepare(request)
        frame: bytes | None = b": connected\n\n"
        while frame is not None:
            try:
                async with asyncio.timeout(_WRITE_SECONDS):
                    await response.write(frame)
            except TimeoutError:
                # It reads no more; an orderly end would wait for it just the same.
                if request.transport is not None:
                    request.transport.abort()
                break
            frame = await _next_frame(subscription)
    return response


async def _next_frame(subscription: Subscription) -> bytes | None:
    """The next event, or a comment when none came for a while; None when there will be no more."""
    try:
        event = await asyncio.wait_for(subscription.queue.get(), _HEARTBEAT_SECONDS)
    except TimeoutError:
        return b": still here\n\n"
    return None if event is None else _frame(event)


def _frame(event: Event) -> bytes:
    data = {"session_id": event.session_id, "at": timestamp(event.at), **event.data}
    # Only a stored message has an id, so that a reader that comes back names the last of them in Last-Event-ID.
    number = b"" if event.number is None else b"id: %d\n" % event.number
    return b"%sevent: %s\ndata: %s\n\n" % (number, event.type.encode(), msgspec.json.encode(data))
