"""The backup API for the sidecar, on a unix socket: docs/internal-api.md is its contract."""

import base64
import hmac
from typing import Annotated, Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from orchestrator.api import write_frames
from orchestrator.api.admission import bearer
from orchestrator.api.bodies import json_response, read_json
from orchestrator.api.keys import SERVICES, Services
from orchestrator.api.limits import BODY_LIMIT, VALUE_LIMIT, KeyId, KeyType, Positive
from orchestrator.api.problems import problems
from orchestrator.api.request_ids import Handler
from orchestrator.api.tracing import traced
from orchestrator.domain.auth_state import Account, AuthStateWrite, Found, LoadOutcome, ProvenAbsent
from orchestrator.domain.directory import Change, Kind
from orchestrator.domain.errors import FieldError, InvalidRequest, OrchestratorError, Unauthorized
from orchestrator.telemetry.tracing import HEADER

Value = Annotated[str, msgspec.Meta(max_length=VALUE_LIMIT)]
EntryId = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Instance(msgspec.Struct, forbid_unknown_fields=True):
    instance: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Departing(Instance, forbid_unknown_fields=True):
    closed: list[Positive] = []


class Goodbye(Instance, forbid_unknown_fields=True):
    undrained: list[Positive] = []


class Addressed(msgspec.Struct, forbid_unknown_fields=True):
    generation: Positive
    epoch: Positive


class Load(msgspec.Struct, forbid_unknown_fields=True):
    sessions: Annotated[list[tuple[Positive, Positive, Positive]], msgspec.Meta(max_length=1000)]


class ReadKeys(Addressed, forbid_unknown_fields=True):
    key_type: KeyType
    key_ids: Annotated[list[KeyId], msgspec.Meta(max_length=10_000)]


class WrittenAccount(msgspec.Struct, forbid_unknown_fields=True):
    jid: KeyId
    lid: KeyId | None = None


class Write(Addressed, forbid_unknown_fields=True):
    creds: Value | None = None
    account: WrittenAccount | None = None
    set: list[tuple[KeyType, KeyId, Value]] = []
    delete: list[tuple[KeyType, KeyId]] = []
    sent_messages: list[tuple[KeyId, Value]] = []


class Verify(Addressed, forbid_unknown_fields=True):
    creds: Digest
    keys: Annotated[list[tuple[KeyType, KeyId, Digest | None]], msgspec.Meta(max_length=10_000)]


class ReadSentMessage(Addressed, forbid_unknown_fields=True):
    message_id: KeyId


class CheckLease(msgspec.Struct, forbid_unknown_fields=True):
    epoch: Positive


class SidecarEvent(msgspec.Struct, forbid_unknown_fields=True):
    session_ref: Positive
    epoch: Positive
    type: str
    at: int
    data: dict[str, Any]


class Directory(msgspec.Struct, forbid_unknown_fields=True):
    changes: Annotated[
        list[tuple[Positive, Positive, Kind, EntryId, dict[str, Any] | None]],
        msgspec.Meta(min_length=1, max_length=1000),
    ]


class EventBatch(Instance, forbid_unknown_fields=True):
    events: list[SidecarEvent]


def internal_app(services: Services, token: str) -> web.Application:
    app = web.Application(middlewares=[traced_if_asked, problems, authenticated_by(token)], client_max_size=BODY_LIMIT)
    app[SERVICES] = services
    session = "/internal/v1/sessions/{session_ref:[0-9]{1,18}}"
    app.add_routes(
        [
            web.post("/internal/v1/sidecar/hello", hello),
            web.post("/internal/v1/sidecar/departing", departing),
            web.post("/internal/v1/sidecar/goodbye", goodbye),
            web.post("/internal/v1/events", events),
            web.post("/internal/v1/directory", learn),
            web.post("/internal/v1/auth-states/load", load),
            web.post("/internal/v1/auth-states/writes", write_frames.post),
            web.get("/internal/v1/auth-states/writes", write_frames.stream),
            web.post(f"{session}/auth-state/prefetch", prefetch),
            web.post(f"{session}/auth-state/read", read),
            web.post(f"{session}/auth-state/write", write),
            web.post(f"{session}/auth-state/verify", verify),
            web.post(f"{session}/sent-messages/read", read_sent_message),
            web.post(f"{session}/journal/recover", recover_journal),
            web.post(f"{session}/lease/check", check_lease),
        ]
    )
    write_frames.close_streams_with(app)
    return app


@web.middleware
async def traced_if_asked(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Only what belongs to a trace already: the write path has no time for more than this look."""
    return await traced(request, handler) if HEADER in request.headers else await handler(request)


def authenticated_by(token: str) -> Middleware:
    expected = token.encode()

    @web.middleware
    async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = (bearer(request) or "").encode(errors="surrogateescape")
        if not hmac.compare_digest(given, expected):
            raise Unauthorized
        # Until the leases of an earlier orchestrator are taken up, "lease_lost" would be a lie.
        request.app[SERVICES].readiness.require_started()
        return await handler(request)

    return authenticated


async def hello(request: web.Request) -> web.Response:
    request.app[SERVICES].supervision.hello((await read_json(request, Instance)).instance)
    return json_response({})


async def departing(request: web.Request) -> web.Response:
    body = await read_json(request, Departing)
    await request.app[SERVICES].supervision.departing(body.instance, body.closed)
    return json_response({})


async def goodbye(request: web.Request) -> web.Response:
    body = await read_json(request, Goodbye)
    await request.app[SERVICES].supervision.goodbye(body.instance, body.undrained)
    return json_response({})


async def events(request: web.Request) -> web.Response:
    """Taken once they are handled, and the receipts among them recorded: many in one transaction."""
    batch = (await read_json(request, EventBatch)).events
    await _handle(request, batch)
    leases = request.app[SERVICES].leases
    receipts = [
        (lease, event.data)
        for event in batch
        if event.type == "message.receipt" and (lease := leases.held.get(event.session_ref)) is not None
    ]
    if receipts:
        await request.app[SERVICES].outbox_sender.take_receipts(receipts)
    return json_response({})


async def _handle(request: web.Request, batch: list[SidecarEvent]) -> None:
    for event in batch:
        try:
            await request.app[SERVICES].sidecar_events.handle(event.session_ref, event.epoch, event.type, event.data)
        except (KeyError, ValueError, TypeError) as error:
            message = f"of type {event.type} lacks or has a wrong {error}"
            raise InvalidRequest(errors=[FieldError("events", message)]) from error


async def learn(request: web.Request) -> web.Response:
    body = await read_json(request, Directory)
    try:
        await request.app[SERVICES].directory.learn([Change(*change) for change in body.changes])
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        message = f"have a field of the wrong kind: {error}"
        raise InvalidRequest(errors=[FieldError("changes", message)]) from error
    return json_response({})


async def load(request: web.Request) -> web.Response:
    body = await read_json(request, Load)
    outcomes = await request.app[SERVICES].backups.load(body.sessions)
    return json_response({"sessions": [_load_outcome(outcome) for outcome in outcomes]})


def _load_outcome(outcome: LoadOutcome | OrchestratorError) -> dict[str, object]:
    match outcome:
        case Found(creds, Account(jid, lid)):
            return {"outcome": "found", "creds": creds, "account": {"jid": jid, "lid": lid}}
        case ProvenAbsent():
            return {"outcome": "absent"}
        case error:
            return {"outcome": "error", "code": error.code, "detail": error.message}


async def prefetch(request: web.Request) -> web.Response:
    body = await read_json(request, Addressed)
    prefetched = await request.app[SERVICES].backups.prefetch(_session_ref(request), body.generation, body.epoch)
    keys = [(key_type, key_id, value) for (key_type, key_id), value in prefetched.keys.items()]
    return json_response({"keys": keys, "complete": prefetched.complete})


async def read(request: web.Request) -> web.Response:
    body = await read_json(request, ReadKeys)
    names = [(body.key_type, key_id) for key_id in body.key_ids]
    values = await request.app[SERVICES].backups.read(_session_ref(request), body.generation, body.epoch, names)
    return json_response({"values": {key_id: value for (_, key_id), value in values.items()}})


async def write(request: web.Request) -> web.Response:
    body = await read_json(request, Write)
    changes = AuthStateWrite(
        creds=None if body.creds is None else body.creds.encode(),
        account=Account(body.account.jid, body.account.lid) if body.account else None,
        set_keys={(key_type, key_id): value.encode() for key_type, key_id, value in body.set},
        delete_keys=frozenset(body.delete),
        sent_messages=_decoded(body.sent_messages),
    )
    write = (_session_ref(request), body.generation, body.epoch, changes)
    (error,) = await request.app[SERVICES].backups.write([write])
    if error is not None:
        raise error
    return json_response({"committed": True})


async def verify(request: web.Request) -> web.Response:
    body = await read_json(request, Verify)
    digests = {(key_type, key_id): digest for key_type, key_id, digest in body.keys}
    backups = request.app[SERVICES].backups
    creds, keys = await backups.verify(_session_ref(request), body.generation, body.epoch, body.creds, digests)
    return json_response({"creds": creds, "keys": keys})


async def read_sent_message(request: web.Request) -> web.Response:
    body = await read_json(request, ReadSentMessage)
    backups = request.app[SERVICES].backups
    message = await backups.sent_message(_session_ref(request), body.generation, body.epoch, body.message_id)
    return json_response({"message": None if message is None else base64.b64encode(message).decode()})


async def recover_journal(request: web.Request) -> web.Response:
    body = await read_json(request, Addressed)
    lease = await request.app[SERVICES].leases.recover(_session_ref(request), body.generation, body.epoch)
    return json_response({"epoch": None if lease is None else lease.epoch})


async def check_lease(request: web.Request) -> web.Response:
    body = await read_json(request, CheckLease)
    return json_response({"held": await request.app[SERVICES].supervision.holds(_session_ref(request), body.epoch)})


def _session_ref(request: web.Request) -> int:
    return int(request.match_info["session_ref"])


def _decoded(messages: list[tuple[str, str]]) -> dict[str, bytes]:
    try:
        return {message_id: base64.b64decode(message, validate=True) for message_id, message in messages}
    except ValueError as error:
        raise InvalidRequest(errors=[FieldError("sent_messages", "must be base64")]) from error
