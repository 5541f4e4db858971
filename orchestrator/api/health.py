"""Health of the process and of the service; no token, no secrets."""

from aiohttp import web

from orchestrator.api.bodies import json_response
from orchestrator.api.keys import SERVICES


async def healthz(_request: web.Request) -> web.Response:
    """The process answers."""
    return json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """200 when the database and the sidecar answer, 503 otherwise. Owning no session is no fault."""
    parts = await request.app[SERVICES].readiness.parts()
    ready = all(parts.values())
    return json_response({"status": "ready" if ready else "not_ready", **parts}, status=200 if ready else 503)
