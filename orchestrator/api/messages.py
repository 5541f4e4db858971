"""Messages over HTTP: what is sent, and the files of what came."""

import re
from collections.abc import AsyncIterator
from urllib.parse import quote

import aiohttp
from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from orchestrator.api import outbox
from orchestrator.api.asking import channel_jid, chat_jid, in_path
from orchestrator.api.bodies import from_json, json_response, read_json, read_query
from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.api.operations import BODY_LIMIT, FORM, JSON, Operation
from orchestrator.api.pages import Number, begins_after, cut
from orchestrator.api.sessions import session_id
from orchestrator.domain.errors import (
    BodyTooLarge,
    ChatsNotKept,
    FieldError,
    IdempotencyKeyReused,
    InvalidRequest,
    MalformedJson,
    MediaAddressForbidden,
    MediaExpired,
    MediaHostUnreachable,
    MediaNotFound,
    MediaTooLarge,
    MediaTypeRefused,
    MediaUnreachable,
    MessageAmbiguous,
    MessageNotForwardable,
    MessageNotFound,
    NotOnWhatsapp,
    OutboxFull,
    SendFailed,
    SendUnconfirmed,
    SessionNotOpen,
    SidecarGone,
    SidecarUnavailable,
    StorageLimit,
)
from orchestrator.domain.recipient import is_channel
from orchestrator.domain.session import existing_id
from orchestrator.domain.tenant import Scope
from orchestrator.services.events import timestamp
from orchestrator.services.media import Upload
from orchestrator.wire import messages as wire
from orchestrator.wire import outbox as outbox_wire
from orchestrator.wire.pages import Page

#: A file in base64 is a third larger: 18 MiB of it. Larger ones come by URL or as a part of a form.
_MESSAGE_LIMIT = 24 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024
#: A fetch of 60 s, an upload to WhatsApp's media host and a send.
_LONGEST_SECONDS = 330.0
_BROKEN_FORM = (ValueError, aiohttp.ClientPayloadError, web.RequestPayloadError, HttpProcessingError)
_SAFE_TYPE = re.compile(r"[a-zA-Z0-9][\w.+-]{0,80}/[a-zA-Z0-9][\w.+-]{0,80}(; ?[\x20-\x7e]{1,80})?", re.ASCII)


async def send(request: web.Request) -> web.Response:
    message: wire.OutgoingMessage
    if request.content_type == FORM:
        message, upload = await _form(request)
    else:
        message, upload = await read_json(request, wire.OutgoingMessage), None
    if message.waits or outbox.idempotency_key(request) is not None:
        return await outbox.accept(request, message, upload)
    messaging = request.app[SERVICES].messaging
    sent = await messaging.send(request[TENANT], session_id(request), message, upload=upload)
    return json_response(wire.SentMessage(message_id=sent.message_id, to=sent.to), status=201)


async def media(request: web.Request) -> web.StreamResponse:
    query = read_query(request, wire.FindMessage)
    messaging = request.app[SERVICES].messaging
    message_id = request.match_info["message_id"]
    if "\x00" in message_id:
        raise MessageNotFound
    async with messaging.media(request[TENANT], session_id(request), message_id, query.chat, query.sender) as stream:
        # Whoever sent it chose what is in it: a browser must save it, not show it as a page of this address.
        response = web.StreamResponse(
            headers={
                "Content-Type": stream.mimetype
                if _SAFE_TYPE.fullmatch(stream.mimetype)
                else "application/octet-stream",
                "Content-Disposition": f"attachment; filename*=UTF-8''{quote(message_id, safe='')}",
                "Content-Security-Policy": "sandbox; default-src 'none'",
                "X-Content-Type-Options": "nosniff",
                "Cache-Control": "private, no-store",
            }
        )
        await response.prepare(request)
        try:
            async for chunk in stream.chunks:
                await response.write(chunk)
        except (aiohttp.ClientError, TimeoutError) as error:
            # The part must not be taken for the whole, and it is too late for a problem document.
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError from error
        await response.write_eof()
        return response


async def of_chat(request: web.Request) -> web.Response:
    page = read_query(request, Page)
    chat = _kept_chat(in_path(request, "chat"))
    name = existing_id(in_path(request, "session_id"))
    before = begins_after(page, Number)
    history = request.app[SERVICES].chat_history
    found = await history.messages(request[TENANT], name, chat, before=before, most=page.limit + 1)
    kept, next_cursor = cut(found, page, lambda message: message.number)
    messages = [{**message.data, "received_at": timestamp(message.received_at)} for message in kept]
    return json_response(wire.ChatMessages(messages=messages, next_cursor=next_cursor))


def _kept_chat(text: str) -> str:
    """What messages come from: status posts and channels too."""
    if text == wire.STATUS:
        return text
    return channel_jid(text, "chat") if is_channel(text) else chat_jid(text, "chat")


async def _form(request: web.Request) -> tuple[wire.OutgoingMessage, Upload]:
    """A form with the message as its first part, and the file, which is read while it is sent on, as its second."""
    try:
        reader = await request.multipart()
        part = await reader.next()
        if not isinstance(part, BodyPartReader) or part.name != "message":
            raise InvalidRequest(errors=[FieldError("message", "must be the first part of the form")])
        text = bytearray()
        while chunk := await part.read_chunk(_CHUNK_BYTES):
            text += chunk
            if len(text) > BODY_LIMIT:
                raise BodyTooLarge
        message = from_json(bytes(text), wire.OutgoingMessage)
        part = await reader.next()
    except _BROKEN_FORM as error:
        raise _unreadable() from error
    if not isinstance(part, BodyPartReader) or part.name != "file":
        raise InvalidRequest(errors=[FieldError("file", "must be the second part of the form")])
    return message, Upload(_chunks(part), part.headers.get("Content-Type"), part.filename)


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    try:
        while chunk := await part.read_chunk(_CHUNK_BYTES):
            yield bytes(chunk)
    except _BROKEN_FORM as error:
        raise _unreadable() from error


def _unreadable() -> MalformedJson:
    return MalformedJson("The form can't be read: it breaks off, or its parts aren't those of multipart/form-data.")


OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/sessions/{session_id}/messages",
        handler=send,
        scope=Scope.SEND,
        sends_message=True,
        tag="Messages",
        summary="Send a message; the answer comes once it is written to WhatsApp's socket.",
        details="A file comes by `media.url`, in base64 as `media.data`, or in a form: the part `message` is this body, and the "
        "part `file` after it the file. What refers to another message needs that it is known here: messages that came in are "
        "for 24 hours after their delivery, those sent through here for 3 days, at most the last 1,000 of a session. With an Idempotency-Key, queue, send_at or "
        "deadline it is accepted into the outbox and answered with 202 once the database has it: it is sent, once and in the "
        "order of its chat, when the session is open. A file that comes by `media.url` is fetched then; one in a form is kept until then and is at "
        "most 32 MiB.",
        takes=wire.OutgoingMessage,
        gives=wire.SentMessage,
        status=201,
        also=(202,),
        headers=outbox_wire.IdempotencyKey,
        stays=outbox.is_for_outbox,
        errors=(
            IdempotencyKeyReused,
            OutboxFull,
            StorageLimit,
            MessageNotFound,
            MessageAmbiguous,
            SessionNotOpen,
            MediaTooLarge,
            MediaTypeRefused,
            MediaAddressForbidden,
            MediaUnreachable,
            NotOnWhatsapp,
            MessageNotForwardable,
            SendFailed,
            SendUnconfirmed,
            SidecarUnavailable,
            SidecarGone,
        ),
        body_limit=_MESSAGE_LIMIT,
        body_types=(JSON, FORM),
        longest_seconds=_LONGEST_SECONDS,
        example=wire.TextMessage(to="5511988887777", text="Olá!"),
        example_answer=wire.SentMessage(message_id="3EB0A1B2C3D4E5F60718", to="5511988887777@s.whatsapp.net"),
    ),
    Operation(
        method="GET",
        path="/v1/sessions/{session_id}/messages/{message_id}/media",
        handler=media,
        scope=Scope.READ,
        tag="Messages",
        summary="Download the file of a message, decrypted while it is read.",
        details="For as long as the message is known here, and WhatsApp keeps the file. A download that breaks off was not the whole.",
        query=wire.FindMessage,
        errors=(
            MessageNotFound,
            MediaNotFound,
            MessageAmbiguous,
            SessionNotOpen,
            MediaExpired,
            MediaHostUnreachable,
            SidecarUnavailable,
            SidecarGone,
        ),
        answer_types=("*/*",),
    ),
    Operation(
        method="GET",
        path="/v1/sessions/{session_id}/chats/{chat}/messages",
        handler=of_chat,
        scope=Scope.READ,
        tag="Chats",
        summary="List a chat's recent messages, the newest first.",
        details="Those that came in, and those that were sent through here, for as long as `retention_days` of the session's settings says, "
        "or else `chat_retention_days` of the tenant; 0, as it is by default, keeps none.",
        query=Page,
        gives=wire.ChatMessages,
        errors=(InvalidRequest, ChatsNotKept),
        anywhere=True,
        example_answer=wire.ChatMessages(
            messages=[
                {
                    "message_id": "3EB0A1B2C3D4E5F60718",
                    "chat": "5511988887777@s.whatsapp.net",
                    "sender": "5511988887777@s.whatsapp.net",
                    "from_me": False,
                    "timestamp": 1795748523,
                    "push_name": "Ana",
                    "type": "text",
                    "text": "Olá!",
                    "received_at": "2026-11-27T01:02:03.456Z",
                }
            ],
            next_cursor=None,
        ),
    ),
)
