"""The API of the system before this one, so that its sidecars can go on posting whole folders unchanged.

Its answers are ``{"success": true, ...}`` and ``{"success": false, "error": "..."}``, with the status that the public API
would have. See docs/moving.md.
"""

import asyncio

import msgspec
from aiohttp import web

from orchestrator.api.bodies import json_response, read_json, read_query
from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.api.operations import Operation
from orchestrator.api.problems import status_of
from orchestrator.api.request_ids import Handler
from orchestrator.domain.errors import (
    AuthStateRefused,
    BodyTooLarge,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    OrchestratorError,
    Overloaded,
    PaymentRequired,
    SessionLimit,
    SessionNotFound,
    SessionRunning,
    StorageLimit,
)
from orchestrator.domain.session import SESSION_ID, ConnectionState, Session
from orchestrator.domain.tenant import Scope
from orchestrator.services.events import timestamp
from orchestrator.services.posted_folders import Folder, Form
from orchestrator.transfer.multi_file import CREDS_FILE
from orchestrator.wire import seed as wire

PREFIX = "/api/session/"

#: Bytes of a posted folder.
BODY_LIMIT = 64 * 1024 * 1024


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
    except web.HTTPMethodNotAllowed as error:
        return _failure(MethodNotAllowed(), Allow=", ".join(sorted(error.allowed_methods)))
    except OrchestratorError as error:
        return _failure(error)


def api_key(request: web.Request) -> str | None:
    """The token as old programs send it, beside ``Authorization: Bearer``."""
    return request.headers.get("X-API-Key") if request.path.startswith(PREFIX) else None


async def backup(request: web.Request) -> web.Response:
    body = await read_json(request, wire.PostedFolder)
    session_id = _required_id(body.session_id)
    folder = await asyncio.to_thread(_folder, body.session_data)
    changes = await request.app[SERVICES].posted_folders.keep(request[TENANT], session_id, folder)
    return json_response(wire.KeptFolder(session_id=session_id, written=changes.written, removed=changes.removed))


async def restore(request: web.Request) -> web.Response:
    session_id = _required_id(read_query(request, wire.NamedFolder).session_id)
    folder = await request.app[SERVICES].posted_folders.give(request[TENANT], session_id)
    contents = await asyncio.to_thread(_contents, folder)
    return json_response(wire.GivenFolder(session_id=session_id, session_data=contents))


async def delete(request: web.Request) -> web.Response:
    session_id = _required_id(read_query(request, wire.NamedFolder).session_id)
    await request.app[SERVICES].posted_folders.set_aside(request[TENANT], session_id)
    return json_response(wire.FolderSetAside(session_id=session_id))


async def status(request: web.Request) -> web.Response:
    session_id = read_query(request, wire.LookedFor).session_id
    sessions = await request.app[SERVICES].posted_folders.known(request[TENANT], session_id)
    return json_response(wire.KnownFolders(sessions=[_shown(session) for session in sessions]))


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


def _shown(session: Session) -> wire.KnownFolder:
    return wire.KnownFolder(
        session_id=session.session_id,
        connection_state=session.shown_state,
        paired=session.paired,
        jid=session.jid,
        last_backup_at=timestamp(session.last_backup_at) if session.last_backup_at else None,
    )


def _failure(error: OrchestratorError, **headers: str) -> web.Response:
    response = json_response(wire.Failure(error=error.message), status=status_of(type(error)).value)
    response.headers.update(headers)
    return response


_TAG = "The old API"

_CONTENTS = {CREDS_FILE: msgspec.Raw(b'"{...}"')}

OPERATIONS = (
    Operation(
        method="POST",
        path=f"{PREFIX}backup",
        handler=backup,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Make what is stored of a session equal to a folder of Baileys' files.",
        takes=wire.PostedFolder,
        gives=wire.KeptFolder,
        errors=(AuthStateRefused, SessionRunning, PaymentRequired, SessionLimit, StorageLimit, Overloaded),
        example=wire.PostedFolder(session_id="loja-1", session_data=_CONTENTS),
        example_answer=wire.KeptFolder(session_id="loja-1", written=871, removed=0),
        body_limit=BODY_LIMIT,
        nul=True,
        failure=wire.Failure,
    ),
    Operation(
        method="GET",
        path=f"{PREFIX}restore",
        handler=restore,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Give the folder that was posted last.",
        query=wire.NamedFolder,
        gives=wire.GivenFolder,
        errors=(InvalidRequest, SessionNotFound, SessionRunning),
        example_answer=wire.GivenFolder(session_id="loja-1", session_data=_CONTENTS),
        failure=wire.Failure,
    ),
    Operation(
        method="DELETE",
        path=f"{PREFIX}delete",
        handler=delete,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Set the pairing aside; nothing is deleted.",
        query=wire.NamedFolder,
        gives=wire.FolderSetAside,
        errors=(InvalidRequest, SessionNotFound, SessionRunning),
        example_answer=wire.FolderSetAside(session_id="loja-1"),
        failure=wire.Failure,
    ),
    Operation(
        method="GET",
        path=f"{PREFIX}status",
        handler=status,
        scope=Scope.READ,
        tag=_TAG,
        summary="List all sessions, or one.",
        query=wire.LookedFor,
        gives=wire.KnownFolders,
        example_answer=wire.KnownFolders(
            sessions=[
                wire.KnownFolder(
                    session_id="loja-1",
                    connection_state=ConnectionState.STOPPED,
                    paired=True,
                    jid="5511999990000:7@s.whatsapp.net",
                    last_backup_at="2026-11-27T01:05:00.123Z",
                )
            ]
        ),
        failure=wire.Failure,
    ),
)
