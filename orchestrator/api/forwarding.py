"""A request about a session that another replica runs is answered by that replica, whichever of them it came to."""

from aiohttp import web

from orchestrator.api.keys import CALLER, SERVICES, TENANT
from orchestrator.api.operations import BODY_LIMIT, FORM, LONGEST_SECONDS, operation_of
from orchestrator.api.request_ids import HEADER, REQUEST_ID, Handler
from orchestrator.domain.errors import ReplicaUnreachable, SendUnconfirmed, WhatsAppNoAnswer
from orchestrator.domain.session import existing_id
from orchestrator.domain.tenant import BOT
from orchestrator.peer.client import FOR_BOT_HEADER, FORWARDED_HEADER, Call, Reply

#: Seconds that a session which was made just now may take to be taken by a replica.
_OWNER_SECONDS = 5.0


@web.middleware
async def forwarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Hand on what the owner of the session should answer; everything else is answered here."""
    operation = operation_of(request)
    concerned = operation is not None and operation.concerns_session and not operation.anywhere
    if operation is None or not concerned or FORWARDED_HEADER in request.headers:
        return await handler(request)
    if operation.stays is not None and await operation.stays(request):
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
        if WhatsAppNoAnswer in operation.errors and error.__cause__ is not None:
            raise WhatsAppNoAnswer from error
        raise
    return reply if reply is not None else await handler(request)


async def from_owner(
    request: web.Request, tenant_id: str, session_id: str, *, wait_seconds: float
) -> web.StreamResponse | None:
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
    headers.pop(FOR_BOT_HEADER, None)
    if request.get(CALLER) is BOT:  # its token is this tree's own
        headers[FOR_BOT_HEADER] = "1"
    operation = operation_of(request)
    # A form may be as large as a file may.
    body = request.content.iter_any() if request.content_type == FORM else await request.read()
    seconds = LONGEST_SECONDS if operation is None else operation.longest_seconds
    async with forwarding.forward(owner, Call(request.method, request.path_qs, headers, body, seconds)) as reply:
        return await _answer(request, reply)


async def _answer(request: web.Request, reply: Reply) -> web.StreamResponse:
    """The owner's answer; one that is large, or whose size isn't known, while it comes."""
    if reply.length is not None and reply.length <= BODY_LIMIT:
        body = b"".join([chunk async for chunk in reply.chunks])
        return web.Response(status=reply.status, headers=reply.headers, body=body)
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    await response.prepare(request)
    try:
        async for chunk in reply.chunks:
            await response.write(chunk)
    except ReplicaUnreachable as error:
        # The part must not be taken for the whole, and it is too late for a problem document.
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError from error
    await response.write_eof()
    return response
