"""The sidecar's control API (docs/internal-api.md), and the one place where its errors become ours."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import msgspec
import structlog

from orchestrator.domain.errors import (
    AlreadyPaired,
    InvalidRequest,
    JournalUndrained,
    LeaseLost,
    MediaExpired,
    MediaHostUnreachable,
    MediaNotFound,
    MessageNotForwardable,
    MessageNotFound,
    MessageRefused,
    NotOnWhatsapp,
    NotPairing,
    OrchestratorError,
    PairingCodeRateLimited,
    PairingCodeRefused,
    SendFailed,
    SendUnconfirmed,
    SessionNotOpen,
    SessionNotSynced,
    SidecarGone,
    SidecarUnavailable,
    WhatsAppNoAnswer,
    WhatsAppRateLimited,
    WhatsAppRefused,
)
from orchestrator.domain.meter import Counter
from orchestrator.domain.session import ConnectionState, Lease
from orchestrator.domain.session_settings import DEFAULT_SETTINGS, NOT_FOR_SIDECAR, SessionSettings
from orchestrator.telemetry.tracing import client_span

T = TypeVar("T", bound=msgspec.Struct)

_CALL_SECONDS = 10.0
_FIRST_ERROR = 400
#: A send asks WhatsApp for devices and keys first, each with a time-out of its own inside Baileys.
_SEND_SECONDS = 45.0
#: With a file, which goes to WhatsApp's media host before.
_MEDIA_SEND_SECONDS = 240.0
#: A download takes as long as it takes, as long as it moves.
_MEDIA_SILENCE_SECONDS = 60.0
#: The sidecar gives an operation 25 s.
_OPERATION_SECONDS = 30.0
#: A stop waits for the connection's writes to become durable.
_STOP_SECONDS = 20.0

_ERRORS: Mapping[str, type[OrchestratorError]] = {
    "session_not_open": SessionNotOpen,
    "session_not_running": SessionNotOpen,
    "not_synced": SessionNotSynced,
    "already_paired": AlreadyPaired,
    "not_pairing": NotPairing,
    "pairing_code_refused": PairingCodeRefused,
    "pairing_code_rate_limited": PairingCodeRateLimited,
    "stale_epoch": LeaseLost,
    "send_failed": SendFailed,
    "message_refused": MessageRefused,
    "undrained": JournalUndrained,
    "invalid_request": InvalidRequest,
    "not_on_whatsapp": NotOnWhatsapp,
    "message_not_found": MessageNotFound,
    "message_not_forwardable": MessageNotForwardable,
    "media_not_found": MediaNotFound,
    "media_expired": MediaExpired,
    "media_host_unreachable": MediaHostUnreachable,
    "whatsapp_refused": WhatsAppRefused,
    "whatsapp_no_answer": WhatsAppNoAnswer,
}
#: The errors whose words are the sidecar's.
_TOLD = (SendFailed, MessageRefused, InvalidRequest, WhatsAppNoAnswer)
#: WhatsApp's own code for "too often".
_RATE_LIMITED = 429


class ShownQr(msgspec.Struct, frozen=True):
    """The QR code that is valid now; ``expires_at`` in milliseconds since 1970."""

    qr: str
    expires_at: int
    rotated: bool = False
    """In the place of one that WhatsApp took back, and whose scan comes to nothing."""


class ShownCode(msgspec.Struct, frozen=True):
    """The pairing code that a phone accepts until ``expires_at``, in milliseconds since 1970."""

    pairing_code: str
    expires_at: int


class Connection(msgspec.Struct, frozen=True):
    """One connection as the sidecar lists it."""

    session_ref: int
    generation: int
    epoch: int
    state: ConnectionState
    reason: str | None = None
    degraded: bool = False
    jid: str | None = None
    qr: ShownQr | None = None
    pairing_code: ShownCode | None = None


class Journal(msgspec.Struct, frozen=True):
    """How much of the sidecar's journal is used; in bytes."""

    bytes: int
    limit: int


class Heap(msgspec.Struct, frozen=True):
    """JavaScript's memory of the sidecar, in bytes; it ends when it needs more than ``limit``."""

    used: int
    limit: int


class Process(msgspec.Struct, frozen=True):
    """What the operating system says of the sidecar; ``event_loop_utilization`` is the busy share since it was last asked."""

    resident_bytes: int
    cpu_seconds: float
    event_loop_utilization: float


class LastWords(msgspec.Struct, frozen=True):
    """Why the process before this one ended, which it could still say; ``session_ref``: at whose work it was."""

    session_ref: int | None
    reason: str


class Listing(msgspec.Struct, frozen=True):
    """All connections of one sidecar process; ``instance`` changes with each start of the process.

    ``draining``: it still writes the journal of an earlier process, and nothing may be started before that is done.
    ``undrained``: sessions whose last changes are only in its own journal, whether they run or not. Under another epoch
    those changes would be worthless.
    """

    instance: str
    draining: bool
    undrained: list[int]
    journal: Journal
    heap: Heap
    last_words: LastWords | None
    sessions: list[Connection]
    process: Process | None = None


class Sent(msgspec.Struct, frozen=True):
    """A message that was written to WhatsApp's socket: its id, and the jid that it went to.

    ``acknowledged``: WhatsApp said that it has it, which only those are waited for whose id was fixed before.
    """

    message_id: str
    to: str
    acknowledged: bool = False
    event: dict[str, Any] | None = None
    """The message as if it had come in, if the order asked to describe it."""


@dataclass(frozen=True, slots=True)
class MediaStream:
    """A file as it comes."""

    mimetype: str
    chunks: AsyncIterator[bytes]


class _Applied(msgspec.Struct):
    renewed: bool


class _Problem(msgspec.Struct):
    code: str = "internal_error"
    detail: str | None = None
    whatsapp_code: int | None = None


class SidecarClient:
    """Calls the sidecar on loopback. Every method raises ``SidecarUnavailable`` when there is no answer."""

    def __init__(self, http: aiohttp.ClientSession, port: int, token: str) -> None:
        self._http = http
        self._base = f"http://127.0.0.1:{port}"
        self._token = token
        self.sends = Counter()
        """Sends by what became of them: `sent`, or the code of the error."""

    async def list(self, *, journal_held: bool = False) -> Listing:
        """What it runs; ``journal_held`` has writes wait for the database from now on, see docs/internal-api.md."""
        path = "/v1/sessions?journal=held" if journal_held else "/v1/sessions"
        return _decoded(await self._call("GET", path), Listing)

    async def start(self, lease: Lease, settings: SessionSettings = DEFAULT_SETTINGS) -> None:
        body: dict[str, Any] = {
            "session_id": lease.session_id,
            "generation": lease.generation,
            "epoch": lease.epoch,
        }
        if told := _told(settings):
            body["settings"] = told
        await self._call("PUT", f"/v1/sessions/{lease.session_ref}", body, seconds=_STOP_SECONDS)

    async def apply(self, session_ref: int, settings: SessionSettings) -> bool:
        """Have a connection take these settings; whether it opens a new socket for it. ``SessionNotOpen``: none runs."""
        body = {"settings": _told(settings)}
        answer = await self._call("PATCH", f"/v1/sessions/{session_ref}", body, seconds=_STOP_SECONDS)
        return _decoded(answer, _Applied).renewed

    async def operate(self, session_ref: int, name: str, body: Mapping[str, Any], gives: type[T]) -> T:
        """The outcome of an operation; ``WhatsAppNoAnswer`` also when only the sidecar's answer didn't come."""
        path = f"/v1/sessions/{session_ref}/operations/{name}"
        try:
            answer = await self._call("POST", path, body, seconds=_OPERATION_SECONDS)
        except SidecarUnavailable as error:
            if error.__cause__ is None or isinstance(error, SidecarGone):
                raise  # it said no, or was never reached
            raise WhatsAppNoAnswer from error
        return _decoded(answer, gives)

    async def stop(self, session_ref: int, reason: str | None = None) -> None:
        """Close the connection; returns when its socket is closed and its writes are done, or raises ``JournalUndrained``."""
        body = None if reason is None else {"reason": reason}
        await self._call("DELETE", f"/v1/sessions/{session_ref}", body, seconds=_STOP_SECONDS)

    async def logout(self, session_ref: int) -> None:
        """Have WhatsApp remove the device; ``SessionNotOpen`` when it can't be asked now."""
        await self._call("POST", f"/v1/sessions/{session_ref}/logout", {}, seconds=_STOP_SECONDS)

    async def pairing_code(self, session_ref: int, phone: str) -> ShownCode:
        answer = await self._call(
            "POST", f"/v1/sessions/{session_ref}/pairing-code", {"phone": phone}, seconds=_STOP_SECONDS
        )
        return _decoded(answer, ShownCode)

    async def send(self, session_ref: int, order: Mapping[str, Any]) -> Sent:
        """Send a message of the control API. ``SendUnconfirmed`` when the answer didn't come: it may have been sent."""
        try:
            sent = await self._send(session_ref, order)
        except OrchestratorError as error:
            self.sends.add(error.code)
            raise
        self.sends.add("sent")
        return sent

    async def _send(self, session_ref: int, order: Mapping[str, Any]) -> Sent:
        seconds = _MEDIA_SEND_SECONDS if "media" in order else _SEND_SECONDS
        try:
            answer = await self._call("POST", f"/v1/sessions/{session_ref}/messages", order, seconds=seconds)
        except SidecarUnavailable as error:
            if error.__cause__ is None or isinstance(error, SidecarGone):
                raise  # it said no, or was never reached
            raise SendUnconfirmed from error
        return _decoded(answer, Sent)

    @asynccontextmanager
    async def media(self, session_ref: int, message: str) -> AsyncIterator[MediaStream]:
        """The file of a message, given in base64, while it is read. ``MediaHostUnreachable`` when it breaks off."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CALL_SECONDS, sock_read=_MEDIA_SILENCE_SECONDS)
        try:
            response = await self._http.post(
                f"{self._base}/v1/sessions/{session_ref}/media",
                json={"message": message},
                headers=self._headers(),
                timeout=timeout,
            )
        except aiohttp.ClientConnectorError as error:
            raise SidecarGone from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SidecarUnavailable from error
        async with response:
            if response.status >= _FIRST_ERROR:
                raise _error_of(await response.read())
            try:
                yield MediaStream(response.headers.get("Content-Type", ""), response.content.iter_any())
            except (aiohttp.ClientPayloadError, TimeoutError) as error:
                raise MediaHostUnreachable from error

    def _headers(self) -> dict[str, str]:
        """With the name of the request that this is for, if it is for one, so that it is in the sidecar's log too."""
        request_id = structlog.contextvars.get_contextvars().get("request_id")
        named = {} if request_id is None else {"X-Request-Id": str(request_id)}
        return {"Authorization": f"Bearer {self._token}", **named}

    async def _call(self, method: str, path: str, body: Any = None, *, seconds: float = _CALL_SECONDS) -> bytes:
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            with client_span(f"sidecar {method}", **{"url.path": path}) as span:
                async with self._http.request(
                    method, self._base + path, json=body, headers={**self._headers(), **span.headers}, timeout=timeout
                ) as response:
                    content = await response.read()
                    status = response.status
                    span.note("http.response.status_code", status)
        except aiohttp.ClientConnectorError as error:
            raise SidecarGone from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SidecarUnavailable from error
        if status < _FIRST_ERROR:
            return content
        raise _error_of(content)


def _decoded(answer: bytes, type_: type[T]) -> T:
    try:
        return msgspec.json.decode(answer, type=type_)
    except msgspec.DecodeError as error:
        raise SidecarUnavailable(
            "The WhatsApp process gave an answer that makes no sense; is it of this version?"
        ) from error


def _error_of(content: bytes) -> OrchestratorError:
    try:
        problem = msgspec.json.decode(content, type=_Problem)
    except msgspec.DecodeError:
        return SidecarUnavailable()
    error = _ERRORS.get(problem.code, SidecarUnavailable)
    if error is WhatsAppRefused:
        kind = WhatsAppRateLimited if problem.whatsapp_code == _RATE_LIMITED else WhatsAppRefused
        return kind(problem.detail, problem.whatsapp_code)
    return error(problem.detail) if error in _TOLD else error()


def _told(settings: SessionSettings) -> dict[str, Any]:
    return {name: value for name, value in settings.differing().items() if name not in NOT_FOR_SIDECAR}
