"""Contacts that are reminded, over HTTP: one by one, and as a CSV file."""

import re
from dataclasses import replace
from datetime import date

from aiohttp import web

from orchestrator.api.asking import given
from orchestrator.api.bodies import json_response, read_json, read_query
from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.api.operations import Operation
from orchestrator.api.pages import Name, Number, begins_after, cut
from orchestrator.domain.contact_sheet import COLUMNS
from orchestrator.domain.errors import (
    BodyTooLarge,
    ContactExists,
    ContactLimit,
    ContactNotFound,
    DueDateMoved,
    InvalidRequest,
)
from orchestrator.domain.reminder import Contact, ContactState, Details, Recurrence, ReminderKind
from orchestrator.domain.tenant import Scope
from orchestrator.services.events import optional_timestamp, timestamp
from orchestrator.wire import reminders as wire
from orchestrator.wire.pages import Page

#: Bytes of a file: some thousand contacts.
SHEET_LIMIT = 4 * 1024 * 1024

CSV = "text/csv"

_ID = re.compile(r"ct_[0-9a-f]{24}")


async def create(request: web.Request) -> web.Response:
    body = await read_json(request, wire.CreateReminderContact)
    details = Details(
        name=body.name,
        phone=body.phone,
        amount_cents=body.amount_cents,
        due_date=body.due_date,
        due_day=body.due_day,
        recurrence=body.recurrence,
        note=body.note,
        pix_code=body.pix_code,
    )
    contact = await request.app[SERVICES].reminder_contacts.add(request[TENANT], details)
    response = json_response(shown(contact), status=201)
    response.headers["Location"] = f"/v1/contacts/{contact.contact_id}"
    return response


async def index(request: web.Request) -> web.Response:
    page = read_query(request, wire.ListReminderContacts)
    found = await request.app[SERVICES].reminder_contacts.page(
        request[TENANT],
        after=begins_after(page, tuple[date, Name, Name]),
        most=page.limit + 1,
        search=page.search,
        state=page.state,
    )
    contacts, next_cursor = cut(found, page, lambda one: (one.details.due_date, one.details.name, one.contact_id))
    return json_response(
        wire.ReminderContacts(contacts=[shown(contact) for contact in contacts], next_cursor=next_cursor)
    )


async def show(request: web.Request) -> web.Response:
    contacts = request.app[SERVICES].reminder_contacts
    return json_response(shown(await contacts.get(request[TENANT], _contact_id(request))))


async def change(request: web.Request) -> web.Response:
    values = given(await read_json(request, wire.ChangeReminderContact))

    def changed(details: Details) -> Details:
        if values.get("due_date", details.due_date) != details.due_date:
            details = replace(details, due_day=None)
        return replace(details, **values)

    contacts = request.app[SERVICES].reminder_contacts
    return json_response(shown(await contacts.change(request[TENANT], _contact_id(request), changed)))


async def pay(request: web.Request) -> web.Response:
    body = await read_json(request, wire.PayContact)
    contacts = request.app[SERVICES].reminder_contacts
    return json_response(shown(await contacts.pay(request[TENANT], _contact_id(request), body.due_date)))


async def delete(request: web.Request) -> web.Response:
    await request.app[SERVICES].reminder_contacts.delete(request[TENANT], _contact_id(request))
    return web.Response(status=204)


async def reminders(request: web.Request) -> web.Response:
    page = read_query(request, Page)
    found = await request.app[SERVICES].reminders.of_contact(
        request[TENANT], _contact_id(request), before=begins_after(page, Number), most=page.limit + 1
    )
    told, next_cursor = cut(found, page, lambda reminder: reminder.reminder_id)
    listed = [
        wire.Reminder(
            reminder_id=one.reminder_id,
            kind=one.kind,
            due_date=one.due_date,
            offset_days=one.offset_days,
            session_id=one.session_id,
            message_id=one.message_id,
            error=one.error,
            decided_at=timestamp(one.decided_at),
        )
        for one in told
    ]
    return json_response(wire.ContactReminders(reminders=listed, next_cursor=next_cursor))


async def write_in(request: web.Request) -> web.Response:
    query = read_query(request, wire.ImportContacts)
    contacts = request.app[SERVICES].reminder_contacts
    imported = await contacts.write_in(request[TENANT], await request.read(), dry_run=query.dry_run)
    answer = wire.ImportedContacts(
        created=imported.created,
        updated=imported.updated,
        unchanged=imported.unchanged,
        dry_run=query.dry_run,
    )
    return json_response(answer)


async def write_out(request: web.Request) -> web.Response:
    contacts = request.app[SERVICES].reminder_contacts
    # With a byte order mark, without which spreadsheets take UTF-8 for something else.
    text = "\ufeff" + "".join([line async for line in contacts.written_out(request[TENANT])])
    headers = {"Content-Disposition": 'attachment; filename="contacts.csv"'}
    return web.Response(body=text.encode(), content_type=CSV, charset="utf-8", headers=headers)


def shown(contact: Contact) -> wire.ReminderContact:
    details = contact.details
    return wire.ReminderContact(
        contact_id=contact.contact_id,
        name=details.name,
        phone=details.phone,
        amount_cents=details.amount_cents,
        due_date=details.due_date,
        due_day=details.due_day or details.due_date.day,
        recurrence=details.recurrence,
        note=details.note,
        pix_code=details.pix_code,
        state=contact.state,
        paid_due_date=contact.paid_due_date,
        paid_at=optional_timestamp(contact.paid_at),
        created_at=timestamp(contact.created_at),
    )


def _contact_id(request: web.Request) -> str:
    name = request.match_info["contact_id"]
    if not _ID.fullmatch(name):
        raise ContactNotFound
    return name


_SHOWN = wire.ReminderContact(
    contact_id="ct_5f0c1d2e3a4b5c6d7e8f9a0b",
    name="Maria Silva",
    phone="5511988887777",
    amount_cents=15000,
    due_date=date(2026, 12, 10),
    due_day=10,
    recurrence=Recurrence.MONTHLY,
    note="Mensalidade",
    pix_code=None,
    state=ContactState.OPEN,
    paid_due_date=None,
    paid_at=None,
    created_at="2026-11-26T12:00:00.000Z",
)
_REMINDER = wire.Reminder(
    reminder_id=17,
    kind=ReminderKind.BEFORE_DUE,
    due_date=date(2026, 12, 10),
    offset_days=-3,
    session_id="loja-1",
    message_id="3EB0A1B2C3D4E5F6071829",
    error=None,
    decided_at="2026-12-07T12:00:00.000Z",
)

_TAG = "Reminders"
_CONTACT = "/v1/contacts/{contact_id}"
_SHEET = "/v1/contacts.csv"

OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/contacts",
        handler=create,
        scope=Scope.SEND,
        tag=_TAG,
        summary="Add a contact: somebody who pays you and is reminded.",
        takes=wire.CreateReminderContact,
        gives=wire.ReminderContact,
        status=201,
        errors=(ContactExists, ContactLimit),
        example=wire.CreateReminderContact(
            name="Maria Silva",
            phone="5511988887777",
            amount_cents=15000,
            due_date=date(2026, 12, 10),
            recurrence=Recurrence.MONTHLY,
            note="Mensalidade",
        ),
        example_answer=_SHOWN,
    ),
    Operation(
        method="GET",
        path="/v1/contacts",
        handler=index,
        scope=Scope.READ,
        tag=_TAG,
        summary="List contacts by due date and name.",
        query=wire.ListReminderContacts,
        gives=wire.ReminderContacts,
        example_answer=wire.ReminderContacts(contacts=[_SHOWN], next_cursor=None),
    ),
    Operation(
        method="POST",
        path=_SHEET,
        handler=write_in,
        scope=Scope.SEND,
        tag=_TAG,
        summary="Add and change contacts by a CSV file, by phone number.",
        details=f"The first line names the columns, among {', '.join(COLUMNS)}. When anything is wrong nothing is imported, and "
        "each error names its line and column, such as `lines[3].phone`; line 1 is the first of the file.",
        query=wire.ImportContacts,
        gives=wire.ImportedContacts,
        errors=(InvalidRequest, BodyTooLarge, ContactLimit),
        example_text="name,phone,amount,due_date,recurrence\nMaria Silva,5511988887777,150.00,2026-12-10,monthly\n",
        example_answer=wire.ImportedContacts(created=1, updated=0, unchanged=0, dry_run=False),
        body_limit=SHEET_LIMIT,
        body_types=(CSV,),
    ),
    Operation(
        method="GET",
        path=_SHEET,
        handler=write_out,
        scope=Scope.READ,
        tag=_TAG,
        summary="Give all contacts as a CSV file, which can be imported again.",
        answer_types=(CSV,),
    ),
    Operation(
        method="GET",
        path=_CONTACT,
        handler=show,
        scope=Scope.READ,
        tag=_TAG,
        summary="Show a contact.",
        gives=wire.ReminderContact,
        errors=(ContactNotFound,),
        example_answer=_SHOWN,
    ),
    Operation(
        method="PATCH",
        path=_CONTACT,
        handler=change,
        scope=Scope.SEND,
        tag=_TAG,
        summary="Change a contact.",
        takes=wire.ChangeReminderContact,
        gives=wire.ReminderContact,
        errors=(ContactNotFound, ContactExists),
        example=wire.ChangeReminderContact(amount_cents=16000),
        example_answer=_SHOWN,
    ),
    Operation(
        method="DELETE",
        path=_CONTACT,
        handler=delete,
        scope=Scope.SEND,
        tag=_TAG,
        summary="Delete a contact, and what is on record of its reminders.",
        status=204,
        errors=(ContactNotFound,),
    ),
    Operation(
        method="POST",
        path=f"{_CONTACT}/paid",
        handler=pay,
        scope=Scope.SEND,
        tag=_TAG,
        summary="Mark what is due as paid; the due date moves on, and the contact is thanked.",
        takes=wire.PayContact,
        gives=wire.ReminderContact,
        errors=(ContactNotFound, DueDateMoved),
        example=wire.PayContact(),
        example_answer=_SHOWN,
    ),
    Operation(
        method="GET",
        path=f"{_CONTACT}/reminders",
        handler=reminders,
        scope=Scope.READ,
        tag=_TAG,
        summary="List of what a contact was told, newest first.",
        query=Page,
        gives=wire.ContactReminders,
        errors=(ContactNotFound,),
        example_answer=wire.ContactReminders(reminders=[_REMINDER], next_cursor=None),
    ),
)
