"""The write path of a busy sidecar: frames of writes in MessagePack, over HTTP or a WebSocket.

The values in a frame are bytes that nobody here looks into. docs/internal-api.md has the format.
"""

from typing import Annotated, Literal

import msgspec
import structlog
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from orchestrator.api.keys import SERVICES, Services
from orchestrator.api.limits import BODY_LIMIT, VALUE_LIMIT, KeyId, KeyType, Positive
from orchestrator.api.problems import problem
from orchestrator.domain.auth_state import Account, AuthStateWrite
from orchestrator.domain.errors import InvalidRequest, OrchestratorError

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/msgpack"

_STREAMS: web.AppKey[set[web.WebSocketResponse]] = web.AppKey("write_streams")

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


async def stream(request: web.Request) -> web.WebSocketResponse:
    """Frames in, answers out, one after the other; what is refused as a whole is told as text."""
    socket = web.WebSocketResponse(max_msg_size=BODY_LIMIT, compress=False)
    await socket.prepare(request)
    request.app[_STREAMS].add(socket)
    try:
        async for message in socket:
            if message.type is WSMsgType.ERROR:
                break  # such as a message that is too large: aiohttp has closed the stream
            await _send(socket, await _answer_to(message, request.app[SERVICES]))
    except ConnectionResetError:
        log.info("stream of writes ended before an answer")  # the outcome is unknown there: it will be asked again
    finally:
        request.app[_STREAMS].discard(socket)
    return socket


def close_streams_with(app: web.Application) -> None:
    """Close the WebSockets in an orderly way when the application shuts down: it would wait for them otherwise."""
    app[_STREAMS] = set()

    async def close(app: web.Application) -> None:
        for socket in app[_STREAMS].copy():
            await socket.close(code=WSCloseCode.GOING_AWAY)

    app.on_shutdown.append(close)


async def _answer_to(message: WSMessage, services: Services) -> bytes | web.Response:
    try:
        if message.type is not WSMsgType.BINARY:
            raise InvalidRequest("A frame is a binary message.")
        return await _answer(services, message.data)
    except OrchestratorError as error:
        return problem(error)
    except Exception:
        log.exception("frame failed")
        return problem(OrchestratorError())


async def _send(socket: web.WebSocketResponse, answer: bytes | web.Response) -> None:
    if isinstance(answer, bytes):
        await socket.send_bytes(answer)
    else:
        await socket.send_str(answer.text or "")


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
