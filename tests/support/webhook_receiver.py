"""A receiver of webhooks that checks signatures, and fails as it is told."""

import base64
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Posted:
    """One request: its headers that matter, its body, how it was answered, and when it came, in seconds since 1970."""

    path: str
    event_id: str
    signed_by: frozenset[str]
    event: dict[str, Any]
    status: int
    at: float

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = self.event["data"]
        return data


@dataclass
class Receiver:
    """``answers`` decides on the status of the n-th request, from 0; ``secrets`` are those that it tries."""

    port: int = 0
    secrets: list[str] = field(default_factory=list)
    answers: Callable[[int], int] = lambda _: 200
    posted: list[Posted] = field(default_factory=list)

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def taken(self, type_: str | None = None, path: str = "/") -> list[Posted]:
        """What was answered with success."""
        return [
            posted
            for posted in self.posted
            if posted.status == 200 and posted.path == path and type_ in (None, posted.event["type"])
        ]

    async def handle(self, request: web.Request) -> web.Response:
        at = time.time()
        body = await request.read()
        event_id, timestamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        given = set(request.headers["webhook-signature"].split(" "))
        content = f"{event_id}.{timestamp}.".encode() + body
        signed_by = frozenset(secret for secret in self.secrets if signature(secret, content) in given)
        status = self.answers(len(self.posted))
        self.posted.append(Posted(request.path, event_id, signed_by, json.loads(body), status, at))
        headers = {"Location": self.url("elsewhere")} if 300 <= status < 400 else {}
        return web.Response(status=status, text="taken" if status == 200 else "no \x00" + "x" * 5000, headers=headers)


def signature(secret: str, content: bytes) -> str:
    """As the specification has it, independently of ours."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


@contextlib.asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/{path:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = runner.addresses[0][1]
    try:
        yield made
    finally:
        await runner.cleanup()
