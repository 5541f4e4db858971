"""Sessions over HTTP."""

import re
from typing import Any

import msgspec
from aiohttp import web

from orchestrator.api.bodies import json_response, read_json
from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.domain.errors import ConfirmationRequired, FieldError, GenerationNotFound, InvalidRequest
from orchestrator.domain.generation import AuditEntry, Generation
from orchestrator.domain.session import SESSION_ID, existing_id
from orchestrator.services.connections import Verification
from orchestrator.services.events import timestamp
from orchestrator.services.sessions import SessionView

GENERATION = re.compile(r"[1-9][0-9]{0,8}")


class CreateSession(msgspec.Struct, forbid_unknown_fields=True):
    session_id: str


class StartSession(msgspec.Struct, forbid_unknown_fields=True):
    new_pairing: bool = False


class RestoreGeneration(msgspec.Struct, forbid_unknown_fields=True):
    replace: bool = False


class NoFields(msgspec.Struct, forbid_unknown_fields=True):
    """A request that takes an empty object or no body."""


async def create(request: web.Request) -> web.Response:
    body = await read_json(request, CreateSession)
    if not SESSION_ID.fullmatch(body.session_id):
        message = 'must be 1 to 64 characters out of a-z A-Z 0-9 . _ -, and not "." or ".."'
        raise InvalidRequest(errors=[FieldError("session_id", message)])
    view = await request.app[SERVICES].sessions.create(request[TENANT], body.session_id)
    response = json_response(shown(view), status=201)
    response.headers["Location"] = f"/v1/sessions/{body.session_id}"
    return response


async def index(request: web.Request) -> web.Response:
    views = await request.app[SERVICES].sessions.list(request[TENANT])
    return json_response({"sessions": [shown(view) for view in views]})


async def show(request: web.Request) -> web.Response:
    return json_response(shown(await request.app[SERVICES].sessions.get(request[TENANT], session_id(request))))


async def start(request: web.Request) -> web.Response:
    body = await read_json(request, StartSession)
    sessions = request.app[SERVICES].sessions
    return json_response(
        shown(await sessions.start(request[TENANT], session_id(request), new_pairing=body.new_pairing))
    )


async def stop(request: web.Request) -> web.Response:
    await read_json(request, NoFields)
    return json_response(shown(await request.app[SERVICES].sessions.stop(request[TENANT], session_id(request))))


async def log_out(request: web.Request) -> web.Response:
    await read_json(request, NoFields)
    return json_response(shown(await request.app[SERVICES].sessions.log_out(request[TENANT], session_id(request))))


async def generations(request: web.Request) -> web.Response:
    kept = await request.app[SERVICES].history.generations(request[TENANT], session_id(request))
    return json_response({"generations": [_shown_generation(generation) for generation in kept]})


async def audit(request: web.Request) -> web.Response:
    entries = await request.app[SERVICES].history.audit(request[TENANT], session_id(request))
    return json_response({"audit": [_shown_entry(entry) for entry in entries]})


async def restore(request: web.Request) -> web.Response:
    body = await read_json(request, RestoreGeneration)
    name = request.match_info["generation"]
    if not GENERATION.fullmatch(name):
        raise GenerationNotFound
    services, tenant, session = request.app[SERVICES], request[TENANT], session_id(request)
    await services.history.restore(tenant, session, int(name), replace=body.replace)
    return json_response(shown(await services.sessions.get(tenant, session)))


async def delete(request: web.Request) -> web.Response:
    if request.query.get("confirm") != session_id(request):
        await request.app[SERVICES].sessions.get(
            request[TENANT], session_id(request)
        )  # what isn't there needs no confirmation
        raise ConfirmationRequired
    await request.app[SERVICES].sessions.delete(request[TENANT], session_id(request))
    return web.Response(status=204)


def session_id(request: web.Request) -> str:
    return existing_id(request.match_info["session_id"])


def shown(view: SessionView) -> dict[str, Any]:
    session = view.session
    return {
        "session_id": session.session_id,
        "desired_state": session.desired_state,
        "connection_state": session.shown_state,
        "jid": session.jid,
        "generation": session.generation,
        "epoch": session.epoch,
        "degraded": view.degraded,
        "last_open_at": timestamp(session.last_open_at) if session.last_open_at else None,
        "last_backup_at": timestamp(view.last_backup_at) if view.last_backup_at else None,
        "verification": _shown_verification(view.verification) if view.verification else None,
        "reason": session.reason,
        "created_at": timestamp(session.created_at),
    }


def _shown_generation(generation: Generation) -> dict[str, Any]:
    return {
        "generation": generation.generation,
        "current": generation.current,
        "restorable": generation.restorable,
        "jid": generation.jid,
        "created_at": timestamp(generation.created_at),
        "paired_at": timestamp(generation.paired_at) if generation.paired_at else None,
        "set_aside_at": timestamp(generation.set_aside_at) if generation.set_aside_at else None,
        "set_aside_by": generation.set_aside_by,
        "reason": generation.reason,
    }


def _shown_entry(entry: AuditEntry) -> dict[str, Any]:
    return {
        "at": timestamp(entry.at),
        "action": entry.action,
        "generation": entry.generation,
        "actor": entry.actor,
        "reason": entry.reason,
    }


def _shown_verification(verification: Verification) -> dict[str, Any]:
    return {
        "at": timestamp(verification.at),
        "keys": verification.keys,
        "repaired_keys": verification.repaired_keys,
        "repaired_creds": verification.repaired_creds,
    }
