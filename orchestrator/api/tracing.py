"""A span for each request, when traces are collected."""

from aiohttp import web

from orchestrator.api.request_ids import REQUEST_ID, Handler
from orchestrator.telemetry.tracing import server_span


@web.middleware
async def traced(request: web.Request, handler: Handler) -> web.StreamResponse:
    resource = request.match_info.route.resource
    route = resource.canonical if resource else "unknown"
    attributes = {"http.request.method": request.method, "http.route": route}
    with server_span(f"{request.method} {route}", request.headers, **attributes) as span:
        if REQUEST_ID in request:
            span.note("request_id", request[REQUEST_ID])
        if "session_id" in request.match_info:
            span.note("session_id", request.match_info["session_id"])
        response = await handler(request)
        span.note("http.response.status_code", response.status)
        return response
