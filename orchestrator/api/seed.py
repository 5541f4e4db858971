"""The API of the system before this one, so that its sidecars can go on posting whole folders unchanged.

Its answers are ``{"success": true, ...}`` and ``{"success": false, "error": "..."}``, with the status that the public API
would have. See docs/moving.md.
"""

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from orchestrator.api.bodies import json_response, read_json
from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.api.problems import Handler, status_of
from orchestrator.domain.errors import BodyTooLarge, InvalidRequest, MethodNotAllowed, NotFound, OrchestratorError
from orchestrator.domain.session import SESSION_ID, Session
from orchestrator.services.events import timestamp
from orchestrator.services.posted_folders import Folder, Form
from orchestrator.transfer.multi_file import CREDS_FILE

PREFIX = "/api/session/"

#: Bytes of a posted folder.
BODY_LIMIT = 64 * 1024 * 1024


class PostedBackup(msgspec.Struct):
    """``session_data`` has the content of each file by name: its text, or the object that the text is JSON of."""

    session_id: str
    session_data: dict[str, msgspec.Raw]


@web.middleware
async def plain_answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer errors of this API in its own way; those of every other address pass."""
    if not request.path.startswith(PREFIX):
        return await handler(request)
    try:
        return await handler(request)
    except web.HTTPRequestEntityTooLarge:
        return _failure(BodyTooLarge())
    except web.HTTPNotFound:
        return _failure(NotFound())
    except web.HTTPMethodNotAllowed:
        return _failure(MethodNotAllowed())
    except OrchestratorError as error:
        return _failure(error)


def api_key(request: web.Request) -> str | None:
    """The token as old programs send it, beside ``Authorization: Bearer``."""
    return request.headers.get("X-API-Key") if request.path.startswith(PREFIX) else None


async def backup(request: web.Request) -> web.Response:
    body = await read_json(request.clone(client_max_size=BODY_LIMIT), PostedBackup)
    session_id = _required_id(body.session_id)
    folder = await asyncio.to_thread(_folder, body.session_data)
    changes = await request.app[SERVICES].posted_folders.keep(request[TENANT], session_id, folder)
    return json_response(
        {"success": True, "session_id": session_id, "written": changes.written, "removed": changes.removed}
    )


async def restore(request: web.Request) -> web.Response:
    session_id = _required_id(request.query.get("session_id"))
    folder = await request.app[SERVICES].posted_folders.give(request[TENANT], session_id)
    contents = await asyncio.to_thread(_contents, folder)
    return json_response({"success": True, "session_id": session_id, "session_data": contents})


async def delete(request: web.Request) -> web.Response:
    session_id = _required_id(request.query.get("session_id"))
    await request.app[SERVICES].posted_folders.set_aside(request[TENANT], session_id)
    return json_response({"success": True, "session_id": session_id})


async def status(request: web.Request) -> web.Response:
    session_id = request.query.get("session_id")
    sessions = await request.app[SERVICES].posted_folders.known(request[TENANT], session_id)
    return json_response({"success": True, "sessions": [_shown(session) for session in sessions]})


def _folder(session_data: dict[str, msgspec.Raw]) -> Folder:
    """What was posted. The creds tell the form, because they are never a string; a parsed LID mapping is one."""
    if not bytes(session_data.get(CREDS_FILE, b"")).lstrip().startswith(b'"'):
        return Folder({name: bytes(content) for name, content in session_data.items()}, Form.OBJECT)
    try:
        texts = {name: msgspec.json.decode(content, type=str) for name, content in session_data.items()}
        return Folder({name: text.encode() for name, text in texts.items()}, Form.TEXT)
    except (msgspec.ValidationError, UnicodeError) as error:
        raise InvalidRequest(f"session_data has {CREDS_FILE} as a text, so all contents must be texts.") from error


def _contents(folder: Folder) -> dict[str, msgspec.Raw]:
    """As they were posted. Encoded one by one, so that a large folder holds nobody up."""
    if folder.form is Form.OBJECT:
        return {name: msgspec.Raw(text) for name, text in folder.files.items()}
    return {name: msgspec.Raw(msgspec.json.encode(text.decode())) for name, text in folder.files.items()}


def _required_id(session_id: str | None) -> str:
    if session_id is None or not SESSION_ID.fullmatch(session_id):
        raise InvalidRequest("session_id must be 1 to 64 characters out of a-z A-Z 0-9 . _ -")
    return session_id


def _shown(session: Session) -> dict[str, Any]:
    return {
        "session_id": session.session_id,
        "connection_state": session.shown_state,
        "paired": session.paired,
        "jid": session.jid,
        "last_backup_at": timestamp(session.last_backup_at) if session.last_backup_at else None,
    }


def _failure(error: OrchestratorError) -> web.Response:
    return json_response({"success": False, "error": error.message}, status=status_of(error).value)
