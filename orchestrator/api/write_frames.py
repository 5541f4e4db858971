"""The write path of a busy sidecar: frames of writes in MessagePack, one in a POST or many over an upgraded connection.

The values in a frame are bytes that nobody here looks into. docs/internal-api.md has the format.
"""

import asyncio
from collections import deque
from typing import Annotated, Any, Literal, cast

import msgspec
import structlog
from aiohttp import hdrs, web

from orchestrator.api.keys import SERVICES, Services
from orchestrator.api.limits import BODY_LIMIT, VALUE_LIMIT, KeyId, KeyType, Positive
from orchestrator.api.problems import problem
from orchestrator.domain.auth_state import Account, AuthStateWrite
from orchestrator.domain.errors import InvalidRequest, OrchestratorError

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/msgpack"

#: A name that both HTTP libraries know for "the bytes that follow are not HTTP".
UPGRADE = "tcp"

#: Bytes before a frame and before its answer.
_LENGTH = 4
#: Kinds of answers: the outcomes of the frame's writes in MessagePack; a problem document in JSON, about the whole frame.
_OUTCOMES, _PROBLEM = b"\x00", b"\x01"
#: As many frames may wait behind the one that is being written; a sidecar sends none before it has an answer.
_FRAMES_AHEAD = 2

_STREAMS: web.AppKey[set[asyncio.Transport]] = web.AppKey("write_streams")

Value = Annotated[bytes, msgspec.Meta(max_length=VALUE_LIMIT)]


class FramedWrite(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """One write; the order of the fields is the format."""

    session_ref: Positive
    generation: Positive
    epoch: Positive
    creds: Value | None
    account: tuple[KeyId, KeyId | None] | None
    set: list[tuple[KeyType, KeyId, Value]]
    delete: list[tuple[KeyType, KeyId]]
    sent_messages: list[tuple[KeyId, Value]]
    incoming_messages: list[tuple[KeyId, Value]]


class Frame(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    version: Literal[1]
    writes: Annotated[list[FramedWrite], msgspec.Meta(max_length=10_000)]


_decoder = msgspec.msgpack.Decoder(Frame)
_encoder = msgspec.msgpack.Encoder()


async def post(request: web.Request) -> web.Response:
    answer = await _answer(request.app[SERVICES], await request.read())
    return web.Response(body=answer, content_type=MEDIA_TYPE)


async def stream(request: web.Request) -> web.StreamResponse:
    """Frames in, answers out, one after the other, over the connection that the request came by.

    Without the WebSocket protocol around them a frame of one write costs both sides a third less CPU.
    """
    transport = request.transport
    if request.headers.get(hdrs.UPGRADE, "").lower() != UPGRADE:
        raise InvalidRequest(f"This address takes frames over a connection that is upgraded to {UPGRADE}.")
    if transport is None:
        raise ConnectionResetError
    response = web.StreamResponse(status=101, headers={hdrs.UPGRADE: UPGRADE, hdrs.CONNECTION: "Upgrade"})
    response.force_close()
    await response.prepare(request)
    frames = _Frames(transport)
    # aiohttp hands an upgraded connection's bytes to such a parser; its own for WebSockets is the only one it has a type for.
    request.protocol.set_parser(cast(Any, frames))
    request.app[_STREAMS].add(transport)
    try:
        while (frame := await frames.next()) is not None:
            answer = await _framed_answer(frame, request.app[SERVICES])
            if transport.is_closing():
                # The outcome is unknown there: it will be asked again.
                log.info("stream of writes ended before an answer")
                break
            transport.write(answer)
    finally:
        request.app[_STREAMS].discard(transport)
    return response


def close_streams_with(app: web.Application) -> None:
    """Close the streams when the application shuts down: it would wait for them otherwise."""
    app[_STREAMS] = set()

    async def close(app: web.Application) -> None:
        for transport in app[_STREAMS].copy():
            transport.close()

    app.on_shutdown.append(close)


class _Frames:
    """The frames that arrive on a connection, each ``length (4 bytes, big-endian) | frame``, until it ends."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._unread = bytearray()
        self._frames: deque[bytes] = deque()
        self._arrived: asyncio.Future[None] | None = None
        self._ended = False

    async def next(self) -> bytes | None:
        """The next frame, once it has arrived; None at the end."""
        while not self._frames:
            if self._ended:
                return None
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        if len(self._frames) == _FRAMES_AHEAD and not self._transport.is_closing():
            self._transport.resume_reading()
        return self._frames.popleft()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """For aiohttp: whether the connection is to be closed, and what of the data isn't ours."""
        unread = self._unread
        unread += data
        while len(unread) >= _LENGTH:
            end = _LENGTH + int.from_bytes(unread[:_LENGTH], "big")
            if end > _LENGTH + BODY_LIMIT:
                self.feed_eof()
                return True, b""
            if len(unread) < end:
                break
            self._frames.append(bytes(memoryview(unread)[_LENGTH:end]))
            del unread[:end]
        if len(self._frames) >= _FRAMES_AHEAD and not self._transport.is_closing():
            self._transport.pause_reading()
        if self._frames:
            self._wake()
        return False, b""

    def feed_eof(self) -> None:
        """For aiohttp: the connection ended."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)


async def _framed_answer(frame: bytes, services: Services) -> bytes:
    """``length (4 bytes, big-endian) | kind (1 byte) | answer``."""
    try:
        kind, answer = _OUTCOMES, await _answer(services, frame)
    except OrchestratorError as error:
        kind, answer = _PROBLEM, _text_of(error)
    except Exception:
        log.exception("frame failed")
        kind, answer = _PROBLEM, _text_of(OrchestratorError())
    return (len(answer) + 1).to_bytes(_LENGTH, "big") + kind + answer


def _text_of(error: OrchestratorError) -> bytes:
    document = problem(error).body
    assert isinstance(document, bytes)
    return document


async def _answer(services: Services, frame: bytes) -> bytes:
    writes = _decoded(frame)
    outcomes = await services.backups.write(writes)
    return _encoder.encode([_outcome(error) for error in outcomes])


def _decoded(frame: bytes) -> list[tuple[int, int, int, AuthStateWrite]]:
    """The writes of a frame; ``InvalidRequest`` when anything in it is malformed or beyond a limit."""
    try:
        writes = _decoder.decode(frame).writes
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The frame is not valid: {error}") from error
    return [(write.session_ref, write.generation, write.epoch, _changes(write)) for write in writes]


def _changes(write: FramedWrite) -> AuthStateWrite:
    return AuthStateWrite(
        creds=write.creds,
        account=None if write.account is None else Account(*write.account),
        set_keys={(key_type, key_id): value for key_type, key_id, value in write.set},
        delete_keys=frozenset(write.delete),
        sent_messages=dict(write.sent_messages),
        incoming_messages=dict(write.incoming_messages),
    )


def _outcome(error: Exception | None) -> tuple[str, str] | None:
    if error is None:
        return None
    if not isinstance(error, OrchestratorError):
        log.error("write failed", exc_info=error)
        error = OrchestratorError()
    return error.code, error.message
