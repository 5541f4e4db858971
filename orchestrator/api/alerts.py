"""Which alerts the operator's chat gets, over HTTP."""

from aiohttp import web

from orchestrator.api.bodies import json_response
from orchestrator.api.keys import SERVICES
from orchestrator.api.operations import Operation
from orchestrator.domain.alert import AlertKind, existing_alert_kind
from orchestrator.domain.errors import AlertNotFound
from orchestrator.domain.tenant import Scope
from orchestrator.services.events import timestamp
from orchestrator.wire import alerts as wire


async def index(request: web.Request) -> web.Response:
    muted = await request.app[SERVICES].muted_alerts.all()
    alerts = [
        wire.Alert(kind=kind, muted=kind in muted, muted_at=timestamp(muted[kind]) if kind in muted else None)
        for kind in AlertKind
    ]
    return json_response(wire.Alerts(alerts=alerts))


async def mute(request: web.Request) -> web.Response:
    await request.app[SERVICES].muted_alerts.mute(existing_alert_kind(request.match_info["alert"]))
    return web.Response(status=204)


async def unmute(request: web.Request) -> web.Response:
    await request.app[SERVICES].muted_alerts.unmute(existing_alert_kind(request.match_info["alert"]))
    return web.Response(status=204)


_TAG = "Alerts and broadcasts"
_MUTE = "/v1/alerts/{alert}/mute"

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/alerts",
        handler=index,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="List the kinds of alerts that the bot writes to the operator, and which of them are muted.",
        gives=wire.Alerts,
        example_answer=wire.Alerts(
            alerts=[wire.Alert(kind=AlertKind.CONFLICT, muted=True, muted_at="2026-11-26T12:00:00.000Z")]
        ),
    ),
    Operation(
        method="PUT",
        path=_MUTE,
        handler=mute,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="Mute a kind of alert, for the operator's chat; tenants are told of theirs all the same.",
        status=204,
        errors=(AlertNotFound,),
        audited=True,
    ),
    Operation(
        method="DELETE",
        path=_MUTE,
        handler=unmute,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="Let the operator's chat hear of a kind of alert again.",
        status=204,
        errors=(AlertNotFound,),
        audited=True,
    ),
)
