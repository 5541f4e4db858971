"""What sessions did, for whoever draws it, over HTTP."""

from aiohttp import web

from orchestrator.api.bodies import json_response, read_query
from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.api.operations import Operation
from orchestrator.api.pages import Number, begins_after, cut
from orchestrator.api.sessions import session_id
from orchestrator.domain.activity import BackupMinute, Hour
from orchestrator.domain.session import SESSION_ID, ConnectionState
from orchestrator.domain.tenant import Scope
from orchestrator.services.events import timestamp
from orchestrator.wire import activity as wire
from orchestrator.wire.pages import Page
from orchestrator.wire.sessions import StateCount


async def of_session(request: web.Request) -> web.Response:
    name = session_id(request)
    hours = await request.app[SERVICES].activity.of_session(request[TENANT], name)
    return json_response(wire.SessionActivity(session_id=name, hours=list(map(_hour, hours))))


async def connections(request: web.Request) -> web.Response:
    page = read_query(request, Page)
    found = await request.app[SERVICES].activity.changes(
        request[TENANT], session_id(request), before=begins_after(page, Number), most=page.limit + 1
    )
    changes, next_cursor = cut(found, page, lambda change: change.number)
    shown = [
        wire.ConnectionChange(at=timestamp(one.at), connection_state=one.connection_state, reason=one.reason)
        for one in changes
    ]
    return json_response(wire.ConnectionChanges(changes=shown, next_cursor=next_cursor))


async def of_tenant(request: web.Request) -> web.Response:
    query = read_query(request, wire.ListActivity)
    names = [name for name in query.session_ids.split(",") if SESSION_ID.fullmatch(name)]
    activity = request.app[SERVICES].activity
    counts = await request.app[SERVICES].sessions.count_by_state(request[TENANT])
    each = await activity.of_sessions(request[TENANT], names) if names else {}
    answer = wire.Activity(
        hours=list(map(_hour, await activity.of_all(request[TENANT]))),
        sessions=[wire.SessionActivity(session_id=name, hours=list(map(_hour, hours))) for name, hours in each.items()],
        states=[StateCount(connection_state=state, sessions=n) for state, n in sorted(counts.items())],
    )
    return json_response(answer)


async def of_service(request: web.Request) -> web.Response:
    activity = request.app[SERVICES].activity
    answer = wire.ServiceActivity(
        hours=list(map(_hour, await activity.of_all(None))),
        backups=list(map(_minute, await activity.backups())),
    )
    return json_response(answer)


def _hour(hour: Hour) -> wire.Hour:
    return wire.Hour(
        hour=timestamp(hour.hour),
        samples=hour.samples,
        open_samples=hour.open_samples,
        sent=hour.sent,
        received=hour.received,
    )


def _minute(minute: BackupMinute) -> wire.BackupMinute:
    return wire.BackupMinute(
        minute=timestamp(minute.minute),
        writes=minute.writes,
        slow_seconds=minute.slow_seconds,
        journal_bytes=minute.journal_bytes,
    )


_HOUR = wire.Hour(hour="2026-11-27T01:00:00.000Z", samples=60, open_samples=59, sent=12, received=40)
_SESSION = wire.SessionActivity(session_id="loja-1", hours=[_HOUR])

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/sessions/{session_id}/activity",
        handler=of_session,
        scope=Scope.READ,
        tag="Sessions",
        summary="Show a session's last 168 hours: when it was connected, and its messages.",
        gives=wire.SessionActivity,
        example_answer=_SESSION,
        anywhere=True,
    ),
    Operation(
        method="GET",
        path="/v1/sessions/{session_id}/connections",
        handler=connections,
        scope=Scope.READ,
        tag="Sessions",
        summary="List how a session's connection changed, newest first: the last 500 changes of 14 days.",
        query=Page,
        gives=wire.ConnectionChanges,
        example_answer=wire.ConnectionChanges(
            changes=[
                wire.ConnectionChange(at="2026-11-27T01:02:03.456Z", connection_state=ConnectionState.OPEN, reason=None)
            ],
            next_cursor=None,
        ),
        anywhere=True,
    ),
    Operation(
        method="GET",
        path="/v1/activity",
        handler=of_tenant,
        scope=Scope.READ,
        tag="Sessions",
        summary="Show the last 24 hours of all sessions together, and of each of those that are named.",
        query=wire.ListActivity,
        gives=wire.Activity,
        example_answer=wire.Activity(
            hours=[_HOUR],
            sessions=[_SESSION],
            states=[StateCount(connection_state=ConnectionState.OPEN, sessions=1)],
        ),
    ),
    Operation(
        method="GET",
        path="/v1/overview/activity",
        handler=of_service,
        scope=Scope.ADMIN,
        tag="Operator",
        summary="Show the last 24 hours of all tenants' sessions together, and how fast backups were in the last two.",
        gives=wire.ServiceActivity,
        example_answer=wire.ServiceActivity(
            hours=[_HOUR],
            backups=[
                wire.BackupMinute(minute="2026-11-27T01:02:00.000Z", writes=640, slow_seconds=0.005, journal_bytes=0)
            ],
        ),
    ),
)
