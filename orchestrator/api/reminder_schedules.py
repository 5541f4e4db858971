"""When contacts are reminded, over HTTP."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from aiohttp import web

from orchestrator.api.asking import given
from orchestrator.api.bodies import json_response, read_json, read_query
from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.api.operations import Operation
from orchestrator.api.pages import Name, begins_after, cut
from orchestrator.domain.errors import FieldError, InvalidRequest, ScheduleLimit, ScheduleNotFound, SessionNotFound
from orchestrator.domain.language import Language
from orchestrator.domain.reminder import Schedule, Weekday
from orchestrator.domain.session import existing_id
from orchestrator.domain.tenant import Scope
from orchestrator.services.events import timestamp
from orchestrator.wire import reminders as wire

_ID = re.compile(r"sch_[0-9a-f]{24}")


async def create(request: web.Request) -> web.Response:
    body = await read_json(request, wire.CreateReminderSchedule)
    schedules = request.app[SERVICES].reminder_schedules
    new = replace(schedules.new(existing_id(body.session_id)), **_values(given(body)))
    schedule = await schedules.add(request[TENANT], new)
    response = json_response(shown(schedule), status=201)
    response.headers["Location"] = f"/v1/schedules/{schedule.schedule_id}"
    return response


async def index(request: web.Request) -> web.Response:
    page = read_query(request, wire.ListReminderSchedules)
    found = await request.app[SERVICES].reminder_schedules.page(
        request[TENANT],
        after=begins_after(page, Name) or "",
        most=page.limit + 1,
        session_id=page.search or None,
    )
    schedules, next_cursor = cut(found, page, lambda schedule: schedule.schedule_id)
    return json_response(wire.ReminderSchedules(schedules=[shown(one) for one in schedules], next_cursor=next_cursor))


async def show(request: web.Request) -> web.Response:
    schedules = request.app[SERVICES].reminder_schedules
    return json_response(shown(await schedules.get(request[TENANT], _schedule_id(request))))


async def change(request: web.Request) -> web.Response:
    values = _values(given(await read_json(request, wire.ChangeReminderSchedule)))
    if "session_id" in values:
        values["session_id"] = existing_id(values["session_id"])
    schedule = await request.app[SERVICES].reminder_schedules.change(
        request[TENANT], _schedule_id(request), lambda schedule: replace(schedule, **values)
    )
    return json_response(shown(schedule))


async def delete(request: web.Request) -> web.Response:
    await request.app[SERVICES].reminder_schedules.delete(request[TENANT], _schedule_id(request))
    return web.Response(status=204)


def _values(fields: Mapping[str, Any]) -> dict[str, Any]:
    """As a schedule has them."""
    values = dict(fields)
    if "time_of_day" in values:
        try:
            values["time_of_day"] = datetime.strptime(values["time_of_day"], "%H:%M").time()  # noqa: DTZ007 (of a zone beside it)
        except ValueError as error:
            raise InvalidRequest(errors=[FieldError("time_of_day", "must be hh:mm")]) from error
    return values


def shown(schedule: Schedule) -> wire.ReminderSchedule:
    return wire.ReminderSchedule(
        schedule_id=schedule.schedule_id,
        session_id=schedule.session_id,
        language=schedule.language,
        time_of_day=f"{schedule.time_of_day:%H:%M}",
        time_zone=schedule.time_zone,
        days_before=schedule.days_before,
        on_due_date=schedule.on_due_date,
        days_after=schedule.days_after,
        welcome=schedule.welcome,
        thank=schedule.thank,
        quiet_weekdays=schedule.quiet_weekdays,
        catch_up_hours=schedule.catch_up_hours,
        enabled=schedule.enabled,
        created_at=timestamp(schedule.created_at),
    )


def _schedule_id(request: web.Request) -> str:
    name = request.match_info["schedule_id"]
    if not _ID.fullmatch(name):
        raise ScheduleNotFound
    return name


_SHOWN = wire.ReminderSchedule(
    schedule_id="sch_5f0c1d2e3a4b5c6d7e8f9a0b",
    session_id="loja-1",
    language=Language.PT_BR,
    time_of_day="09:00",
    time_zone="America/Sao_Paulo",
    days_before=(3, 1),
    on_due_date=True,
    days_after=(1, 3),
    welcome=False,
    thank=True,
    quiet_weekdays=(Weekday.SUNDAY,),
    catch_up_hours=24,
    enabled=True,
    created_at="2026-11-26T12:00:00.000Z",
)

_TAG = "Reminders"
_SCHEDULE = "/v1/schedules/{schedule_id}"

OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/schedules",
        handler=create,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Say when contacts are reminded, and by which session.",
        details="It holds for all contacts. Of several schedules each contact hears on an occasion once.",
        takes=wire.CreateReminderSchedule,
        gives=wire.ReminderSchedule,
        status=201,
        errors=(SessionNotFound, ScheduleLimit),
        example=wire.CreateReminderSchedule(session_id="loja-1", quiet_weekdays=(Weekday.SUNDAY,)),
        example_answer=_SHOWN,
    ),
    Operation(
        method="GET",
        path="/v1/schedules",
        handler=index,
        scope=Scope.READ,
        tag=_TAG,
        summary="List schedules, by id.",
        query=wire.ListReminderSchedules,
        gives=wire.ReminderSchedules,
        example_answer=wire.ReminderSchedules(schedules=[_SHOWN], next_cursor=None),
    ),
    Operation(
        method="GET",
        path=_SCHEDULE,
        handler=show,
        scope=Scope.READ,
        tag=_TAG,
        summary="Show a schedule.",
        gives=wire.ReminderSchedule,
        errors=(ScheduleNotFound,),
        example_answer=_SHOWN,
    ),
    Operation(
        method="PATCH",
        path=_SCHEDULE,
        handler=change,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Change a schedule.",
        takes=wire.ChangeReminderSchedule,
        gives=wire.ReminderSchedule,
        errors=(ScheduleNotFound, SessionNotFound),
        example=wire.ChangeReminderSchedule(time_of_day="10:30"),
        example_answer=_SHOWN,
    ),
    Operation(
        method="DELETE",
        path=_SCHEDULE,
        handler=delete,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Delete a schedule; what it has told stays told.",
        status=204,
        errors=(ScheduleNotFound,),
    ),
)
