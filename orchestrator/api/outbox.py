"""The outbox over HTTP: messages that wait, bulks, and the pace of a session."""

import re
from collections.abc import Mapping
from datetime import datetime, time
from typing import Any, cast
from zoneinfo import ZoneInfo

import msgspec
from aiohttp import web

from orchestrator.api.admission import count_messages
from orchestrator.api.bodies import json_response, read_json, read_query
from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.api.operations import BODY_LIMIT, FORM, Operation
from orchestrator.api.pages import Number, begins_after, cut
from orchestrator.api.sessions import session_id
from orchestrator.domain.errors import (
    BulkNotFound,
    FieldError,
    IdempotencyKeyReused,
    InvalidRequest,
    MessageNotFound,
    NotCancellable,
    OutboxFull,
    StorageLimit,
)
from orchestrator.domain.outbox import Bulk, MessageState, OutboxMessage
from orchestrator.domain.pacing import Pacing, QuietHours, WarmUp
from orchestrator.domain.template import UnknownVariable, filled
from orchestrator.domain.tenant import Scope
from orchestrator.services.events import optional_timestamp, timestamp
from orchestrator.services.media import Upload
from orchestrator.services.outbox import Request
from orchestrator.wire import messages as messages_wire
from orchestrator.wire import outbox as wire

#: Bytes of a bulk: a thousand recipients with their variables.
BULK_LIMIT = 4 * 1024 * 1024

_KEY = re.compile(r"[!-~]{1,255}")
#: What a template has no say in.
_OUTSIDE = frozenset({"to", *messages_wire.Queueing.__struct_fields__})


def idempotency_key(request: web.Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        message = "must be 1 to 255 printable ASCII characters without spaces"
        raise InvalidRequest(errors=[FieldError("Idempotency-Key", message)])
    return key


async def is_for_outbox(request: web.Request) -> bool:
    """Whether a send is to wait in the outbox: then any replica takes it, whoever runs the session."""
    if "Idempotency-Key" in request.headers:
        return True
    # Whether a form is to wait is known when it was read; who runs the session reads it.
    if request.content_type == FORM or request.content_length is None or request.content_length > BODY_LIMIT:
        return False
    try:
        return msgspec.json.decode(await request.read() or b"{}", type=messages_wire.Queueing).waits
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, web.RequestPayloadError):
        return False  # whoever reads it in earnest says what is wrong


async def accept(request: web.Request, message: messages_wire.OutgoingMessage, upload: Upload | None) -> web.Response:
    accepted = await request.app[SERVICES].outbox.accept(
        request[TENANT],
        session_id(request),
        Request(message, idempotency_key(request), message.send_at, message.deadline, upload),
    )
    answer = messages_wire.SentMessage(
        message_id=accepted.message_id,
        to=accepted.to,
        state=MessageState.QUEUED,
        accepted_at=timestamp(accepted.accepted_at),
        send_at=timestamp(accepted.send_at),
        deadline=timestamp(accepted.deadline),
    )
    return json_response(answer, status=202)


async def index(request: web.Request) -> web.Response:
    page = read_query(request, wire.ListOutbox)
    found = await request.app[SERVICES].outbox.page(
        request[TENANT],
        session_id(request),
        before=begins_after(page, Number),
        most=page.limit + 1,
        states=() if page.state is None else (page.state,),
        bulk_id=page.bulk_id,
        to=page.to,
    )
    messages, next_cursor = cut(found, page, lambda message: message.number)
    return json_response(wire.OutboxPage(messages=[shown(message) for message in messages], next_cursor=next_cursor))


async def show(request: web.Request) -> web.Response:
    outbox = request.app[SERVICES].outbox
    return json_response(
        shown(await outbox.get(request[TENANT], session_id(request), request.match_info["message_id"]))
    )


async def cancel(request: web.Request) -> web.Response:
    outbox = request.app[SERVICES].outbox
    return json_response(
        shown(await outbox.cancel(request[TENANT], session_id(request), request.match_info["message_id"]))
    )


async def send_bulk(request: web.Request) -> web.Response:
    body = await read_json(request, wire.SendBulk)
    key = idempotency_key(request)
    count_messages(request, len(body.messages))
    if _OUTSIDE & body.template.keys():
        raise InvalidRequest(
            errors=[FieldError("template", f"must be a message without {', '.join(sorted(_OUTSIDE))}")]
        )
    requests = [
        Request(_filled(body.template, recipient, number), key, body.send_at, body.deadline)
        for number, recipient in enumerate(body.messages)
    ]
    bulk = await request.app[SERVICES].outbox.accept_bulk(request[TENANT], session_id(request), requests)
    return json_response(shown_bulk(bulk), status=202)


def _filled(template: Mapping[str, Any], recipient: wire.BulkRecipient, number: int) -> messages_wire.OutgoingMessage:
    """The message to one recipient."""
    try:
        content = filled(template, recipient.variables)
    except UnknownVariable as error:
        field = f"messages[{number}].variables.{error.args[0]}"
        raise InvalidRequest(errors=[FieldError(field, "is in the template and has no value here")]) from error
    try:
        return cast(
            messages_wire.OutgoingMessage,
            msgspec.convert({**content, "to": recipient.to}, messages_wire.OutgoingMessage),
        )
    except msgspec.ValidationError as error:
        raise InvalidRequest(errors=[FieldError("template", str(error))]) from error


async def show_bulk(request: web.Request) -> web.Response:
    outbox = request.app[SERVICES].outbox
    return json_response(
        shown_bulk(await outbox.bulk(request[TENANT], session_id(request), request.match_info["bulk_id"]))
    )


async def cancel_bulk(request: web.Request) -> web.Response:
    outbox = request.app[SERVICES].outbox
    return json_response(
        shown_bulk(await outbox.cancel_bulk(request[TENANT], session_id(request), request.match_info["bulk_id"]))
    )


async def show_pacing(request: web.Request) -> web.Response:
    outbox = request.app[SERVICES].outbox
    return json_response(_shown_pacing(await outbox.pacing(request[TENANT], session_id(request))))


async def set_pacing(request: web.Request) -> web.Response:
    body = await read_json(request, wire.Pacing)
    pacing = await request.app[SERVICES].outbox.set_pacing(request[TENANT], session_id(request), _pacing_of(body))
    return json_response(_shown_pacing(pacing))


def _pacing_of(body: wire.Pacing) -> Pacing:
    try:
        ZoneInfo(body.time_zone)
    except (ValueError, LookupError, OSError) as error:
        message = "must be the IANA name of a time zone, such as America/Sao_Paulo"
        raise InvalidRequest(errors=[FieldError("time_zone", message)]) from error
    quiet, warm_up = body.quiet_hours, body.warm_up
    return Pacing(
        applies_to=body.applies_to,
        messages_per_minute=body.messages_per_minute,
        jitter=body.jitter,
        time_zone=body.time_zone,
        quiet_hours=None
        if quiet is None
        else QuietHours(begins=_time(quiet.begins, "quiet_hours.begins"), ends=_time(quiet.ends, "quiet_hours.ends")),
        warm_up=None
        if warm_up is None
        else WarmUp(first_day=warm_up.first_day, growth=warm_up.growth, days=warm_up.days),
    )


def _time(text: str, field: str) -> time:
    try:
        return datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007 (a time of day has no zone)
    except ValueError as error:
        raise InvalidRequest(errors=[FieldError(field, "must be hh:mm")]) from error


def _shown_pacing(pacing: Pacing) -> wire.Pacing:
    quiet, warm_up = pacing.quiet_hours, pacing.warm_up
    return wire.Pacing(
        applies_to=pacing.applies_to,
        messages_per_minute=pacing.messages_per_minute,
        jitter=pacing.jitter,
        time_zone=pacing.time_zone,
        quiet_hours=None
        if quiet is None
        else wire.QuietHours(begins=f"{quiet.begins:%H:%M}", ends=f"{quiet.ends:%H:%M}"),
        warm_up=None
        if warm_up is None
        else wire.WarmUp(first_day=warm_up.first_day, growth=warm_up.growth, days=warm_up.days),
    )


def shown(message: OutboxMessage) -> wire.OutboxMessage:
    return wire.OutboxMessage(
        message_id=message.message_id,
        to=message.to,
        state=message.state,
        bulk_id=message.bulk_id,
        accepted_at=timestamp(message.accepted_at),
        send_at=timestamp(message.send_at),
        deadline=timestamp(message.deadline),
        attempts=message.attempts,
        error=message.error,
        sent_at=optional_timestamp(message.sent_at),
        delivered_at=optional_timestamp(message.delivered_at),
        read_at=optional_timestamp(message.read_at),
    )


def shown_bulk(bulk: Bulk) -> wire.Bulk:
    return wire.Bulk(
        bulk_id=bulk.bulk_id,
        total=bulk.total,
        **{state.value: bulk.states.get(state, 0) for state in MessageState},
        done=bulk.done,
        created_at=timestamp(bulk.created_at),
        cancelled_at=None if bulk.cancelled_at is None else timestamp(bulk.cancelled_at),
    )


_TAG = "Outbox"
_OUTBOX = "/v1/sessions/{session_id}/outbox"
_BULK = "/v1/sessions/{session_id}/bulk"
_PACING = "/v1/sessions/{session_id}/pacing"

_MESSAGE = wire.OutboxMessage(
    message_id="3EB0A1B2C3D4E5F6071829",
    to="5511988887777@s.whatsapp.net",
    state=MessageState.DELIVERED,
    bulk_id=None,
    accepted_at="2026-11-27T01:02:03.456Z",
    send_at="2026-11-27T01:02:03.456Z",
    deadline="2026-11-28T01:02:03.456Z",
    attempts=0,
    error=None,
    sent_at="2026-11-27T01:02:03.512Z",
    delivered_at="2026-11-27T01:02:03.801Z",
    read_at=None,
)
_SHOWN_BULK = wire.Bulk(
    bulk_id="bulk_5f0c1d2e3a4b5c6d7e8f9a0b",
    total=2,
    queued=1,
    sending=0,
    sent=0,
    delivered=1,
    read=0,
    failed=0,
    cancelled=0,
    done=False,
    created_at="2026-11-27T01:02:03.456Z",
    cancelled_at=None,
)
_SHOWN_PACING = wire.Pacing(
    time_zone="America/Sao_Paulo",
    quiet_hours=wire.QuietHours(begins="22:00", ends="08:00"),
    warm_up=wire.WarmUp(first_day=20, growth=1.5, days=10),
)

OPERATIONS = (
    Operation(
        method="GET",
        path=_OUTBOX,
        handler=index,
        scope=Scope.READ,
        tag=_TAG,
        summary="List the messages of a session's outbox, newest first.",
        query=wire.ListOutbox,
        gives=wire.OutboxPage,
        example_answer=wire.OutboxPage(messages=[_MESSAGE], next_cursor=None),
        anywhere=True,
    ),
    Operation(
        method="GET",
        path=f"{_OUTBOX}/{{message_id}}",
        handler=show,
        scope=Scope.READ,
        tag=_TAG,
        summary="Show a message of the outbox, and what became of it.",
        gives=wire.OutboxMessage,
        errors=(MessageNotFound,),
        example_answer=_MESSAGE,
        anywhere=True,
    ),
    Operation(
        method="DELETE",
        path=f"{_OUTBOX}/{{message_id}}",
        handler=cancel,
        scope=Scope.SEND,
        tag=_TAG,
        summary="Cancel a message that waits.",
        gives=wire.OutboxMessage,
        errors=(MessageNotFound, NotCancellable),
        example_answer=_MESSAGE,
        anywhere=True,
    ),
    Operation(
        method="POST",
        path=_BULK,
        handler=send_bulk,
        scope=Scope.SEND,
        tag=_TAG,
        summary="Accept one message for up to 1,000 recipients, with variables; it is sent by the session's pace.",
        details="Its messages are a lane of their own: they don't hold up other messages, and other messages don't wait for "
        "them. Progress comes as events too: bulk.progress, and bulk.finished once.",
        takes=wire.SendBulk,
        gives=wire.Bulk,
        status=202,
        headers=wire.IdempotencyKey,
        errors=(IdempotencyKeyReused, OutboxFull, StorageLimit),
        example=wire.SendBulk(
            template={"type": "text", "text": "Olá, {{name}}!"},
            messages=[wire.BulkRecipient(to="5511988887777", variables={"name": "Ana"})],
        ),
        example_answer=_SHOWN_BULK,
        body_limit=BULK_LIMIT,
        anywhere=True,
    ),
    Operation(
        method="GET",
        path=f"{_BULK}/{{bulk_id}}",
        handler=show_bulk,
        scope=Scope.READ,
        tag=_TAG,
        summary="Show how far a bulk is.",
        gives=wire.Bulk,
        errors=(BulkNotFound,),
        example_answer=_SHOWN_BULK,
        anywhere=True,
    ),
    Operation(
        method="DELETE",
        path=f"{_BULK}/{{bulk_id}}",
        handler=cancel_bulk,
        scope=Scope.SEND,
        tag=_TAG,
        summary="Cancel what still waits of a bulk.",
        gives=wire.Bulk,
        errors=(BulkNotFound,),
        example_answer=_SHOWN_BULK,
        anywhere=True,
    ),
    Operation(
        method="GET",
        path=_PACING,
        handler=show_pacing,
        scope=Scope.READ,
        tag=_TAG,
        summary="Show the pace of a session.",
        gives=wire.Pacing,
        example_answer=_SHOWN_PACING,
        anywhere=True,
    ),
    Operation(
        method="PUT",
        path=_PACING,
        handler=set_pacing,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Set the pace of a session; messages that were accepted before keep to it or not as they did.",
        takes=wire.Pacing,
        gives=wire.Pacing,
        example=_SHOWN_PACING,
        example_answer=_SHOWN_PACING,
    ),
)
