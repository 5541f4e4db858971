"""Log-ins of browsers over HTTP. The dashboard exchanges a token for a short one, so that no browser keeps the long one."""

from aiohttp import web

from orchestrator.api.admission import bearer
from orchestrator.api.bodies import json_response, read_json
from orchestrator.api.keys import CALLER, SERVICES, TENANT
from orchestrator.api.operations import Operation
from orchestrator.api.pairing import public_url
from orchestrator.domain.errors import LoginNotFound
from orchestrator.domain.tenant import Scope
from orchestrator.services.events import timestamp
from orchestrator.wire import logins as wire
from orchestrator.wire.shape import NoFields


async def begin(request: web.Request) -> web.Response:
    await read_json(request, NoFields)
    login = await request.app[SERVICES].logins.begin(request[CALLER], bearer(request) or "")
    answer = wire.Login(token=login.token, tenant_id=login.tenant_id, expires_at=timestamp(login.expires_at))
    return _unkept(json_response(answer, status=201))


async def end(request: web.Request) -> web.Response:
    await request.app[SERVICES].logins.end(bearer(request) or "")
    return web.Response(status=204)


async def make_link(request: web.Request) -> web.Response:
    await read_json(request, NoFields)
    logins = request.app[SERVICES].logins
    secret, expires_at = await logins.make_link(request[CALLER], request[TENANT], bearer(request) or "")
    url = f"{public_url(request)}/login/{secret}"
    return _unkept(json_response(wire.LoginLink(url=url, expires_at=timestamp(expires_at)), status=201))


def _unkept(response: web.Response) -> web.Response:
    response.headers["Cache-Control"] = "no-store"
    return response


_TAG = "Tokens"

OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/logins",
        handler=begin,
        scope=Scope.READ,
        tag=_TAG,
        summary="Exchange the token for one that lives 12 hours and has the same rights, for a browser.",
        details="It ends with the token that it was made from. It is listed among the tenant's tokens.",
        takes=NoFields,
        gives=wire.Login,
        status=201,
        example=NoFields(),
        example_answer=wire.Login(token="bo_...", tenant_id="acme", expires_at="2026-11-27T13:02:03.456Z"),  # noqa: S106
        audited=True,
    ),
    Operation(
        method="DELETE",
        path="/v1/logins/current",
        handler=end,
        scope=Scope.READ,
        tag=_TAG,
        summary="Log out: the token of this request, which must be that of a log-in, opens nothing from now on.",
        status=204,
        errors=(LoginNotFound,),
        audited=True,
    ),
    Operation(
        method="POST",
        path="/v1/login-links",
        handler=make_link,
        scope=Scope.READ,
        tag=_TAG,
        summary="Make a link that logs a browser in to the dashboard: once, within ten minutes, with the rights of the token.",
        details="The admin names a tenant by X-Tenant for a link that opens that tenant's things only. Previews of the link "
        "don't use it up.",
        takes=NoFields,
        gives=wire.LoginLink,
        status=201,
        example=NoFields(),
        example_answer=wire.LoginLink(url="https://example.com/login/VZkq3...", expires_at="2026-11-27T01:12:03.456Z"),
        audited=True,
    ),
)
