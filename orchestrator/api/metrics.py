"""Metrics for Prometheus: behind a token on the public port, or without one on a port of its own."""

import hmac
import time

from aiohttp import web

from orchestrator.api.admission import address_of, bearer
from orchestrator.api.keys import SERVICES, Services
from orchestrator.api.operations import Operation, operation_of
from orchestrator.api.request_ids import Handler
from orchestrator.domain.errors import Unauthorized

PATH = "/metrics"
METRICS_TOKEN: web.AppKey[str | None] = web.AppKey("metrics_token")


@web.middleware
async def metered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count every request by operation and status. A stream counts when it ends."""
    operation = operation_of(request)
    name = "other" if operation is None else operation.name
    began = time.perf_counter()
    status = 500
    try:
        response = await handler(request)
        status = response.status
        return response
    except web.HTTPException as error:
        status = error.status
        raise
    finally:
        request.app[SERVICES].metrics.requests.observe(name, status, time.perf_counter() - began)


async def get(request: web.Request) -> web.Response:
    """Metrics of this replica and its sidecars."""
    token = bearer(request)
    expected = request.app[METRICS_TOKEN]
    given = (token or "").encode(errors="surrogateescape")
    if expected is None or not hmac.compare_digest(given, expected.encode()):
        caller = request.app[SERVICES].access.known(token)
        if caller is None or not caller.is_admin:
            if caller is None and token is not None:
                request.app[SERVICES].rate_limits.failed_login(address_of(request))
            raise Unauthorized
    return await _answer(request)


def metrics_app(services: Services) -> web.Application:
    """For a port that only the monitoring reaches."""
    app = web.Application()
    app[SERVICES] = services
    app.add_routes([web.get(PATH, _answer)])
    return app


async def _answer(request: web.Request) -> web.Response:
    body, content_type = await request.app[SERVICES].metrics.text(request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})


OPERATIONS = (
    Operation(
        method="GET",
        path=PATH,
        handler=get,
        scope=None,
        tag="Health",
        summary="Get metrics in Prometheus' form.",
        details="Takes METRICS_TOKEN or the admin token as a bearer token. Each replica tells only of itself.",
        errors=(Unauthorized,),
        answer_types=("text/plain",),
        also=(),
    ),
)
