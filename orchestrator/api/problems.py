"""Errors as RFC 9457 problem documents: the one table from error to status."""

import math
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
import structlog
from aiohttp import web
from msgspec import UNSET

from orchestrator.api.request_ids import REQUEST_ID, Handler
from orchestrator.domain.errors import (
    BodyTooLarge,
    Conflict,
    Forbidden,
    InvalidRequest,
    MalformedJson,
    MediaExpired,
    MediaHostUnreachable,
    MediaTypeRefused,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    OrchestratorError,
    PairingCodeRateLimited,
    PaymentRefused,
    PaymentRequired,
    RateLimited,
    SendFailed,
    SendUnconfirmed,
    SessionNotOpen,
    Unauthorized,
    Unavailable,
    WhatsAppNoAnswer,
    WhatsAppRateLimited,
    WhatsAppRefused,
)
from orchestrator.wire.problem import FieldProblem, Problem

log = structlog.get_logger(__name__)

#: The nearest class in an error's ancestry decides.
_STATUS: Mapping[type[OrchestratorError], HTTPStatus] = {
    MalformedJson: HTTPStatus.BAD_REQUEST,
    Unauthorized: HTTPStatus.UNAUTHORIZED,
    PaymentRequired: HTTPStatus.PAYMENT_REQUIRED,
    Forbidden: HTTPStatus.FORBIDDEN,
    RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    NotFound: HTTPStatus.NOT_FOUND,
    MethodNotAllowed: HTTPStatus.METHOD_NOT_ALLOWED,
    NotAcceptable: HTTPStatus.NOT_ACCEPTABLE,
    Conflict: HTTPStatus.CONFLICT,
    BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    MediaTypeRefused: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    InvalidRequest: HTTPStatus.UNPROCESSABLE_ENTITY,
    PairingCodeRateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    MediaExpired: HTTPStatus.GONE,
    MediaHostUnreachable: HTTPStatus.BAD_GATEWAY,
    WhatsAppRefused: HTTPStatus.UNPROCESSABLE_ENTITY,
    WhatsAppRateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    SendFailed: HTTPStatus.BAD_GATEWAY,
    WhatsAppNoAnswer: HTTPStatus.GATEWAY_TIMEOUT,
    PaymentRefused: HTTPStatus.BAD_GATEWAY,
    SendUnconfirmed: HTTPStatus.GATEWAY_TIMEOUT,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    OrchestratorError: HTTPStatus.INTERNAL_SERVER_ERROR,
}

_RETRY_AFTER_SECONDS = "2"


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error as a problem document; what nobody expected is logged with its trace and shown without it."""
    try:
        return await handler(request)
    except OrchestratorError as error:
        return problem(error, request)
    except web.HTTPException as error:
        return _http_problem(error, request)
    except ConnectionResetError:
        raise  # the caller left; nobody is there to be told
    except Exception:
        log.exception("request failed", method=request.method, route=_route(request))
        return problem(OrchestratorError(), request)


def status_of(error: type[OrchestratorError]) -> HTTPStatus:
    return next(_STATUS[kind] for kind in error.__mro__ if kind in _STATUS)


def problem(error: OrchestratorError, request: web.Request | None = None) -> web.Response:
    """The answer; ``request`` adds its name."""
    status = status_of(type(error))
    errors = error.errors if isinstance(error, InvalidRequest) else ()
    body = Problem(
        type="about:blank",
        title=status.phrase,
        status=status.value,
        code=error.code,
        detail=error.message,
        request_id=UNSET if request is None else request.get(REQUEST_ID, UNSET),
        whatsapp_code=_whatsapp_code(error),
        errors=[FieldProblem(field=e.field, message=e.message) for e in errors] or UNSET,
        connection_state=(error.connection_state or UNSET) if isinstance(error, SessionNotOpen) else UNSET,
    )
    headers = {}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = _RETRY_AFTER_SECONDS
    if isinstance(error, RateLimited):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_seconds)))
    return web.Response(
        body=msgspec.json.encode(body), status=status, headers=headers, content_type="application/problem+json"
    )


def _whatsapp_code(error: OrchestratorError) -> int | msgspec.UnsetType:
    code = error.whatsapp_code if isinstance(error, WhatsAppRefused) else None
    return UNSET if code is None else code


def _http_problem(error: web.HTTPException, request: web.Request) -> web.StreamResponse:
    """aiohttp's own exceptions: the router's and the body reader's."""
    match error:
        case web.HTTPNotFound():
            return problem(NotFound(), request)
        case web.HTTPMethodNotAllowed():
            response = problem(MethodNotAllowed(), request)
            response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
            return response
        case web.HTTPRequestEntityTooLarge():
            return problem(BodyTooLarge(), request)
        case _ if error.status < HTTPStatus.BAD_REQUEST:
            raise error
        case _ if error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return problem(InvalidRequest(), request)
        case _:
            return problem(OrchestratorError(), request)


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource else "unknown"
