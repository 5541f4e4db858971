"""A name for each request: in its answer, in every line of the log, and at the replica that it is handed to."""

import re
import secrets
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HEADER = "X-Request-Id"
REQUEST_ID = web.RequestKey("request_id", str)

_SANE = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


@web.middleware
async def identified(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Take the caller's name for the request, if it is a sane one, or make one."""
    given = request.headers.get(HEADER, "")
    request_id = given if _SANE.fullmatch(given) else secrets.token_hex(8)
    request[REQUEST_ID] = request_id
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        return await handler(request)


async def tell_request_id(request: web.Request, response: web.StreamResponse) -> None:
    """A signal of the application, because a stream's headers are gone when its handler ends."""
    if REQUEST_ID in request:
        response.headers[HEADER] = request[REQUEST_ID]
