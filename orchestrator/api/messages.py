"""Messages over HTTP."""

from aiohttp import web

from orchestrator.api.bodies import json_response, read_json
from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.api.operations import Operation
from orchestrator.api.sessions import session_id
from orchestrator.domain.errors import (
    FieldError,
    InvalidRequest,
    SendFailed,
    SendUnconfirmed,
    SessionNotOpen,
    SidecarGone,
    SidecarUnavailable,
)
from orchestrator.domain.tenant import Scope
from orchestrator.wire import messages as wire

#: Characters of a text, in UTF-16 units.
TEXT_LIMIT = 65_536


async def send(request: web.Request) -> web.Response:
    body = await read_json(request, wire.SendMessage)
    # WhatsApp counts as JavaScript does: an emoji is two.
    if len(body.text.encode("utf-16-le")) > 2 * TEXT_LIMIT:
        raise InvalidRequest(errors=[FieldError("text", f"must be at most {TEXT_LIMIT} characters")])
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
        takes=wire.SendMessage,
        gives=wire.SentMessage,
        status=201,
        errors=(SessionNotOpen, SendFailed, SendUnconfirmed, SidecarUnavailable, SidecarGone),
        example=_EXAMPLE,
        example_answer=wire.SentMessage(message_id="3EB0A1B2C3D4E5F60718", to="5511988887777@s.whatsapp.net"),
    ),
)
