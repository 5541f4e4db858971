"""Server-sent events and their WebSocket: what waits in PostgreSQL first, then what happens, as it happens."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

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

#: Events that are written together.
_AT_ONCE = 200

_RECEIVED = "message.received"
_NUMBER = re.compile(r"[0-9]{1,18}")


async def stream(request: web.Request) -> web.StreamResponse:
    """Events of all sessions or of ``?session_id=``; ends when the reader is too slow or the service stops.

    First the messages that nobody was given and what is stored after ``Last-Event-ID``, then everything from now on.
    """
    wanted = await _wanted(request, read_query(request, wire.Listen))
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
        }
    )

    async def written(batch: Iterable[Event]) -> None:
        await response.write(b"".join(map(_frame, batch)) or b": listening\n\n")

    await _tell(request, response, wanted, _last_event_id(request), written)
    return response


async def socket(request: web.Request) -> web.StreamResponse:
    """The same over a WebSocket, each event a JSON text; ``?after=`` is what ``Last-Event-ID`` is there."""
    query = read_query(request, wire.ListenToSocket)
    after = None if query.after is None else _number(query.after, "after")
    wanted = await _wanted(request, query)
    response = web.WebSocketResponse(heartbeat=_LOOK_SECONDS, timeout=1.0)
    if not response.can_prepare(request).ok:
        raise InvalidRequest(errors=[FieldError("Upgrade", "must be websocket: this address takes nothing else")])

    async def written(batch: Iterable[Event]) -> None:
        for event in batch:
            await response.send_str(_message(event))

    await _tell(request, response, wanted, after, written)
    return response


async def _wanted(request: web.Request, query: wire.Listen) -> Subscription:
    if query.session_id is not None:
        await request.app[SERVICES].sessions.get(request[TENANT], existing_id(query.session_id))
    types = None if query.types is None else frozenset(filter(None, map(str.strip, query.types.split(","))))
    links = Scope.MANAGE in request[CALLER].scopes
    return Subscription(request[TENANT], query.session_id, links, types)


async def _tell(
    request: web.Request,
    response: web.StreamResponse,
    wanted: Subscription,
    after: int | None,
    written: Callable[[Iterable[Event]], Awaitable[None]],
) -> None:
    services = request.app[SERVICES]
    with services.events.subscribed(wanted) as subscription:
        batches = _batches(services.incoming, subscription, after)
        batch: list[Event] | None = await anext(batches)  # before the answer begins: without the database it is a 503
        await response.prepare(request)
        hearing = _hearing(response, subscription)
        try:
            while batch is not None and await _is_written(request, written, batch):
                services.incoming.given(batch)
                batch = await anext(batches, None)
        except DatabaseUnavailable:
            log.warning("event stream ended: the stored messages could not be read to their end")
        finally:
            if hearing is not None:
                hearing.cancel()


def _hearing(response: web.StreamResponse, subscription: Subscription) -> asyncio.Task[None] | None:
    """A WebSocket has to be read for its pings and its end; that ends the telling."""
    if not isinstance(response, web.WebSocketResponse):
        return None

    async def hear() -> None:
        async for _ in response:
            pass  # nothing that a reader may say
        subscription.queue.put_nowait(None)

    return asyncio.create_task(hear())


def _last_event_id(request: web.Request) -> int | None:
    text = request.headers.get("Last-Event-ID")
    return None if text is None else _number(text, "Last-Event-ID")


def _number(text: str, field: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise InvalidRequest(errors=[FieldError(field, "must be the id of an event of this stream")])
    return int(text)


async def _batches(
    incoming: IncomingMessages, subscription: Subscription, after: int | None
) -> AsyncIterator[list[Event]]:
    """What is stored, then live events, then what is stored by others meanwhile, and so on until the cut-off.

    An event may be both stored and on its way through the subscription; it is told once.
    """
    tenant_id, session_id = subscription.tenant_id, subscription.session_id
    told: set[int | None] = set()
    oldest = datetime.now(UTC) - _ON_ITS_WAY
    takes_messages = subscription.wants_type(_RECEIVED)
    stored = [incoming.pages(tenant_id, session_id, after)] if takes_messages else []
    if after is not None:
        stored.append(incoming.missed(tenant_id, session_id, after))
    async for page in _merged([_each(source, subscription) for source in stored]):
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
        if not takes_messages:
            yield []
            continue
        try:
            async for page in incoming.pages(tenant_id, session_id, None):
                told.update(event.number for event in page)
                yield page
        except DatabaseUnavailable:
            yield []  # it will be there at a later look; the stream goes on


async def _each(pages: AsyncIterator[list[Event]], subscription: Subscription) -> AsyncIterator[Event]:
    async for page in pages:
        for event in page:
            if subscription.wants_type(event.type):
                yield event


async def _merged(sources: Sequence[AsyncIterator[Event]]) -> AsyncIterator[list[Event]]:
    """Events of sources that are each in the order of their numbers, in the order of all numbers; at least one batch.

    A reader that breaks off names the last one that it had, and all with a lower number must have come before.
    """
    heads = [await anext(source, None) for source in sources]
    batch: list[Event] = []
    while waiting := [(head.number or 0, place) for place, head in enumerate(heads) if head is not None]:
        place = min(waiting)[1]
        head = heads[place]
        assert head is not None
        batch.append(head)
        heads[place] = await anext(sources[place], None)
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    yield batch


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


async def _is_written(
    request: web.Request, written: Callable[[Iterable[Event]], Awaitable[None]], batch: Iterable[Event]
) -> bool:
    """Write these events; False for a reader that reads no more, or left."""
    try:
        async with asyncio.timeout(_WRITE_SECONDS):
            await written(batch)
    except TimeoutError:
        # An orderly end would wait for it just the same.
        if request.transport is not None:
            request.transport.abort()
        return False
    except ConnectionResetError:
        return False
    return True


def _data(event: Event) -> dict[str, Any]:
    named = {} if event.event_id is None else {"event_id": event.event_id}
    remaining = {} if event.expires_at is None else {"remaining_seconds": remaining_seconds(event.expires_at)}
    return {"session_id": event.session_id or None, "at": timestamp(event.at), **named, **event.data, **remaining}


def _message(event: Event) -> str:
    return msgspec.json.encode({"id": event.number, "type": event.type, "data": _data(event)}).decode()


def _frame(event: Event) -> bytes:
    data = _data(event)
    # Only what is stored has an id, so that a reader that comes back names the last of it in Last-Event-ID.
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
        details="Events with an id are stored: send the last id that you have dealt with as Last-Event-ID when you connect again, "
        "within 24 hours, and nothing is missing. Received messages are told at least once.",
        query=wire.Listen,
        headers=wire.Resume,
        answer_types=(EVENT_STREAM,),
        errors=(SessionNotFound,),
    ),
    Operation(
        method="GET",
        path="/v1/events/ws",
        handler=socket,
        scope=Scope.READ,
        tag="Events",
        summary="Listen to the same events over a WebSocket.",
        details='Each is a text: {"id": number or null, "type": "...", "data": {...}}. Nothing is to be sent; pings are answered.',
        query=wire.ListenToSocket,
        status=101,
        errors=(SessionNotFound,),
    ),
)
