"""Chats, labels, presence and the account's own profile over HTTP."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web

from orchestrator.api.asking import (
    ASKING,
    SESSION,
    ask,
    chat_jid,
    given,
    have_done,
    in_path,
    label_id,
    user_jid,
)
from orchestrator.api.bodies import json_response, read_json, read_query
from orchestrator.api.contacts import Position
from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.api.operations import Operation
from orchestrator.api.pages import begins_after, cut
from orchestrator.domain.directory import Entry
from orchestrator.domain.errors import OrchestratorError
from orchestrator.domain.session import existing_id
from orchestrator.domain.tenant import Scope
from orchestrator.services.directory import Chat
from orchestrator.services.events import timestamp
from orchestrator.wire import chats as wire
from orchestrator.wire.groups import SetPicture
from orchestrator.wire.pages import Page

#: WhatsApp's time for "muted for ever".
_FOR_EVER = -1
#: The first ids are those that WhatsApp's own labels have.
_FIRST_LABEL = 100


async def index(request: web.Request) -> web.Response:
    page = read_query(request, Page)
    directory, session_id = request.app[SERVICES].directory, existing_id(in_path(request, "session_id"))
    after = begins_after(page, Position)
    found = await directory.chats(request[TENANT], session_id, after=after, most=page.limit + 1)
    chats, cursor = cut(found, page, lambda chat: (chat.entry.sort_at, chat.entry.entry_id))
    return json_response(wire.Chats(chats=[_shown(chat) for chat in chats], next_cursor=cursor))


async def read(request: web.Request) -> web.Response:
    body = await read_json(request, wire.ReadChat)
    if not body.messages:
        return await _modify(request, [("mark_read", None)])
    messages = []
    for number, message in enumerate(body.messages):
        participant = message.participant and user_jid(message.participant, f"messages[{number}].participant")
        messages.append({"message_id": message.message_id, "participant": participant})
    return await have_done(request, "chats.read", {"chat": _chat(request), "messages": messages})


async def change(request: web.Request) -> web.Response:
    body = await read_json(request, wire.ChangeChat)
    changes: list[tuple[str, int | None]] = []
    if body.archived is not msgspec.UNSET:
        changes.append(("archive" if body.archived else "unarchive", None))
    if body.pinned is not msgspec.UNSET:
        changes.append(("pin" if body.pinned else "unpin", None))
    if body.muted is not msgspec.UNSET or body.muted_until is not msgspec.UNSET:
        until = _FOR_EVER if body.muted_until is msgspec.UNSET else int(body.muted_until.timestamp() * 1000)
        changes.append(("unmute", None) if body.muted is False else ("mute", until))
    if body.unread is not msgspec.UNSET:
        changes.append(("mark_unread" if body.unread else "mark_read", None))
    return await _modify(request, changes)


async def _modify(request: web.Request, changes: list[tuple[str, int | None]]) -> web.Response:
    """Each is a change of its own to WhatsApp, which wants to know how far the chat is known."""
    services, chat = request.app[SERVICES], _chat(request)
    last = await services.directory.last_message(request[TENANT], existing_id(in_path(request, "session_id")), chat)
    for name, until in changes:
        await have_done(request, "chats.modify", {"chat": chat, "change": name, "until": until, "last_message": last})
    return web.Response(status=204)


async def set_presence(request: web.Request) -> web.Response:
    body = await read_json(request, wire.SetPresence)
    return await have_done(request, "presence.set", {"presence": body.presence})


async def set_chat_state(request: web.Request) -> web.Response:
    body = await read_json(request, wire.SetChatState)
    return await have_done(request, "presence.chat", {"chat": chat_jid(body.chat, "chat"), "state": body.state})


async def subscribe(request: web.Request) -> web.Response:
    body = await read_json(request, wire.SubscribePresence)
    return await have_done(request, "presence.subscribe", {"chat": chat_jid(body.chat, "chat")})


async def profile(request: web.Request) -> web.Response:
    return json_response(await ask(request, "profile.get", {}, wire.Profile))


async def change_profile(request: web.Request) -> web.Response:
    body = await read_json(request, wire.ChangeProfile)
    for name, value in given(body).items():
        await have_done(request, f"profile.set_{name}", {name: value})
    return web.Response(status=204)


async def set_picture(request: web.Request) -> web.Response:
    body = await read_json(request, SetPicture)
    return await have_done(request, "profile.set_picture", {"picture": body.picture})


async def remove_picture(request: web.Request) -> web.Response:
    return await have_done(request, "profile.remove_picture", {})


async def labels(request: web.Request) -> web.Response:
    return json_response(wire.Labels(labels=[_shown_label(entry) for entry in await _labels(request)]))


async def create_label(request: web.Request) -> web.Response:
    body = await read_json(request, wire.SaveLabel)
    used = [int(entry.entry_id) for entry in await _labels(request) if entry.entry_id.isdecimal()]
    made = str(max([_FIRST_LABEL - 1, *used]) + 1)
    await have_done(request, "labels.save", {"label_id": made, "name": body.name, "color": body.color})
    return json_response(wire.Label(label_id=made, name=body.name, color=body.color), status=201)


async def change_label(request: web.Request) -> web.Response:
    body = await read_json(request, wire.SaveLabel)
    return await have_done(
        request, "labels.save", {"label_id": _label(request), "name": body.name, "color": body.color}
    )


async def remove_label(request: web.Request) -> web.Response:
    label = _label(request)
    known = next((entry.fields for entry in await _labels(request) if entry.entry_id == label), {})
    asked = {"label_id": label, "name": known.get("name", ""), "color": known.get("color", 0)}
    return await have_done(request, "labels.remove", asked)


async def assign_label(request: web.Request) -> web.Response:
    return await _assign(request, assigned=True)


async def unassign_label(request: web.Request) -> web.Response:
    return await _assign(request, assigned=False)


async def _assign(request: web.Request, *, assigned: bool) -> web.Response:
    asked = {"label_id": _label(request), "chat": _chat(request), "assigned": assigned}
    return await have_done(request, "labels.assign", asked)


async def assign_message_label(request: web.Request) -> web.Response:
    return await _assign_message(request, assigned=True)


async def unassign_message_label(request: web.Request) -> web.Response:
    return await _assign_message(request, assigned=False)


async def _assign_message(request: web.Request, *, assigned: bool) -> web.Response:
    message_id = in_path(request, "message_id")
    asked = {"label_id": _label(request), "chat": _chat(request), "message_id": message_id, "assigned": assigned}
    return await have_done(request, "labels.assign_message", asked)


async def _labels(request: web.Request) -> list[Entry]:
    directory = request.app[SERVICES].directory
    return await directory.labels(request[TENANT], existing_id(in_path(request, "session_id")))


def _chat(request: web.Request) -> str:
    return chat_jid(in_path(request, "chat"), "chat")


def _label(request: web.Request) -> str:
    return label_id(in_path(request, "label"), "label")


def _shown(chat: Chat) -> wire.Chat:
    known = chat.entry.fields.get
    until = known("muted_until") or 0
    now = datetime.now(UTC).timestamp() * 1000
    return wire.Chat(
        chat=chat.entry.entry_id,
        name=chat.name,
        unread_count=known("unread_count") or 0,
        marked_unread=bool(known("marked_unread")),
        archived=bool(known("archived")),
        pinned=bool(known("pinned_at")),
        muted=until < 0 or until > now,
        muted_until=timestamp(datetime.fromtimestamp(until / 1000, UTC)) if until > now else None,
        ephemeral_seconds=known("ephemeral_seconds") or 0,
        labels=known("labels") or [],
        last_message_at=timestamp(datetime.fromtimestamp(chat.entry.sort_at / 1000, UTC))
        if chat.entry.sort_at
        else None,
    )


def _shown_label(entry: Entry) -> wire.Label:
    known = entry.fields.get
    return wire.Label(label_id=entry.entry_id, name=known("name") or "", color=known("color") or 0)


_CHAT = f"{SESSION}/chats/{{chat}}"
_LABEL = f"{SESSION}/labels/{{label}}"
_LABELLED_MESSAGE = f"{_LABEL}/chats/{{chat}}/messages/{{message_id}}"
_SHOWN = wire.Chat(
    chat="5511988887777@s.whatsapp.net",
    name="Ana Souza",
    unread_count=2,
    marked_unread=False,
    archived=False,
    pinned=True,
    muted=True,
    muted_until="2026-12-01T00:00:00.000Z",
    ephemeral_seconds=0,
    labels=["7"],
    last_message_at="2026-11-27T01:02:03.000Z",
)
_SHOWN_LABEL = wire.Label(label_id="7", name="Pago", color=3)


def _operation(
    method: str,
    path: str,
    handler: Any,
    summary: str,
    tag: str,
    scope: Scope = Scope.SEND,
    errors: tuple[type[OrchestratorError], ...] = ASKING,
    **more: Any,
) -> Operation:
    return Operation(
        method=method, path=path, handler=handler, scope=scope, tag=tag, summary=summary, errors=errors, **more
    )


_CHATS = (
    _operation(
        "GET",
        f"{SESSION}/chats",
        index,
        "List the chats that the session knows, the newest message first.",
        "Chats",
        Scope.READ,
        errors=(),
        details="What the phone and WhatsApp told since the session was linked, some seconds old at most; it is kept over "
        "restarts, and there when the session isn't open.",
        query=Page,
        gives=wire.Chats,
        anywhere=True,
        example_answer=wire.Chats(chats=[_SHOWN], next_cursor=None),
    ),
    _operation(
        "PATCH",
        _CHAT,
        change,
        "Archive, pin or mute a chat, or mark it as unread, or take that back.",
        "Chats",
        details="Each field is a change of its own; when one fails, those before it in the order of the fields were made.",
        takes=wire.ChangeChat,
        status=204,
        example=wire.ChangeChat(archived=True, muted=True),
    ),
    _operation(
        "POST",
        f"{_CHAT}/read",
        read,
        "Mark messages as read, or a whole chat.",
        "Chats",
        takes=wire.ReadChat,
        status=204,
        example=wire.ReadChat(messages=[wire.ReadMessage(message_id="3EB0C431C26A1916E07E9A")]),
    ),
)

_PRESENCE = (
    _operation(
        "PUT",
        f"{SESSION}/presence",
        set_presence,
        "Show the account as online, or not.",
        "Presence",
        takes=wire.SetPresence,
        status=204,
        example=wire.SetPresence(presence="available"),
    ),
    _operation(
        "POST",
        f"{SESSION}/presence/chat",
        set_chat_state,
        "Show in a chat that somebody types or records.",
        "Presence",
        takes=wire.SetChatState,
        status=204,
        example=wire.SetChatState(chat="5511988887777", state="composing"),
    ),
    _operation(
        "POST",
        f"{SESSION}/presence/subscribe",
        subscribe,
        "Be told of a contact's presence, by events `presence.update`, until the connection ends.",
        "Presence",
        takes=wire.SubscribePresence,
        status=204,
        example=wire.SubscribePresence(chat="5511988887777"),
    ),
)

_PROFILE = (
    _operation(
        "GET",
        f"{SESSION}/profile",
        profile,
        "Show the account's own profile.",
        "Profile",
        Scope.READ,
        gives=wire.Profile,
        example_answer=wire.Profile(
            jid="5511999990000@s.whatsapp.net",
            lid="100000000000001@lid",
            name="Loja Centro",
            about="Aberta até as 18 h",
            picture_url=None,
        ),
    ),
    _operation(
        "PATCH",
        f"{SESSION}/profile",
        change_profile,
        "Change the account's name or about.",
        "Profile",
        Scope.MANAGE,
        takes=wire.ChangeProfile,
        status=204,
        example=wire.ChangeProfile(name="Loja Centro", about="Aberta até as 18 h"),
    ),
    _operation(
        "PUT",
        f"{SESSION}/profile/picture",
        set_picture,
        "Set the account's picture.",
        "Profile",
        Scope.MANAGE,
        takes=SetPicture,
        status=204,
        example=SetPicture(picture="/9j/4AAQSkZJRg=="),
    ),
    _operation(
        "DELETE",
        f"{SESSION}/profile/picture",
        remove_picture,
        "Remove the account's picture.",
        "Profile",
        Scope.MANAGE,
        status=204,
    ),
)

_LABELS = (
    _operation(
        "GET",
        f"{SESSION}/labels",
        labels,
        "List the labels of a business account.",
        "Labels",
        Scope.READ,
        errors=(),
        gives=wire.Labels,
        anywhere=True,
        example_answer=wire.Labels(labels=[_SHOWN_LABEL]),
    ),
    _operation(
        "POST",
        f"{SESSION}/labels",
        create_label,
        "Create a label.",
        "Labels",
        takes=wire.SaveLabel,
        gives=wire.Label,
        status=201,
        example=wire.SaveLabel(name="Pago", color=3),
        example_answer=_SHOWN_LABEL,
    ),
    _operation(
        "PUT",
        _LABEL,
        change_label,
        "Rename or recolour a label.",
        "Labels",
        takes=wire.SaveLabel,
        status=204,
        example=wire.SaveLabel(name="Pago", color=3),
    ),
    _operation("DELETE", _LABEL, remove_label, "Remove a label.", "Labels", status=204),
    _operation("PUT", f"{_LABEL}/chats/{{chat}}", assign_label, "Put a label on a chat.", "Labels", status=204),
    _operation("DELETE", f"{_LABEL}/chats/{{chat}}", unassign_label, "Take a label off a chat.", "Labels", status=204),
    _operation(
        "PUT", _LABELLED_MESSAGE, assign_message_label, "Put a label on a message of a chat.", "Labels", status=204
    ),
    _operation(
        "DELETE", _LABELLED_MESSAGE, unassign_message_label, "Take a label off a message.", "Labels", status=204
    ),
)

OPERATIONS = (*_CHATS, *_PRESENCE, *_PROFILE, *_LABELS)
