"""Server-sent events: the messages that wait in PostgreSQL first, then what happens, as it happens."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta

import msgspec
import structlog
from aiohttp import web

from orchestrator.api.bodies import read_query
from orchestrator.api.keys import CALLER, SERVICES, TENANT
from orchestrator.api.operations import EVENT_STREAM, Operation
from orchestrator.domain.errors import DatabaseUnavailable, FieldError, InvalidRequest, SessionNotFound
from orchestrator.domain.event import Event
from orchestrator.domain.session import existing_id
from orchestrator.domain.tenant import Scope
from orchestrator.services.events import Subscription, remaining_seconds, timestamp
from orchestrator.services.incoming import IncomingMessages
from orchestrator.wire import events as wire

log = structlog.get_logger(__name__)

#: Seconds between looks for messages that another replica stored and gave to nobody. Each writes at least a comment,
#: which keeps proxies from closing a quiet stream.
_LOOK_SECONDS = 15.0
#: Seconds that a reader may take for what is written to it.
_WRITE_SECONDS = 30.0
#: Time from a message's row to its live event, and by which clocks may differ. Older rows can't come live any more.
_ON_ITS_WAY = timedelta(minutes=1)

_NUMBER = re.compile(r"[0-9]{1,18}")


async def stream(request: web.Request) -> web.StreamResponse:
    """Events of all sessions or of ``?session_id=``; ends when the reader is too slow or the service stops.

    First the messages that nobody was given and those after ``Last-Event-ID``, then everything from now on.
    """
    services = request.app[SERVICES]
    wanted = read_query(request, wire.Listen).session_id
    if wanted is not None:
        await services.sessions.get(request[TENANT], existing_id(wanted))
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
        }
    )
    links = Scope.MANAGE in request[CALLER].scopes
    with services.events.subscribed(Subscription(request[TENANT], wanted, links)) as subscription:
        batches = _batches(services.incoming, subscription, _last_event_id(request))
        batch: list[Event] | None = await anext(batches)  # before the answer begins: without the database it is a 503
        await response.prepare(request)
        try:
            while batch is not None and await _written(request, response, batch):
                services.incoming.given(batch)
                batch = await anext(batches, None)
        except DatabaseUnavailable:
            log.warning("event stream ended: the stored messages could not be read to their end")
    return response


def _last_event_id(request: web.Request) -> int | None:
    text = request.headers.get("Last-Event-ID")
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        raise InvalidRequest(errors=[FieldError("Last-Event-ID", "must be the id of an event of this stream")])
    return int(text)


async def _batches(
    incoming: IncomingMessages, subscription: Subscription, after: int | None
) -> AsyncIterator[list[Event]]:
    """Stored messages, then live events, then what is stored by others meanwhile, and so on until the cut-off.

    A message may be both stored and on its way through the subscription; it is told once.
    """
    tenant_id, session_id = subscription.tenant_id, subscription.session_id
    told: set[int | None] = set()
    oldest = datetime.now(UTC) - _ON_ITS_WAY
    async for page in incoming.pages(tenant_id, session_id, after):
        told.update(event.number for event in page if event.at > oldest)
        yield page
    while True:
        async for event in _live(subscription):
            if event is None:
                return
            if event.number is None or event.number not in told:
                yield [event]
        if subscription.queue.empty():
            told.clear()  # what was told from the last look has come through the subscription since
        try:
            async for page in incoming.pages(tenant_id, session_id, None):
                told.update(event.number for event in page)
                yield page
        except DatabaseUnavailable:
            yield []  # it will be there at a later look; the stream goes on


async def _live(subscription: Subscription) -> AsyncIterator[Event | None]:
    """Events as they come until it is time to look again; None when there will be no more."""
    look_at = asyncio.get_running_loop().time() + _LOOK_SECONDS
    while True:
        try:
            async with asyncio.timeout_at(look_at):
                event = await subscription.queue.get()
        except TimeoutError:
            return
        yield event


async def _written(request: web.Request, response: web.StreamResponse, batch: Iterable[Event]) -> bool:
    """Write these events, or a comment when there are none; False for a reader that reads no more, or left."""
    try:
        async with asyncio.timeout(_WRITE_SECONDS):
            await response.write(b"".join(map(_frame, batch)) or b": listening\n\n")
    except TimeoutError:
        # An orderly end would wait for it just the same.
        if request.transport is not None:
            request.transport.abort()
        return False
    except ConnectionResetError:
        return False
    return True


def _frame(event: Event) -> bytes:
    data = {"session_id": event.session_id, "at": timestamp(event.at), **event.data}
    if event.expires_at is not None:
        data["remaining_seconds"] = remaining_seconds(event.expires_at)
    # Only a stored message has an id, so that a reader that comes back names the last of them in Last-Event-ID.
    number = b"" if event.number is None else b"id: %d\n" % event.number
    return b"%sevent: %s\ndata: %s\n\n" % (number, event.type.encode(), msgspec.json.encode(data))


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/events",
        handler=stream,
        scope=Scope.READ,
        tag="Events",
        summary="Listen to events as they happen (server-sent events): first the messages that wait for a reader.",
        details="Received messages have an id and are told at least once; send the last one that you have dealt with as "
        "Last-Event-ID when you connect again.",
        query=wire.Listen,
        headers=wire.Resume,
        answer_types=(EVENT_STREAM,),
        errors=(SessionNotFound,),
    ),
)
