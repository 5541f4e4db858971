"""Sessions over HTTP."""

import re

from aiohttp import web

from orchestrator.api.bodies import json_response, read_json, read_query
from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.api.operations import Operation
from orchestrator.api.pages import Name, Number, begins_after, cut
from orchestrator.domain.errors import (
    ConfirmationRequired,
    FieldError,
    GenerationInUse,
    GenerationNotFound,
    GenerationNotPaired,
    InvalidRequest,
    JournalUndrained,
    PaymentRequired,
    SessionExists,
    SessionLimit,
    SessionNotOpen,
    SessionQuarantined,
    SidecarGone,
    SidecarUnavailable,
    StorageLimit,
)
from orchestrator.domain.generation import AuditEntry, Generation
from orchestrator.domain.session import SESSION_ID, ConnectionState, DesiredState, SetAsideBy, existing_id
from orchestrator.domain.tenant import Scope
from orchestrator.services.connections import Verification
from orchestrator.services.events import timestamp
from orchestrator.services.sessions import SessionView
from orchestrator.wire import sessions as wire
from orchestrator.wire.pages import Page
from orchestrator.wire.shape import NoFields

GENERATION = re.compile(r"[1-9][0-9]{0,8}")


async def create(request: web.Request) -> web.Response:
    body = await read_json(request, wire.CreateSession)
    if not SESSION_ID.fullmatch(body.session_id):
        message = 'must be 1 to 64 characters out of a-z A-Z 0-9 . _ -, and not "." or ".."'
        raise InvalidRequest(errors=[FieldError("session_id", message)])
    view = await request.app[SERVICES].sessions.create(request[TENANT], body.session_id)
    response = json_response(shown(view), status=201)
    response.headers["Location"] = f"/v1/sessions/{body.session_id}"
    return response


async def index(request: web.Request) -> web.Response:
    page = read_query(request, wire.ListSessions)
    found = await request.app[SERVICES].sessions.page(
        request[TENANT],
        after=begins_after(page, Name),
        most=page.limit + 1,
        search=page.search,
        states=states(page.states),
    )
    views, next_cursor = cut(found, page, lambda view: view.session.session_id)
    return json_response(wire.Sessions(sessions=[shown(view) for view in views], next_cursor=next_cursor))


async def show(request: web.Request) -> web.Response:
    return json_response(shown(await request.app[SERVICES].sessions.get(request[TENANT], session_id(request))))


async def start(request: web.Request) -> web.Response:
    body = await read_json(request, wire.StartSession)
    sessions = request.app[SERVICES].sessions
    return json_response(
        shown(
            await sessions.start(
                request[TENANT], session_id(request), new_pairing=body.new_pairing, replace=body.replace
            )
        )
    )


async def stop(request: web.Request) -> web.Response:
    await read_json(request, NoFields)
    return json_response(shown(await request.app[SERVICES].sessions.stop(request[TENANT], session_id(request))))


async def restart(request: web.Request) -> web.Response:
    await read_json(request, NoFields)
    return json_response(shown(await request.app[SERVICES].sessions.restart(request[TENANT], session_id(request))))


async def log_out(request: web.Request) -> web.Response:
    await read_json(request, NoFields)
    return json_response(shown(await request.app[SERVICES].sessions.log_out(request[TENANT], session_id(request))))


async def generations(request: web.Request) -> web.Response:
    page = read_query(request, Page)
    found = await request.app[SERVICES].history.generations(
        request[TENANT], session_id(request), before=begins_after(page, Number), most=page.limit + 1
    )
    kept, next_cursor = cut(found, page, lambda generation: generation.generation)
    return json_response(
        wire.Generations(generations=[_shown_generation(generation) for generation in kept], next_cursor=next_cursor)
    )


async def audit(request: web.Request) -> web.Response:
    page = read_query(request, Page)
    found = await request.app[SERVICES].history.audit(
        request[TENANT], session_id(request), before=begins_after(page, Number), most=page.limit + 1
    )
    entries, next_cursor = cut(found, page, lambda entry: entry.number)
    return json_response(wire.SessionAudit(audit=[_shown_entry(entry) for entry in entries], next_cursor=next_cursor))


async def restore(request: web.Request) -> web.Response:
    body = await read_json(request, wire.RestoreGeneration)
    name = request.match_info["generation"]
    if not GENERATION.fullmatch(name):
        raise GenerationNotFound
    services, tenant, session = request.app[SERVICES], request[TENANT], session_id(request)
    await services.history.restore(tenant, session, int(name), replace=body.replace)
    return json_response(shown(await services.sessions.get(tenant, session)))


async def delete(request: web.Request) -> web.Response:
    if read_query(request, wire.DeleteSession).confirm != session_id(request):
        await request.app[SERVICES].sessions.get(
            request[TENANT], session_id(request)
        )  # what isn't there needs no confirmation
        raise ConfirmationRequired
    await request.app[SERVICES].sessions.delete(request[TENANT], session_id(request))
    return web.Response(status=204)


def states(text: str) -> list[ConnectionState]:
    """Connection states as a query names them; ``InvalidRequest``."""
    try:
        return [ConnectionState(word.strip()) for word in text.split(",") if word.strip()]
    except ValueError as error:
        message = f"must be out of {', '.join(ConnectionState)}"
        raise InvalidRequest(errors=[FieldError("states", message)]) from error


def session_id(request: web.Request) -> str:
    return existing_id(request.match_info["session_id"])


def shown(view: SessionView) -> wire.Session:
    session = view.session
    return wire.Session(
        session_id=session.session_id,
        desired_state=session.desired_state,
        connection_state=session.shown_state,
        jid=session.jid,
        generation=session.generation,
        epoch=session.epoch,
        degraded=view.degraded,
        last_open_at=timestamp(session.last_open_at) if session.last_open_at else None,
        last_backup_at=timestamp(view.last_backup_at) if view.last_backup_at else None,
        verification=_shown_verification(view.verification) if view.verification else None,
        reason=session.shown_reason,
        pairing_failure=session.pairing_failure,
        created_at=timestamp(session.created_at),
    )


def _shown_generation(generation: Generation) -> wire.Generation:
    return wire.Generation(
        generation=generation.generation,
        current=generation.current,
        restorable=generation.restorable,
        jid=generation.jid,
        created_at=timestamp(generation.created_at),
        paired_at=timestamp(generation.paired_at) if generation.paired_at else None,
        set_aside_at=timestamp(generation.set_aside_at) if generation.set_aside_at else None,
        set_aside_by=generation.set_aside_by,
        reason=generation.reason,
    )


def _shown_entry(entry: AuditEntry) -> wire.SessionAuditEntry:
    return wire.SessionAuditEntry(
        at=timestamp(entry.at),
        action=entry.action,
        generation=entry.generation,
        actor=entry.actor,
        reason=entry.reason,
    )


def _shown_verification(verification: Verification) -> wire.Verification:
    return wire.Verification(
        at=timestamp(verification.at),
        keys=verification.keys,
        repaired_keys=verification.repaired_keys,
        repaired_creds=verification.repaired_creds,
    )


_SESSION = "/v1/sessions/{session_id}"
_TAG = "Sessions"
_CLOSING = (SidecarUnavailable, SidecarGone, JournalUndrained)

EXAMPLE = wire.Session(
    session_id="loja-1",
    desired_state=DesiredState.RUNNING,
    connection_state=ConnectionState.OPEN,
    jid="5511999990000:7@s.whatsapp.net",
    generation=1,
    epoch=3,
    degraded=False,
    last_open_at="2026-11-27T01:02:03.456Z",
    last_backup_at="2026-11-27T01:05:00.123Z",
    verification=wire.Verification(at="2026-11-27T01:04:00.000Z", keys=871, repaired_keys=0, repaired_creds=0),
    reason=None,
    pairing_failure=None,
    created_at="2026-11-26T12:00:00.000Z",
)

_SHOWN_GENERATION = wire.Generation(
    generation=1,
    current=False,
    restorable=True,
    jid="5511999990000:6@s.whatsapp.net",
    created_at="2026-11-20T12:00:00.000Z",
    paired_at="2026-11-20T12:01:00.000Z",
    set_aside_at="2026-11-26T12:00:00.000Z",
    set_aside_by=SetAsideBy.WHATSAPP,
    reason="The device was removed on the phone.",
)

_SHOWN_ENTRY = wire.SessionAuditEntry(
    at="2026-11-26T12:00:00.000Z",
    action="set_aside",
    generation=1,
    actor="whatsapp",
    reason="The device was removed on the phone.",
)

OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/sessions",
        handler=create,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Create a session, which starts at once and waits for its pairing.",
        takes=wire.CreateSession,
        gives=wire.Session,
        status=201,
        errors=(SessionExists, PaymentRequired, SessionLimit, StorageLimit),
        example=wire.CreateSession(session_id="loja-1"),
        example_answer=EXAMPLE,
    ),
    Operation(
        method="GET",
        path="/v1/sessions",
        handler=index,
        scope=Scope.READ,
        tag=_TAG,
        summary="List the sessions, by id.",
        query=wire.ListSessions,
        gives=wire.Sessions,
        example_answer=wire.Sessions(sessions=[EXAMPLE], next_cursor=None),
    ),
    Operation(
        method="GET",
        path=_SESSION,
        handler=show,
        scope=Scope.READ,
        tag=_TAG,
        summary="Show a session.",
        gives=wire.Session,
        example_answer=EXAMPLE,
    ),
    Operation(
        method="POST",
        path=f"{_SESSION}/start",
        handler=start,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Have a session run from now on, over restarts too.",
        details="One whose pairing is set aside needs new_pairing, unless it was logged out by request. "
        "One whose stored state could not be opened is tried again: nothing is paired.",
        takes=wire.StartSession,
        gives=wire.Session,
        errors=(SessionQuarantined, GenerationInUse, PaymentRequired, *_CLOSING),
        example=wire.StartSession(),
        example_answer=EXAMPLE,
    ),
    Operation(
        method="POST",
        path=f"{_SESSION}/stop",
        handler=stop,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Close a session's connection and keep it closed; the pairing stays, a start needs no QR code.",
        takes=NoFields,
        gives=wire.Session,
        errors=_CLOSING,
        example=NoFields(),
        example_answer=EXAMPLE,
    ),
    Operation(
        method="POST",
        path=f"{_SESSION}/restart",
        handler=restart,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Have a session run, with a new connection if it has one.",
        takes=NoFields,
        gives=wire.Session,
        errors=(SessionQuarantined, *_CLOSING),
        example=NoFields(),
        example_answer=EXAMPLE,
    ),
    Operation(
        method="POST",
        path=f"{_SESSION}/logout",
        handler=log_out,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Have WhatsApp remove the device, and set the pairing aside.",
        takes=NoFields,
        gives=wire.Session,
        errors=(SessionNotOpen, *_CLOSING),
        example=NoFields(),
        example_answer=EXAMPLE,
    ),
    Operation(
        method="DELETE",
        path=_SESSION,
        handler=delete,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Close a session and hide it; a restore brings it back as long as its pairing is kept.",
        details="The device stays linked on the phone: log out first to remove it there.",
        query=wire.DeleteSession,
        status=204,
        errors=(ConfirmationRequired, *_CLOSING),
    ),
    Operation(
        method="GET",
        path=f"{_SESSION}/generations",
        handler=generations,
        scope=Scope.READ,
        tag=_TAG,
        summary="List a session's pairings, newest first; of a deleted session too.",
        query=Page,
        gives=wire.Generations,
        example_answer=wire.Generations(generations=[_SHOWN_GENERATION], next_cursor=None),
        anywhere=True,
    ),
    Operation(
        method="POST",
        path=f"{_SESSION}/generations/{{generation}}/restore",
        handler=restore,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Have a session run with an earlier pairing again: one that was quarantined, replaced, logged out or deleted.",
        takes=wire.RestoreGeneration,
        gives=wire.Session,
        errors=(
            GenerationNotFound,
            GenerationInUse,
            GenerationNotPaired,
            SessionExists,
            PaymentRequired,
            SessionLimit,
            StorageLimit,
        ),
        example=wire.RestoreGeneration(replace=True),
        example_answer=EXAMPLE,
    ),
    Operation(
        method="GET",
        path=f"{_SESSION}/audit",
        handler=audit,
        scope=Scope.READ,
        tag=_TAG,
        summary="List what happened to a session's pairings, newest first.",
        query=Page,
        gives=wire.SessionAudit,
        example_answer=wire.SessionAudit(audit=[_SHOWN_ENTRY], next_cursor=None),
        anywhere=True,
    ),
)
