"""The event stream, without its interruptions."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from orchestrator.client.transport import Transport
from orchestrator.domain.errors import RateLimited, Unavailable, UnexpectedAnswer

#: The API writes at least a comment every 15 s.
_SILENCE_SECONDS = 45.0
_LONGEST_PAUSE_SECONDS = 15.0
#: An event has one line of data, and no message of WhatsApp's comes near this.
_LONGEST_LINE = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """``id`` is there for what is told at least once: received messages. ``data`` has session_id and at among its fields."""

    type: str
    id: str | None
    data: dict[str, Any]

    @property
    def session_id(self) -> str:
        return str(self.data["session_id"])


async def events(transport: Transport, session_id: str | None, last_event_id: str | None) -> AsyncIterator[StreamEvent]:
    """Events as they happen, for as long as they are read.

    After an interruption it connects again and goes on after the last event that was read, so that one with an id may come
    twice and none is missed. Raises what asking again doesn't mend, such as ``SessionNotFound`` and ``Unauthorized``.
    """
    query = {} if session_id is None else {"session_id": session_id}
    failures = 0
    while True:
        headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        try:
            async with transport.opened("/v1/events", query, headers, _SILENCE_SECONDS) as content:
                async for event in _parsed(content):
                    failures = 0
                    yield event
                    last_event_id = event.id or last_event_id
        except (Unavailable, RateLimited, aiohttp.ClientError, TimeoutError, OSError):
            failures += 1
        await asyncio.sleep(random.uniform(0, min(_LONGEST_PAUSE_SECONDS, 0.5 * 2.0**failures)))


async def _parsed(content: aiohttp.StreamReader) -> AsyncIterator[StreamEvent]:
    """https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation, as far as we write it."""
    fields: dict[str, str] = {}
    async for line in _lines(content):
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            try:
                data = msgspec.json.decode(fields["data"], type=dict[str, Any])
            except msgspec.MsgspecError as error:
                raise UnexpectedAnswer from error
            yield StreamEvent(fields.get("event", "message"), fields.get("id"), data)
            fields = {}
        else:
            fields = {}


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[str]:
    """Lines of any length; a stream's own limit is far below that of a message."""
    rest = bytearray()
    async for chunk in content.iter_any():
        rest += chunk
        *lines, last = rest.split(b"\n")
        for line in lines:
            yield line.decode()
        rest = bytearray(last)
        if len(rest) > _LONGEST_LINE:
            raise UnexpectedAnswer
