"""The service as a whole over HTTP, for the operator."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from aiohttp import web

from orchestrator.api import sessions as sessions_api
from orchestrator.api.bodies import json_response, read_json, read_query
from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.api.operations import Operation
from orchestrator.api.pages import begins_after, cut
from orchestrator.domain.errors import NotFound, SessionQuarantined
from orchestrator.domain.session import ConnectionState
from orchestrator.domain.tenant import Scope
from orchestrator.services.events import timestamp
from orchestrator.services.sessions import SessionView
from orchestrator.store.overview import Told
from orchestrator.wire import overview as wire
from orchestrator.wire.sessions import StateCount

_TenantAndSession = tuple[Annotated[str, msgspec.Meta(max_length=64)], Annotated[str, msgspec.Meta(max_length=64)]]


async def overview(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    counts = await services.sessions.count_by_state()
    replicas = await services.overview.replicas()
    answer = wire.Overview(
        at=timestamp(datetime.now(UTC)),
        tenants=await services.overview.count_tenants(),
        states=[StateCount(connection_state=state, sessions=n) for state, n in sorted(counts.items())],
        replicas=[_replica(told, services.leases.owner) for told in replicas],
    )
    return json_response(answer)


async def all_sessions(request: web.Request) -> web.Response:
    page = read_query(request, wire.ListAllSessions)
    found = await request.app[SERVICES].sessions.page_of_all(
        search=page.search,
        states=sessions_api.states(page.states),
        after=begins_after(page, _TenantAndSession),
        most=page.limit + 1,
    )
    views, next_cursor = cut(found, page, lambda view: (view.session.tenant_id, view.session.session_id))
    return json_response(wire.TenantSessions(sessions=[_shown(view) for view in views], next_cursor=next_cursor))


async def export(request: web.Request) -> web.Response:
    body = await read_json(request, wire.ExportSession)
    name = sessions_api.session_id(request)
    archive = await request.app[SERVICES].archives.sealed(request[TENANT], name, body.passphrase)
    headers = {"Content-Disposition": f'attachment; filename="{name}.archive"', "Cache-Control": "no-store"}
    return web.Response(body=archive, content_type="application/octet-stream", headers=headers)


def _shown(view: SessionView) -> wire.TenantSession:
    shown = msgspec.structs.asdict(sessions_api.shown(view))
    return wire.TenantSession(**shown, tenant_id=view.session.tenant_id, paired=view.session.paired)


def _replica(told: Told, ours: str) -> wire.Replica:
    try:
        status = None if told.status is None else msgspec.convert(told.status, wire.ReplicaStatus)
    except msgspec.ValidationError:  # of another version
        status = None
    return wire.Replica(
        replica_id=told.replica_id,
        started_at=timestamp(told.started_at),
        sessions=told.held,
        ready=told.ready,
        answers=told.replica_id == ours,
        told_at=timestamp(told.told_at) if told.told_at else None,
        status=status,
    )


_TAG = "Operator"

_REPLICA = wire.Replica(
    replica_id="0123456789abcdef0123456789abcdef",
    started_at="2026-11-26T12:00:00.000Z",
    sessions=120,
    ready=True,
    answers=True,
    told_at="2026-11-27T01:02:00.000Z",
    status=wire.ReplicaStatus(
        memory=wire.Memory(used=412_000_000, limit=1_000_000_000),
        journal_bytes=0,
        journal_limit=268_435_456,
        degraded=0,
        degraded_sessions=[],
        repaired_sessions=[],
        processes=[
            wire.Process(
                process="baileys", state="RUNNING", started_at="2026-11-26T12:00:01.000Z", detail="pid 31, uptime 13:02"
            )
        ],
    ),
)

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/overview",
        handler=overview,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="Show how the service is: sessions by state, and each replica with its memory, journal and processes.",
        gives=wire.Overview,
        example_answer=wire.Overview(
            at="2026-11-27T01:02:03.456Z",
            tenants=14,
            states=[StateCount(connection_state=ConnectionState.OPEN, sessions=120)],
            replicas=[_REPLICA],
        ),
    ),
    Operation(
        method="GET",
        path="/v1/overview/sessions",
        handler=all_sessions,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="List the sessions of all tenants, by tenant and id.",
        query=wire.ListAllSessions,
        gives=wire.TenantSessions,
        example_answer=wire.TenantSessions(
            sessions=[
                wire.TenantSession(**msgspec.structs.asdict(sessions_api.EXAMPLE), tenant_id="acme", paired=True)
            ],
            next_cursor=None,
        ),
    ),
    Operation(
        method="POST",
        path="/v1/sessions/{session_id}/export",
        handler=export,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="Give a session's auth state as an archive that is sealed with a passphrase.",
        details="It is what `sessions export` writes and `sessions import` reads. The session goes on running here; "
        "it must never run in two places.",
        takes=wire.ExportSession,
        answer_types=("application/octet-stream",),
        errors=(SessionQuarantined, NotFound),
        example=wire.ExportSession(passphrase="correct horse battery"),  # noqa: S106 (an example)
        anywhere=True,
        audited=True,
    ),
)
