"""A request about a session that another replica runs is answered by that replica, whichever of them it came to."""

from aiohttp import web

from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.api.operations import operation_of
from orchestrator.api.request_ids import HEADER, REQUEST_ID, Handler
from orchestrator.domain.errors import ReplicaUnreachable, SendUnconfirmed
from orchestrator.domain.session import existing_id
from orchestrator.peer.client import FORWARDED_HEADER, Call

#: Seconds that a session which was made just now may take to be taken by a replica.
_OWNER_SECONDS = 5.0


@web.middleware
async def forwarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Hand on what the owner of the session should answer; everything else is answered here."""
    operation = operation_of(request)
    concerned = operation is not None and operation.concerns_session and not operation.anywhere
    if operation is None or not concerned or FORWARDED_HEADER in request.headers:
        return await handler(request)
    name = request.match_info["session_id"]
    action = request.path.rpartition("/")[2]
    wait = _OWNER_SECONDS if action in ("qr", "pairing-code") else 0.0
    try:
        reply = await from_owner(request, request[TENANT], existing_id(name), wait_seconds=wait)
    except ReplicaUnreachable as error:
        if request.method == "GET" and action == name:
            return await handler(request)  # the store knows nearly as much
        if SendUnconfirmed in operation.errors and error.__cause__ is not None:
            raise SendUnconfirmed from error
        raise
    return reply if reply is not None else await handler(request)


async def from_owner(
    request: web.Request, tenant_id: str, session_id: str, *, wait_seconds: float
) -> web.Response | None:
    """What the other replica that runs the session answers to this request; None when it is ours to answer.

    Raises ``SessionNotFound``, ``DatabaseUnavailable`` and ``ReplicaUnreachable``.
    """
    if FORWARDED_HEADER in request.headers:
        return None
    forwarding = request.app[SERVICES].forwarding
    owner = await forwarding.owner(tenant_id, session_id, wait_seconds=wait_seconds)
    if owner is None:
        return None
    headers = {**request.headers, HEADER: request[REQUEST_ID]}
    call = Call(request.method, request.path_qs, headers, await request.read())
    reply = await forwarding.forward(owner, call)
    return web.Response(status=reply.status, headers=reply.headers, body=reply.body)
