"""Messages over HTTP."""

from aiohttp import web

from orchestrator.api import outbox
from orchestrator.api.bodies import json_response, read_json
from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.api.operations import Operation
from orchestrator.api.sessions import session_id
from orchestrator.domain.errors import (
    IdempotencyKeyReused,
    OutboxFull,
    SendFailed,
    SendUnconfirmed,
    SessionNotOpen,
    SidecarGone,
    SidecarUnavailable,
)
from orchestrator.domain.tenant import Scope
from orchestrator.wire import messages as wire
from orchestrator.wire import outbox as outbox_wire


async def send(request: web.Request) -> web.Response:
    body = await read_json(request, wire.SendMessage)
    outbox.check_text(body.text, "text")
    if body.wanted or outbox.idempotency_key(request) is not None:
        return await outbox.accept(request, body)
    messaging = request.app[SERVICES].messaging
    message_id, jid = await messaging.send_text(request[TENANT], session_id(request), body.to, body.text)
    return json_response(wire.SentMessage(message_id=message_id, to=jid), status=201)


_EXAMPLE = wire.SendMessage(to="5511988887777", type="text", text="Olá!")

OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/sessions/{session_id}/messages",
        handler=send,
        scope=Scope.SEND,
        sends_message=True,
        tag="Messages",
        summary="Send a message; the answer comes once it is written to WhatsApp's socket.",
        details="With an Idempotency-Key, queue, send_at or deadline it is accepted into the outbox and answered with 202 once the "
        "database has it: it is sent, once and in the order of its chat, when the session is open.",
        takes=wire.SendMessage,
        gives=wire.SentMessage,
        status=201,
        also=(202,),
        headers=outbox_wire.IdempotencyKey,
        stays=outbox.is_for_outbox,
        errors=(
            IdempotencyKeyReused,
            OutboxFull,
            SessionNotOpen,
            SendFailed,
            SendUnconfirmed,
            SidecarUnavailable,
            SidecarGone,
        ),
        example=_EXAMPLE,
        example_answer=wire.SentMessage(message_id="3EB0A1B2C3D4E5F60718", to="5511988887777@s.whatsapp.net"),
    ),
)
