"""The sidecar's control API (docs/internal-api.md), and the one place where its errors become ours."""

from collections.abc import Mapping
from typing import Any, TypeVar

import aiohttp
import msgspec

from orchestrator.domain.errors import (
    AlreadyPaired,
    InvalidRequest,
    JournalUndrained,
    LeaseLost,
    NotPairing,
    OrchestratorError,
    PairingCodeRateLimited,
    PairingCodeRefused,
    SendFailed,
    SendUnconfirmed,
    SessionNotOpen,
    SidecarGone,
    SidecarUnavailable,
)
from orchestrator.domain.session import ConnectionState, Lease

T = TypeVar("T", bound=msgspec.Struct)

_CALL_SECONDS = 10.0
#: A send asks WhatsApp for devices and keys first, each with a time-out of its own inside Baileys.
_SEND_SECONDS = 45.0
#: A stop waits for the connection's writes to become durable.
_STOP_SECONDS = 20.0

_ERRORS: Mapping[str, type[OrchestratorError]] = {
    "session_not_open": SessionNotOpen,
    "session_not_running": SessionNotOpen,
    "already_paired": AlreadyPaired,
    "not_pairing": NotPairing,
    "pairing_code_refused": PairingCodeRefused,
    "pairing_code_rate_limited": PairingCodeRateLimited,
    "stale_epoch": LeaseLost,
    "send_failed": SendFailed,
    "undrained": JournalUndrained,
    "invalid_request": InvalidRequest,
}


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


class _Sent(msgspec.Struct):
    message_id: str
    to: str


class _Problem(msgspec.Struct):
    code: str = "internal_error"
    detail: str | None = None


class SidecarClient:
    """Calls the sidecar on loopback. Every method raises ``SidecarUnavailable`` when there is no answer."""

    def __init__(self, http: aiohttp.ClientSession, port: int, token: str) -> None:
        self._http = http
        self._base = f"http://127.0.0.1:{port}"
        self._headers = {"Authorization": f"Bearer {token}"}

    async def list(self, *, journal_held: bool = False) -> Listing:
        """What it runs; ``journal_held`` has writes wait for the database from now on, see docs/internal-api.md."""
        path = "/v1/sessions?journal=held" if journal_held else "/v1/sessions"
        return _decoded(await self._call("GET", path), Listing)

    async def start(self, lease: Lease) -> None:
        body = {"session_id": lease.session_id, "generation": lease.generation, "epoch": lease.epoch}
        await self._call("PUT", f"/v1/sessions/{lease.session_ref}", body, seconds=_STOP_SECONDS)

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

    async def send_text(self, session_ref: int, to: str, text: str) -> tuple[str, str]:
        """Send and return (message id, jid). ``SendUnconfirmed`` when the answer didn't come: it may have been sent."""
        body = {"to": to, "type": "text", "text": text}
        try:
            answer = await self._call("POST", f"/v1/sessions/{session_ref}/messages", body, seconds=_SEND_SECONDS)
        except SidecarUnavailable as error:
            if error.__cause__ is None or isinstance(error, SidecarGone):
                raise  # it said no, or was never reached
            raise SendUnconfirmed from error
        sent = _decoded(answer, _Sent)
        return sent.message_id, sent.to

    async def _call(self, method: str, path: str, body: Any = None, *, seconds: float = _CALL_SECONDS) -> bytes:
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with self._http.request(
                method, self._base + path, json=body, headers=self._headers, timeout=timeout
            ) as response:
                content = await response.read()
                status = response.status
        except aiohttp.ClientConnectorError as error:
            raise SidecarGone from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SidecarUnavailable from error
        if status < 400:
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
    return error(problem.detail) if error in (SendFailed, InvalidRequest) else error()
