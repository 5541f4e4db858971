"""Messages over HTTP."""

from typing import Annotated, Literal

import msgspec
from aiohttp import web

from orchestrator.api.bodies import json_response, read_json
from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.api.sessions import session_id
from orchestrator.domain.errors import FieldError, InvalidRequest

#: Characters of a text, in UTF-16 units.
TEXT_LIMIT = 65_536


class SendMessage(msgspec.Struct, forbid_unknown_fields=True):
    """``to`` is a phone number with country code or a jid."""

    to: str
    type: Literal["text"]
    text: Annotated[str, msgspec.Meta(min_length=1)]


async def send(request: web.Request) -> web.Response:
    body = await read_json(request, SendMessage)
    # WhatsApp counts as JavaScript does: an emoji is two.
    if len(body.text.encode("utf-16-le")) > 2 * TEXT_LIMIT:
        raise InvalidRequest(errors=[FieldError("text", f"must be at most {TEXT_LIMIT} characters")])
    messaging = request.app[SERVICES].messaging
    message_id, jid = await messaging.send_text(request[TENANT], session_id(request), body.to, body.text)
    return json_response({"message_id": message_id, "to": jid}, status=201)
