"""The audit log is written before an act, so that nothing is done that isn't on record."""

import structlog
from aiohttp import web

from orchestrator.api.admission import address_of, is_from_peer
from orchestrator.api.keys import CALLER, SERVICES, TENANT
from orchestrator.api.operations import Operation, operation_of
from orchestrator.api.problems import status_of
from orchestrator.api.request_ids import REQUEST_ID, Handler
from orchestrator.domain.act import Deed
from orchestrator.domain.errors import DatabaseUnavailable, OrchestratorError
from orchestrator.domain.tenant import Scope, existing_tenant_id

log = structlog.get_logger(__name__)

_LONGEST_PATH = 500


@web.middleware
async def recorded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Put on record what is done with tenants and tokens, and what the admin does with another tenant's things."""
    operation = operation_of(request)
    if operation is None or operation.scope is None or is_from_peer(request) or not _is_recorded(request, operation):
        return await handler(request)
    acts = request.app[SERVICES].acts
    act_id = await acts.begin(
        Deed(
            actor=request[CALLER].actor,
            action=operation.name,
            tenant_id=existing_tenant_id(request.match_info.get("tenant_id", request[TENANT])),
            path=request.rel_url.raw_path[:_LONGEST_PATH],
            request_id=request[REQUEST_ID],
            address=address_of(request),
        )
    )
    status, result = 500, None
    try:
        response = await handler(request)
        status, result = response.status, response.headers.get("Location")
    except OrchestratorError as error:
        status = status_of(type(error)).value
        raise
    except web.HTTPException as error:
        status = error.status
        raise
    finally:
        try:
            await acts.end(act_id, status, result)
        except DatabaseUnavailable:
            log.warning("the end of an act is not on record", act_id=act_id, status=status)
    return response


def _is_recorded(request: web.Request, operation: Operation) -> bool:
    if operation.audited:
        return True
    if operation.polled:
        return False
    others = request[TENANT] != request[CALLER].tenant_id
    return others and operation.scope is not Scope.READ
