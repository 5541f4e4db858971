"""The sidecar's control API on the wire, as docs/internal-api.md has it, without WhatsApp behind it."""

import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

TOKEN = "t" * 64


@dataclass
class ControlApi:
    """What was started, and what the listing says of it. ``restart`` is another process in its place."""

    port: int = 0
    instance: str = field(default_factory=lambda: str(uuid.uuid4()))
    sessions: dict[int, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    answering: bool = True
    draining: bool = False
    undrained: list[int] = field(default_factory=list)
    heap: dict[str, int] = field(default_factory=lambda: {"used": 50, "limit": 2000})
    event_loop_utilization: float = 0.1
    last_words: dict[str, Any] | None = None
    before_start: Callable[[], Awaitable[object]] | None = None
    """What happens while a session is being started."""
    before_listed: Callable[[], Awaitable[object]] | None = None
    """What happens while a list is on its way."""

    def restart(self, last_words: dict[str, Any] | None = None) -> None:
        self.instance = str(uuid.uuid4())
        self.last_words = last_words
        self.sessions.clear()

    async def listen(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/v1/sessions", self.handle)
        app.router.add_route("*", "/v1/sessions/{ref}", self.handle)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def end(self) -> None:
        """The process is gone: nothing listens any more."""
        await self._runner.cleanup()

    async def handle(self, request: web.Request) -> web.Response:
        if not self.answering:
            return web.Response(status=500)
        ref = int(request.match_info.get("ref", 0))
        if request.method == "GET":
            journal = {"bytes": 4096 if self.draining else 0, "limit": 2**28}
            sessions = list(self.sessions.values())
            known = {
                "instance": self.instance,
                "draining": self.draining,
                "undrained": self.undrained,
                "heap": self.heap,
                "process": {
                    "resident_bytes": 1,
                    "cpu_seconds": 1.0,
                    "event_loop_utilization": self.event_loop_utilization,
                },
                "last_words": self.last_words,
            }
            answer = web.json_response({**known, "journal": journal, "sessions": sessions})
            if self.before_listed is not None:
                await self.before_listed()
            return answer
        self.calls.append(f"{request.method} {ref}")
        if request.method == "PUT":
            body = await request.json()
            if self.before_start is not None:
                await self.before_start()
            self.sessions[ref] = {"session_ref": ref, "state": "connecting", **body}
            return web.json_response({}, status=202)
        if request.method == "PATCH":
            if ref not in self.sessions:
                return web.json_response({"code": "session_not_running"}, status=404)
            self.sessions[ref] |= await request.json()
            return web.json_response({"renewed": True})
        self.sessions.pop(ref, None)
        if ref in self.undrained:
            return web.json_response({"code": "undrained"}, status=503)
        return web.json_response({})


@contextlib.asynccontextmanager
async def control_api() -> AsyncIterator[ControlApi]:
    api = ControlApi()
    await api.listen()
    try:
        yield api
    finally:
        await api.end()
