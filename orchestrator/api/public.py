"""The public API: the application, who may enter, and which address leads where."""

from aiohttp import web

from orchestrator.api import event_stream, health, messages, pairing, peer, seed, sessions
from orchestrator.api.forwarding import forwarded
from orchestrator.api.keys import SERVICES, TENANT, Services
from orchestrator.api.problems import Handler, problems
from orchestrator.domain.errors import NotFound
from orchestrator.peer.client import DATABASE_PATH, EVENTS_PATH

#: Bytes of a request's body.
BODY_LIMIT = 1024 * 1024


def public_app(services: Services, peer_token: str) -> web.Application:
    middlewares = [problems, seed.plain_answers, authenticated, forwarded]
    app = web.Application(middlewares=middlewares, client_max_size=BODY_LIMIT)
    app[SERVICES] = services
    app[peer.PEER_TOKEN] = peer_token
    app.add_routes(
        [
            web.get("/healthz", health.healthz),
            web.get("/readyz", health.readyz),
            web.post("/v1/sessions", sessions.create),
            web.get("/v1/sessions", sessions.index),
            web.get("/v1/sessions/{session_id}", sessions.show),
            web.delete("/v1/sessions/{session_id}", sessions.delete),
            web.post("/v1/sessions/{session_id}/start", sessions.start),
            web.post("/v1/sessions/{session_id}/stop", sessions.stop),
            web.post("/v1/sessions/{session_id}/logout", sessions.log_out),
            web.get("/v1/sessions/{session_id}/generations", sessions.generations),
            web.post("/v1/sessions/{session_id}/generations/{generation}/restore", sessions.restore),
            web.get("/v1/sessions/{session_id}/audit", sessions.audit),
            web.get("/v1/sessions/{session_id}/qr", pairing.qr),
            web.post("/v1/sessions/{session_id}/pairing-code", pairing.pairing_code),
            web.post("/v1/sessions/{session_id}/messages", messages.send),
            web.get("/v1/events", event_stream.stream),
            web.get(EVENTS_PATH, peer.events),
            web.get(DATABASE_PATH, peer.database),
            web.post(f"{seed.PREFIX}backup", seed.backup),
            web.get(f"{seed.PREFIX}restore", seed.restore),
            web.delete(f"{seed.PREFIX}delete", seed.delete),
            web.get(f"{seed.PREFIX}status", seed.status),
        ]
    )
    return app


@web.middleware
async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let only a valid token into the APIs, before anything is looked up: the answer is the same whether a session exists."""
    if request.path in ("/healthz", "/readyz", EVENTS_PATH, DATABASE_PATH):  # another replica has a token of its own
        return await handler(request)
    if not request.path.startswith(("/v1/", seed.PREFIX)):
        raise NotFound
    services = request.app[SERVICES]
    if not services.access.ready:
        services.readiness.require_started()
    request[TENANT] = services.access.tenant_of(bearer(request) or seed.api_key(request))
    services.readiness.require_started()
    return await handler(request)


def bearer(request: web.Request) -> str | None:
    """The token of an Authorization header."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
