"""Contacts, numbers and the block list over HTTP."""

from typing import Annotated, Any

import msgspec
from aiohttp import web

from orchestrator.api.asking import ASKING, SESSION, ask, chat_jid, have_done, in_path, user_jid
from orchestrator.api.bodies import json_response, read_json, read_query
from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.api.operations import Operation
from orchestrator.api.pages import begins_after, cut
from orchestrator.domain.directory import Entry
from orchestrator.domain.errors import OrchestratorError
from orchestrator.domain.session import existing_id
from orchestrator.domain.tenant import Scope
from orchestrator.wire import contacts as wire
from orchestrator.wire.addresses import UserAddress
from orchestrator.wire.pages import Page

#: What a page of entries can begin after: what it is sorted by.
Position = tuple[Annotated[int, msgspec.Meta(ge=0, le=2**50)], Annotated[str, msgspec.Meta(max_length=200)]]


async def index(request: web.Request) -> web.Response:
    page = read_query(request, Page)
    directory, session_id = request.app[SERVICES].directory, existing_id(in_path(request, "session_id"))
    after = begins_after(page, Position)
    found = await directory.contacts(request[TENANT], session_id, after=after, most=page.limit + 1)
    entries, cursor = cut(found, page, position)
    return json_response(wire.Contacts(contacts=[_shown(entry) for entry in entries], next_cursor=cursor))


async def about(request: web.Request) -> web.Response:
    return json_response(await ask(request, "contacts.about", {"jid": _contact(request)}, wire.About))


async def picture(request: web.Request) -> web.Response:
    size = read_query(request, wire.PictureSize).size
    asked = {"jid": chat_jid(in_path(request, "contact"), "contact"), "size": size}
    return json_response(await ask(request, "contacts.picture", asked, wire.PictureUrl))


async def save(request: web.Request) -> web.Response:
    body = await read_json(request, wire.SaveContact)
    asked = {"jid": _contact(request), "name": body.name, "first_name": body.first_name}
    return await have_done(request, "contacts.save", asked)


async def remove(request: web.Request) -> web.Response:
    return await have_done(request, "contacts.remove", {"jid": _contact(request)})


async def check_numbers(request: web.Request) -> web.Response:
    body = await read_json(request, wire.CheckNumbers)
    numbers = [number.removeprefix("+") for number in body.numbers]
    return json_response(await ask(request, "numbers.check", {"numbers": numbers}, wire.CheckedNumbers))


async def blocklist(request: web.Request) -> web.Response:
    return json_response(await ask(request, "blocklist.get", {}, wire.Blocklist))


async def block(request: web.Request) -> web.Response:
    return await have_done(request, "blocklist.update", {"jid": _contact(request), "action": "block"})


async def unblock(request: web.Request) -> web.Response:
    return await have_done(request, "blocklist.update", {"jid": _contact(request), "action": "unblock"})


def position(entry: Entry) -> tuple[int, str]:
    return entry.sort_at, entry.entry_id


def _contact(request: web.Request) -> str:
    return user_jid(in_path(request, "contact"), "contact")


def _shown(entry: Entry) -> wire.Contact:
    known = entry.fields.get
    return wire.Contact(
        jid=entry.entry_id,
        lid=known("lid"),
        name=known("name"),
        push_name=known("push_name"),
        verified_name=known("verified_name"),
        username=known("username"),
    )


_CONTACT = f"{SESSION}/contacts/{{contact}}"
_BLOCKED = f"{SESSION}/blocklist/{{contact}}"
_ANA = "5511988887777@s.whatsapp.net"
_ANA_LID = "100000000000002@lid"


def _operation(
    method: str,
    path: str,
    handler: Any,
    summary: str,
    scope: Scope = Scope.SEND,
    tag: str = "Contacts",
    errors: tuple[type[OrchestratorError], ...] = ASKING,
    **more: Any,
) -> Operation:
    return Operation(
        method=method, path=path, handler=handler, scope=scope, tag=tag, summary=summary, errors=errors, **more
    )


OPERATIONS = (
    _operation(
        "GET",
        f"{SESSION}/contacts",
        index,
        "List the contacts that the session knows, by jid.",
        Scope.READ,
        errors=(),
        details="What the phone and WhatsApp told since the session was linked, some seconds old at most; it is kept over "
        "restarts, and there when the session isn't open.",
        query=Page,
        gives=wire.Contacts,
        anywhere=True,
        example_answer=wire.Contacts(
            contacts=[
                wire.Contact(
                    jid=_ANA, lid=_ANA_LID, name="Ana Souza", push_name="Aninha", verified_name=None, username=None
                )
            ],
            next_cursor=None,
        ),
    ),
    _operation(
        "PUT",
        _CONTACT,
        save,
        "Save a contact in the phone's address book.",
        takes=wire.SaveContact,
        status=204,
        example=wire.SaveContact(name="Ana Souza"),
    ),
    _operation("DELETE", _CONTACT, remove, "Remove a contact from the phone's address book.", status=204),
    _operation(
        "GET",
        f"{_CONTACT}/about",
        about,
        "Show a contact's about.",
        Scope.READ,
        gives=wire.About,
        example_answer=wire.About(about="Na praia", set_at="2026-11-20T12:00:00.000Z"),
    ),
    _operation(
        "GET",
        f"{_CONTACT}/picture",
        picture,
        "Show where a contact's or a group's picture is.",
        Scope.READ,
        query=wire.PictureSize,
        gives=wire.PictureUrl,
        example_answer=wire.PictureUrl(url="https://pps.whatsapp.net/v/t61.24694-24/1.jpg", hidden=False),
    ),
    _operation(
        "POST",
        f"{SESSION}/numbers/check",
        check_numbers,
        "Check which of up to 500 numbers are on WhatsApp.",
        takes=wire.CheckNumbers,
        gives=wire.CheckedNumbers,
        example=wire.CheckNumbers(numbers=["5511988887777", "5511900000000"]),
        example_answer=wire.CheckedNumbers(
            numbers=[
                wire.CheckedNumber(number="5511988887777", exists=True, jid=_ANA, lid=_ANA_LID),
                wire.CheckedNumber(number="5511900000000", exists=False, jid=None, lid=None),
            ]
        ),
    ),
    _operation(
        "GET",
        f"{SESSION}/blocklist",
        blocklist,
        "List who is blocked.",
        Scope.READ,
        "Block list",
        gives=wire.Blocklist,
        example_answer=wire.Blocklist(blocked=[UserAddress(jid=_ANA, lid=_ANA_LID)]),
    ),
    _operation("PUT", _BLOCKED, block, "Block a contact.", tag="Block list", status=204),
    _operation("DELETE", _BLOCKED, unblock, "Unblock a contact.", tag="Block list", status=204),
)
