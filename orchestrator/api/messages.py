"""Messages over HTTP."""

from typing import Annotated, Literal

import msgspec
from aiohttp import web

from orchestrator.api.bodies import json_response, read_json
from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.api.sessions import session_id


class SendMessage(msgspec.Struct, forbid_unknown_fields=True):
    """``to`` is a phone number with country code or a jid; WhatsApp takes up to 65,536 characters of text."""

    to: str
    type: Literal["text"]
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=65536)]


async def send(request: web.Request) -> web.Response:
    body = await read_json(request, SendMessage)
    messaging = request.app[SERVICES].messaging
    message_id, jid = await messaging.send_text(request[TENANT], session_id(request), body.to, body.text)
    return json_response({"message_id": message_id, "to": jid}, status=201)
