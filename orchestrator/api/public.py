"""The public API: the application, its operations, and who may enter."""

from aiohttp import web

from orchestrator.api import (
    channels,
    chats,
    contacts,
    event_stream,
    groups,
    health,
    messages,
    openapi,
    pairing,
    peer,
    seed,
    session_settings,
    sessions,
)
from orchestrator.api.forwarding import forwarded
from orchestrator.api.keys import CALLER, SERVICES, TENANT, Services
from orchestrator.api.operations import BODY_LIMIT, Operation, operation_of, register
from orchestrator.api.problems import Handler, problems
from orchestrator.domain.errors import NotFound, ScopeMissing
from orchestrator.peer.client import DATABASE_PATH, EVENTS_PATH

#: In the order in which the documentation shows them.
OPERATIONS: tuple[Operation, ...] = (
    *sessions.OPERATIONS,
    *pairing.OPERATIONS,
    *session_settings.OPERATIONS,
    *messages.OPERATIONS,
    *chats.OPERATIONS,
    *contacts.OPERATIONS,
    *groups.OPERATIONS,
    *channels.OPERATIONS,
    *event_stream.OPERATIONS,
    *health.OPERATIONS,
    *openapi.OPERATIONS,
    *seed.OPERATIONS,
)


def public_app(services: Services, peer_token: str) -> web.Application:
    middlewares = [problems, seed.plain_answers, authenticated, bounded, forwarded]
    app = web.Application(middlewares=middlewares, client_max_size=BODY_LIMIT)
    app[SERVICES] = services
    app[peer.PEER_TOKEN] = peer_token
    register(app, OPERATIONS)
    app.add_routes([web.get(EVENTS_PATH, peer.events), web.get(DATABASE_PATH, peer.database)])
    return app


@web.middleware
async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let only a valid token in, before anything is looked up: the answer is the same whether a session exists."""
    operation = operation_of(request)
    if request.path in (EVENTS_PATH, DATABASE_PATH):  # another replica has a token of its own
        return await handler(request)
    if operation is not None and operation.scope is None:
        return await handler(request)
    if not request.path.startswith(("/v1/", seed.PREFIX)):
        raise NotFound
    services = request.app[SERVICES]
    if not services.access.ready:
        services.readiness.require_started()
    caller = services.access.caller(bearer(request) or seed.api_key(request))
    services.readiness.require_started()
    if operation is not None and operation.scope not in caller.scopes:
        raise ScopeMissing
    request[CALLER] = caller
    request[TENANT] = caller.tenant_id
    return await handler(request)


@web.middleware
async def bounded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse bodies beyond the operation's limit while they are read."""
    operation = operation_of(request)
    if operation is not None and operation.body_limit != BODY_LIMIT:
        request = request.clone(client_max_size=operation.body_limit)
    return await handler(request)


def bearer(request: web.Request) -> str | None:
    """The token of an Authorization header."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
