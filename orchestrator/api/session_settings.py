"""Settings of a session over HTTP."""

from aiohttp import web

from orchestrator.api.asking import SESSION, given, in_path
from orchestrator.api.bodies import json_response, read_json
from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.api.operations import Operation
from orchestrator.domain.errors import FieldError, InvalidRequest
from orchestrator.domain.session import existing_id
from orchestrator.domain.session_settings import DEFAULT_SETTINGS, SessionSettings, masked_proxy
from orchestrator.domain.tenant import Scope
from orchestrator.wire import session_settings as wire


async def show(request: web.Request) -> web.Response:
    settings = request.app[SERVICES].settings
    return json_response(shown(await settings.get(request[TENANT], existing_id(in_path(request, "session_id")))))


async def change(request: web.Request) -> web.Response:
    body = await read_json(request, wire.ChangeSettings)
    changes = {n: getattr(DEFAULT_SETTINGS, n) if value is None else value for n, value in given(body).items()}
    proxy = changes.get("proxy")
    settings, session_id = request.app[SERVICES].settings, existing_id(in_path(request, "session_id"))
    if proxy is not None and (problem := settings.proxy_problem(proxy)) is not None:
        raise InvalidRequest(errors=[FieldError("proxy", problem)])
    changed = await settings.change(request[TENANT], session_id, changes)
    answer = wire.ChangedSettings(
        settings=shown(changed.settings), at_next_pairing=changed.at_next_pairing, reconnects=changed.reconnects
    )
    return json_response(answer)


def shown(settings: SessionSettings) -> wire.Settings:
    values = settings.values()
    if settings.proxy is not None:
        values["proxy"] = masked_proxy(settings.proxy)
    return wire.Settings(**values)


_SETTINGS = f"{SESSION}/settings"
_SHOWN = shown(
    SessionSettings(proxy="socks5://loja:senha@proxy.example:1080", device_name="Loja Centro", ignore_groups=True)
)

OPERATIONS = (
    Operation(
        method="GET",
        path=_SETTINGS,
        handler=show,
        scope=Scope.READ,
        tag="Settings",
        summary="Show a session's settings.",
        gives=wire.Settings,
        anywhere=True,
        example_answer=_SHOWN,
    ),
    Operation(
        method="PATCH",
        path=_SETTINGS,
        handler=change,
        scope=Scope.MANAGE,
        tag="Settings",
        summary="Change a session's settings while it runs.",
        details="A new proxy opens the connection anew: what is being sent is sent before, and what comes in meanwhile comes "
        "after. Everything else is in force at once, but for what at_next_pairing names.",
        takes=wire.ChangeSettings,
        gives=wire.ChangedSettings,
        example=wire.ChangeSettings(proxy="socks5://loja:senha@proxy.example:1080", ignore_groups=True),
        example_answer=wire.ChangedSettings(settings=_SHOWN, at_next_pairing=["device_name"], reconnects=True),
    ),
)
