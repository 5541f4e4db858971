"""Who may come in, whose things the request is about, and how often."""

import hmac
import socket

from aiohttp import web

from orchestrator.api import seed
from orchestrator.api.keys import CALLER, RATE, SERVICES, TENANT
from orchestrator.api.operations import Operation, operation_of
from orchestrator.api.request_ids import Handler
from orchestrator.domain.errors import NotFound, ScopeMissing, TenantNotFound, Unauthorized
from orchestrator.domain.tenant import BOT, TOKEN_PREFIX, Caller
from orchestrator.peer.client import DATABASE_PATH, EVENTS_PATH, FOR_BOT_HEADER, PEER_TOKEN_HEADER
from orchestrator.services.rate_limits import require

#: Pages (orchestrator/pages), which let in whom they know.
PAGES: web.AppKey[set[web.AbstractRoute]] = web.AppKey("pages", set)
#: What a page of this process shows when it asks the API for whoever looks at it, and where that one is.
PAGE_TOKEN = web.AppKey("page_token", str)
PAGE_TOKEN_HEADER = "X-Page-Token"  # noqa: S105 (a name)
FOR_ADDRESS_HEADER = "X-For-Address"

#: By which the admin says whose things a request is about.
TENANT_HEADER = "X-Tenant"

PEER_TOKEN = web.AppKey("peer_token", str)
#: How many proxies in front of us add an address to X-Forwarded-For.
PROXIES = web.AppKey("proxies", int)


@web.middleware
async def admitted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let only a valid token in, before anything is looked up: the answer is the same whether a session exists."""
    operation = operation_of(request)
    if request.match_info.route in request.app[PAGES]:
        return await handler(request)
    if request.path in (EVENTS_PATH, DATABASE_PATH):  # another replica has a token of its own
        return await handler(request)
    if operation is not None and operation.scope is None:
        return await handler(request)
    if not request.path.startswith(("/v1/", seed.PREFIX)):
        if request.match_info.http_exception is not None:  # nothing is there, or nothing of that method
            return await handler(request)
        raise NotFound
    caller = await _caller(request)
    request[CALLER] = caller
    _count(request, caller, operation)
    if operation is not None and operation.scope not in caller.scopes:
        raise ScopeMissing(f"This takes a token of the scope {operation.scope}; this one lacks it.")
    request[TENANT] = await _tenant(request, caller)
    return await handler(request)


async def tell_rate(request: web.Request, response: web.StreamResponse) -> None:
    """A signal of the application: what is left of the caller's rate."""
    if RATE in request:
        rate = request[RATE]
        response.headers["RateLimit-Limit"] = str(rate.limit)
        response.headers["RateLimit-Remaining"] = str(rate.remaining)
        response.headers["RateLimit-Reset"] = str(rate.reset_seconds)


def bearer(request: web.Request) -> str | None:
    """The token of an Authorization header."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def is_from_peer(request: web.Request) -> bool:
    """Whether another replica handed this request on, which has counted and recorded it."""
    given = request.headers.get(PEER_TOKEN_HEADER, "").encode(errors="surrogateescape")
    return hmac.compare_digest(given, request.app[PEER_TOKEN].encode())


def address_of(request: web.Request) -> str | None:
    """Where a request comes from: what the outermost of our own proxies saw, or who is connected."""
    page_token = request.headers.get(PAGE_TOKEN_HEADER, "").encode(errors="surrogateescape")
    if hmac.compare_digest(page_token, request.app[PAGE_TOKEN].encode()):
        return request.headers.get(FOR_ADDRESS_HEADER)
    proxies = request.app[PROXIES]
    seen = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",")]
    return seen[-proxies] if 0 < proxies <= len(seen) and seen[-proxies] else request.remote


async def _caller(request: web.Request) -> Caller:
    services = request.app[SERVICES]
    if not services.access.ready:
        services.readiness.require_started()
    token = bearer(request) or seed.api_key(request)
    if token is not None and _over_own_socket(request) and services.access.is_bot(token):
        services.readiness.require_started()
        return BOT
    if FOR_BOT_HEADER in request.headers and is_from_peer(request):
        services.readiness.require_started()
        return BOT
    caller = services.access.known(token)
    if caller is None:
        if token is None:
            raise Unauthorized
        # Whoever is known goes on: only unknown tokens are refused to an address that has shown too many wrong ones.
        services.rate_limits.may_try(address_of(request))
        if token.startswith(TOKEN_PREFIX):
            services.readiness.require_started()
        try:
            caller = await services.access.caller(token)
        except Unauthorized:
            services.rate_limits.failed_login(address_of(request))
            raise
    services.readiness.require_started()
    return caller


def _over_own_socket(request: web.Request) -> bool:
    """Whether it came over the socket in the tree's private folder."""
    connection = None if request.transport is None else request.transport.get_extra_info("socket")
    return connection is not None and connection.family == socket.AF_UNIX


def _count(request: web.Request, caller: Caller, operation: Operation | None) -> None:
    if is_from_peer(request):
        return
    limits = request.app[SERVICES].rate_limits
    taken = [limits.request(caller)]
    if operation is not None and operation.sends_message:
        taken.append(limits.messages(caller))
    limited = [one for one in taken if one is not None]
    if limited:
        request[RATE] = min(limited, key=lambda one: (one.allowed, one.remaining))
        require(request[RATE])


def count_messages(request: web.Request, number: int) -> None:
    """Count messages of the caller's tenant, for a request that sends many; ``RateLimited``."""
    taken = request.app[SERVICES].rate_limits.messages(request[CALLER], number)
    if taken is not None and not is_from_peer(request):
        request[RATE] = taken
        require(taken)


async def _tenant(request: web.Request, caller: Caller) -> str:
    named = request.headers.get(TENANT_HEADER)
    if named is None or named == caller.tenant_id:
        return caller.tenant_id
    if not caller.is_admin:
        raise TenantNotFound
    return await request.app[SERVICES].access.require_tenant(named)
