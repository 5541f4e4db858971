"""Health of the process and of the service; no token, no secrets."""

from aiohttp import web

from orchestrator.api.bodies import json_response
from orchestrator.api.keys import SERVICES
from orchestrator.api.operations import Operation
from orchestrator.wire import health as wire


async def healthz(_request: web.Request) -> web.Response:
    """The process answers."""
    return json_response(wire.Health(status="ok"))


async def readyz(request: web.Request) -> web.Response:
    """200 when the database and the sidecar answer, 503 otherwise. Owning no session is no fault."""
    parts = await request.app[SERVICES].readiness.parts()
    ready = all(parts.values())
    return json_response(
        wire.Readiness(status="ready" if ready else "not_ready", **parts), status=200 if ready else 503
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/healthz",
        handler=healthz,
        scope=None,
        tag="Health",
        summary="Tell that the process answers.",
        gives=wire.Health,
        example_answer=wire.Health(status="ok"),
    ),
    Operation(
        method="GET",
        path="/readyz",
        handler=readyz,
        scope=None,
        tag="Health",
        summary="Tell whether the database and the sidecar answer: 200, or 503.",
        details="A new container is ready before it owns a session, so that a host can stop the old one.",
        gives=wire.Readiness,
        also=(503,),
        example_answer=wire.Readiness(status="ready", database=True, sidecar=True),
    ),
)
