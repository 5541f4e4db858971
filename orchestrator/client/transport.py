"""Requests, their answers as values, and what is asked again when that is safe."""

import asyncio
import io
import random
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from orchestrator.client.errors import NOTHING_DONE, error_of
from orchestrator.domain.errors import OrchestratorError, RateLimited, ServiceUnreachable, Unavailable, UnexpectedAnswer


class Listed(Protocol):
    """One page of a list."""

    @property
    def next_cursor(self) -> str | None: ...


T = TypeVar("T")
P = TypeVar("P", bound=Listed)

#: Asking again does no more than asking once (RFC 9110 section 9.2.2).
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_IDEMPOTENCY_KEY = "Idempotency-Key"

ATTEMPTS = 4
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_CONNECT_SECONDS = 10.0
#: Of a send with a file, which goes on to WhatsApp's media host before the answer comes.
_UPLOAD_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class File:
    """A file to be sent with a message, and what is said of it, if it isn't what it says itself."""

    path: Path
    mimetype: str | None = None
    name: str | None = None


#: What a request has for a body, made anew for each try.
_Body = Callable[[], bytes | BinaryIO | aiohttp.FormData] | None


class Transport:
    """One token's connection to the API. ``tenant_id`` is for the admin token: whose things it asks for."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        base_url: str,
        token: str,
        tenant_id: str | None,
        timeout_seconds: float,
        headers: Mapping[str, str],
        attempts: int,
    ) -> None:
        self._http = http
        self._attempts = attempts
        self._token = token
        self._base_url = base_url.rstrip("/")
        self._more_headers = headers
        self._headers = {**headers, "Authorization": f"Bearer {token}"}
        if tenant_id is not None:
            self._headers["X-Tenant"] = tenant_id
        self._timeout_seconds = timeout_seconds
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=_CONNECT_SECONDS)

    def of(self, tenant_id: str) -> "Transport":
        return Transport(
            self._http,
            self._base_url,
            self._token,
            tenant_id,
            self._timeout_seconds,
            self._more_headers,
            self._attempts,
        )

    async def call(
        self,
        method: str,
        path: str,
        gives: type[T],
        *,
        body: msgspec.Struct | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        also: Collection[int] = (),
    ) -> T:
        """Ask, and again where that is safe; raises the error that the answer tells, or ``ServiceUnreachable``.

        ``also``: statuses that look like errors and come with ``gives``.
        """
        return _decoded(await self._asked(method, path, _json(body), query, headers or {}, also), gives)

    async def upload(
        self, path: str, gives: type[T], message: msgspec.Struct, file: File, headers: Mapping[str, str] | None = None
    ) -> T:
        """Post a form of a message and its file, which is read while it is sent. ``OSError`` if it can't be opened."""
        opened: list[BinaryIO] = []

        def form() -> aiohttp.FormData:
            opened.append(file.path.open("rb"))
            made = aiohttp.FormData(default_to_multipart=True)
            made.add_field("message", msgspec.json.encode(message).decode(), content_type="application/json")
            made.add_field("file", opened[-1], filename=file.name or file.path.name, content_type=file.mimetype)
            return made

        try:
            return _decoded(await self._asked("POST", path, form, None, headers or {}), gives)
        finally:
            for each in opened:
                each.close()

    async def post(
        self, path: str, content_type: str, data: bytes, gives: type[T], query: Mapping[str, str] | None = None
    ) -> T:
        """Post what isn't JSON."""
        # As a file: aiohttp writes bytes in one go, which keeps everything else waiting.
        headers = {"Content-Type": content_type}
        return _decoded(await self._asked("POST", path, lambda: io.BytesIO(data), query, headers), gives)

    async def done(
        self,
        method: str,
        path: str,
        *,
        body: msgspec.Struct | None = None,
        query: Mapping[str, str] | None = None,
    ) -> None:
        """Ask for what has no answer but that it is done."""
        await self._asked(method, path, _json(body), query, {})

    async def content(self, method: str, path: str, body: msgspec.Struct | None = None) -> bytes:
        """Ask for what is taken as it comes."""
        return await self._asked(method, path, _json(body), None, {})

    async def pages(
        self, path: str, gives: type[P], things: Callable[[P], Sequence[T]], query: Mapping[str, str] | None = None
    ) -> AsyncIterator[T]:
        """All things of a list, page by page."""
        asked = dict(query or {})
        while True:
            page = await self.call("GET", path, gives, query=asked)
            for thing in things(page):
                yield thing
            if page.next_cursor is None:
                return
            asked["cursor"] = page.next_cursor

    @asynccontextmanager
    async def opened(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str], silence_seconds: float
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """A stream that is given up after so much silence."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=silence_seconds)
        async with self._http.get(
            self._base_url + path, params=query, headers={**self._headers, **headers}, timeout=timeout
        ) as response:
            if response.status >= 400:
                raise error_of(response.status, await response.read(), _retry_after(response))
            yield response.content

    async def _asked(
        self,
        method: str,
        path: str,
        body: _Body,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
        also: Collection[int] = (),
    ) -> bytes:
        repeatable = method in _IDEMPOTENT or _IDEMPOTENCY_KEY in headers
        for attempt in range(1, self._attempts):
            try:
                return await self._asked_once(method, path, body, query, headers, also)
            except OrchestratorError as error:
                if not _may_ask_again(error, repeatable=repeatable):
                    raise
                await asyncio.sleep(_pause_seconds(error, attempt))
        return await self._asked_once(method, path, body, query, headers, also)

    async def _asked_once(
        self,
        method: str,
        path: str,
        body: _Body,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
        also: Collection[int],
    ) -> bytes:
        sent: dict[str, Any] = {"headers": {**self._headers, **headers}, "timeout": self._timeout}
        data = None if body is None else body()
        if isinstance(data, bytes):
            sent["headers"].setdefault("Content-Type", "application/json")
        elif data is not None:  # a file takes as long as it moves
            sent["timeout"] = aiohttp.ClientTimeout(total=_UPLOAD_SECONDS, sock_connect=_CONNECT_SECONDS)
        try:
            async with self._http.request(
                method, self._base_url + path, data=data, params=query, allow_redirects=False, **sent
            ) as response:
                answer = await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise ServiceUnreachable("The API can't be reached; nothing was asked of it.", asked=False) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ServiceUnreachable from error
        if response.status >= 300 and response.status not in also:
            raise error_of(response.status, answer, _retry_after(response))
        return answer


def path_of(session_id: str, *things: str) -> str:
    """The path to something of a session."""
    return "/".join(["/v1/sessions", segment(session_id), *map(segment, things)])


def segment(text: str) -> str:
    """A text as one segment of a path."""
    return quote(text, safe="")


def _json(body: msgspec.Struct | None) -> _Body:
    return None if body is None else lambda: msgspec.json.encode(body)


def _decoded(answer: bytes, gives: type[T]) -> T:
    try:
        return msgspec.json.decode(answer, type=gives)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnexpectedAnswer from error


def _may_ask_again(error: OrchestratorError, *, repeatable: bool) -> bool:
    if isinstance(error, RateLimited) and error.retry_after_seconds > _LONGEST_PAUSE_SECONDS:
        return False
    if isinstance(error, NOTHING_DONE) or (isinstance(error, ServiceUnreachable) and not error.asked):
        return True
    return repeatable and isinstance(error, Unavailable)


def _pause_seconds(error: OrchestratorError, attempt: int) -> float:
    """Exponential with full jitter, and never shorter than the API asks for."""
    pause = random.uniform(0, _FIRST_PAUSE_SECONDS * 2.0**attempt)
    asked_for = error.retry_after_seconds if isinstance(error, RateLimited) else 0.0
    return min(_LONGEST_PAUSE_SECONDS, max(pause, asked_for))


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None
