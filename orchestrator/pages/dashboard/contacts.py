"""A tenant's customers: who pays what when, and what each was told of it."""

from datetime import date
from typing import Any

from aiohttp import web

from orchestrator.api.reminder_contacts import CSV, SHEET_LIMIT
from orchestrator.bot.texts import TEXTS, wrong_lines
from orchestrator.domain import contact_sheet, reminder
from orchestrator.domain.errors import FieldError, InvalidRequest
from orchestrator.domain.reminder import ContactState, Recurrence
from orchestrator.pages.dashboard import showing
from orchestrator.pages.dashboard.forms import posted_file
from orchestrator.pages.dashboard.showing import path
from orchestrator.pages.dashboard.visits import Done, Page, Visit
from orchestrator.pages.serving import SECURITY
from orchestrator.wire import reminders as wire

#: A file, and what a form has beside it.
UPLOAD_LIMIT = SHEET_LIMIT + 64 * 1024

_LIMIT = "50"


async def listed(visit: Visit) -> Page:
    return await _listed(visit)


async def _listed(visit: Visit, **more: Any) -> Page:
    """``more``: what came of a file."""
    search, state = visit.asked("search"), visit.asked("state")
    narrowed = {"search": search, "state": state or None, "cursor": visit.asked("cursor") or None, "limit": _LIMIT}
    found = await visit.own.page("/v1/contacts", wire.ReminderContacts, narrowed)
    values = {
        "contacts": found.contacts,
        "next_cursor": found.next_cursor,
        "search": search,
        "state": state,
        "contact_states": list(ContactState),
        "recurrences": list(Recurrence),
        "imported": None,
        "wrong": [],
        **more,
    }
    return Page(template="contacts.html", title=visit.texts.contacts, area="contacts", values=values)


async def create(visit: Visit) -> Done:
    made = await visit.own.reminder_contacts.create(wire.CreateReminderContact(**_typed(visit)))
    return Done(note="created", to=path("tenants", visit.tenant_id, "contacts", made.contact_id))


async def write_in(visit: Visit) -> Page | web.Response:
    """All of a CSV file, or nothing of it and what is wrong with its lines."""
    sheet = await posted_file(visit.request, "sheet")
    try:
        imported = await visit.own.reminder_contacts.write_in(sheet, dry_run=visit.form.get("dry_run") == "yes")
    except InvalidRequest as error:
        if not error.errors:
            raise
        texts = TEXTS[visit.language]
        visit.problem = texts.contacts_in_wrong
        wrong = [wrong_lines.told(texts, one) for one in error.errors]
        return showing.page(visit, await _listed(visit, wrong=wrong), status=422)
    return await _listed(visit, imported=imported)


async def write_out(visit: Visit) -> web.Response:
    content = await visit.own.reminder_contacts.write_out()
    headers = {**SECURITY, "Content-Disposition": 'attachment; filename="contacts.csv"'}
    return web.Response(body=content, content_type=CSV, charset="utf-8", headers=headers)


async def shown(visit: Visit) -> Page:
    contact_id = visit.named("contact_id")
    contact = await visit.own.reminder_contacts.get(contact_id)
    query = {"cursor": visit.asked("cursor") or None}
    told = await visit.own.page(f"/v1{path('contacts', contact_id, 'reminders')}", wire.ContactReminders, query)
    values = {
        "contact": contact,
        "open": contact.state is ContactState.OPEN,
        "reminders": told.reminders,
        "next_cursor": told.next_cursor,
        "recurrences": list(Recurrence),
    }
    return Page(template="contact.html", title=contact.name, area="contacts", values=values)


async def change(visit: Visit) -> Done:
    changes = wire.ChangeReminderContact(**_typed(visit))
    await visit.own.reminder_contacts.change(visit.named("contact_id"), changes)
    return Done(note="saved")


async def pay(visit: Visit) -> Done:
    """Posted twice, it counts once: the form says which due date."""
    due = _day(visit.typed("due"))
    if due is None:
        raise InvalidRequest(errors=[FieldError("due_date", "must be a day")])
    await visit.own.reminder_contacts.pay(visit.named("contact_id"), due)
    return Done(note="paid")


async def delete(visit: Visit) -> Done:
    await visit.own.reminder_contacts.delete(visit.named("contact_id"))
    return Done(note="deleted", to=path("tenants", visit.tenant_id, "contacts"))


def _typed(visit: Visit) -> dict[str, Any]:
    """All of the form, as the API takes it; ``InvalidRequest`` with every field that people type in ways of their own."""
    name, phone = reminder.contact_name(visit.typed("name")), reminder.phone_number(visit.typed("phone"))
    cents, due = contact_sheet.amount_cents(visit.typed("amount")), _day(visit.typed("due_date"))
    recurrence = visit.typed("recurrence")
    errors = [
        FieldError(field, "is wrong")
        for field, wrong in (
            ("contact_name", name is None),
            ("phone", phone is None),
            ("amount", cents is None or not 1 <= cents <= reminder.MOST_CENTS),
            ("due_date", due is None),
            ("recurrence", recurrence not in set(Recurrence)),
        )
        if wrong
    ]
    if errors:
        raise InvalidRequest(errors=errors)
    return {
        "name": name,
        "phone": phone,
        "amount_cents": cents,
        "due_date": due,
        "recurrence": Recurrence(recurrence),
        "note": "\n".join(visit.typed("note").splitlines()),
        "pix_code": visit.typed("pix_code") or None,
    }


def _day(text: str) -> date | None:
    day = contact_sheet.due_date(text)
    return day if day is not None and reminder.EARLIEST <= day <= reminder.LATEST else None
