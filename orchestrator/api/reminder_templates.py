"""What contacts are told, over HTTP: a text for each occasion and language, which a tenant may replace."""

from aiohttp import web

from orchestrator.api.bodies import json_response, read_json, read_query
from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.api.operations import Operation
from orchestrator.api.pages import Name, begins_after, cut
from orchestrator.domain.errors import TemplateNotFound
from orchestrator.domain.language import Language
from orchestrator.domain.reminder import ReminderKind
from orchestrator.domain.reminder_text import DEFAULTS
from orchestrator.domain.tenant import Scope
from orchestrator.services.reminder_schedules import Template
from orchestrator.wire import reminders as wire


async def index(request: web.Request) -> web.Response:
    page = read_query(request, wire.ListReminderTemplates)
    after, search = begins_after(page, Name) or "", page.search.casefold()
    found = [
        one
        for one in await request.app[SERVICES].reminder_schedules.templates(request[TENANT])
        if one.template_id > after and search in f"{one.template_id} {one.text}".casefold()
    ]
    templates, next_cursor = cut(found, page, lambda template: template.template_id)
    return json_response(wire.ReminderTemplates(templates=[_shown(one) for one in templates], next_cursor=next_cursor))


async def show(request: web.Request) -> web.Response:
    schedules = request.app[SERVICES].reminder_schedules
    return json_response(_shown(await schedules.template(request[TENANT], request.match_info["template_id"])))


async def put(request: web.Request) -> web.Response:
    body = await read_json(request, wire.SetReminderTemplate)
    template = await request.app[SERVICES].reminder_schedules.set_template(
        request[TENANT], request.match_info["template_id"], body.text
    )
    return json_response(_shown(template))


async def delete(request: web.Request) -> web.Response:
    await request.app[SERVICES].reminder_schedules.reset_template(request[TENANT], request.match_info["template_id"])
    return web.Response(status=204)


def _shown(template: Template) -> wire.ReminderTemplate:
    return wire.ReminderTemplate(
        template_id=template.template_id,
        kind=template.kind,
        language=template.language,
        text=template.text,
        own=template.own,
    )


_SHOWN = _shown(Template(ReminderKind.DUE, Language.PT_BR, DEFAULTS[Language.PT_BR][ReminderKind.DUE], own=False))

_TAG = "Reminders"
_TEMPLATE = "/v1/templates/{template_id}"

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/templates",
        handler=index,
        scope=Scope.READ,
        tag=_TAG,
        summary="List the texts of all occasions and languages, by id.",
        query=wire.ListReminderTemplates,
        gives=wire.ReminderTemplates,
        example_answer=wire.ReminderTemplates(templates=[_SHOWN], next_cursor=None),
    ),
    Operation(
        method="GET",
        path=_TEMPLATE,
        handler=show,
        scope=Scope.READ,
        tag=_TAG,
        summary="Show the text of an occasion in a language.",
        gives=wire.ReminderTemplate,
        errors=(TemplateNotFound,),
        example_answer=_SHOWN,
    ),
    Operation(
        method="PUT",
        path=_TEMPLATE,
        handler=put,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Write a text of your own, or another one.",
        takes=wire.SetReminderTemplate,
        gives=wire.ReminderTemplate,
        errors=(TemplateNotFound,),
        example=wire.SetReminderTemplate(text="Olá, {{first_name}}! {{amount}} vence hoje."),
        example_answer=_SHOWN,
    ),
    Operation(
        method="DELETE",
        path=_TEMPLATE,
        handler=delete,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Go back to the default text.",
        status=204,
        errors=(TemplateNotFound,),
    ),
)
