"""A tenant's customers: a list, one of them, a new one question by question, and all as a file."""

import html
from collections.abc import Callable, Mapping
from datetime import date

import msgspec

from orchestrator.bot.desk import Desk, shown_price
from orchestrator.bot.screen import Action, Button, Screen, rows
from orchestrator.bot.texts import fill, wrong_lines
from orchestrator.client import Client
from orchestrator.domain import contact_sheet, reminder
from orchestrator.domain.errors import InvalidRequest
from orchestrator.domain.reminder import ContactState, Recurrence
from orchestrator.domain.reminder_text import shown_date
from orchestrator.wire import reminders as wire

PAGE = 8

#: What is asked for of a new one, in this order.
_QUESTIONS = ("name", "phone", "amount", "due_date")
#: What can be changed by typing.
_TYPED = (*_QUESTIONS, "note", "pix_code")
#: What may be left empty.
_OPTIONAL = ("note", "pix_code")
_LONGEST_SEARCH = 100
_MOST_ERRORS = 15


def own(desk: Desk) -> Client:
    """The API for the person's own things."""
    return desk.of(desk.chat.tenant_id or "")


async def listed(desk: Desk, search: str, cursor: str) -> Screen:
    texts = desk.texts
    page = await own(desk).reminder_contacts.page(search=search, limit=PAGE, cursor=cursor or None)
    found = [
        Button(f"{_mark(one)} {one.name} · {shown_date(one.due_date, desk.chat.language)}", ("contact", one.contact_id))
        for one in page.contacts
    ]
    turn = [
        *([Button(texts.first_page, ("contacts", search, ""))] if cursor else []),
        *([Button(texts.next_page, ("contacts", search, page.next_cursor))] if page.next_cursor else []),
    ]
    title = fill(texts.contacts_title, search=f": {search}" if search else "")
    return desk.says(
        title if found else f"{title}\n{texts.nothing_here}",
        *found,
        tuple(turn) or None,
        (Button(texts.contact_new, ("contact-new",)), Button(texts.search, ("contact-search?",))),
        (Button(texts.contacts_in, ("contacts-in?",)), Button(texts.contacts_out, ("contacts-out",))),
        (Button(texts.reminder_texts, ("texts", desk.chat.language)), Button(texts.schedules, ("schedules",))),
    )


async def ask_search(desk: Desk) -> Screen:
    return _question(desk, desk.texts.contact_search_ask, ("contact-search",), back=("contacts", "", ""))


async def search(desk: Desk, typed: str) -> Screen:
    return await listed(desk, typed[:_LONGEST_SEARCH], "")


async def show(desk: Desk, contact_id: str, note: str | None = None) -> Screen:
    return _shown(desk, await own(desk).reminder_contacts.get(contact_id), note)


def _shown(desk: Desk, contact: wire.ReminderContact, note: str | None = None) -> Screen:
    texts, language = desk.texts, desk.chat.language
    lines = [
        fill(
            texts.contact,
            mark=_mark(contact),
            name=contact.name,
            phone=f"+{contact.phone}",
            amount=shown_price(contact.amount_cents),
            due=shown_date(contact.due_date, language),
            recurrence=texts.recurrences[contact.recurrence],
            pix="✅" if contact.pix_code else "–",
        )
    ]
    if contact.note:
        lines.append(fill(texts.contact_note, note=contact.note))
    if contact.paid_due_date is not None:
        lines.append(fill(texts.contact_paid_last, due=shown_date(contact.paid_due_date, language)))
    of, due = contact.contact_id, contact.due_date.isoformat()
    return desk.says(
        "\n".join([note, "", *lines] if note else lines),
        Button(texts.contact_pay, ("contact-paid", of, due)) if contact.state is ContactState.OPEN else None,
        (Button(texts.contact_edit, ("contact-edit", of)), Button(texts.contact_delete, ("contact-delete?", of))),
        back=("contacts", "", ""),
    )


async def create(desk: Desk, *answers: str) -> Screen:
    """Ask for one thing after the other; what was answered goes along with the question."""
    problem = None
    if answers and _PARSED[_QUESTIONS[len(answers) - 1]](answers[-1]) is None:
        problem = desk.texts.contact_wrong[_QUESTIONS[len(answers) - 1]]
        answers = answers[:-1]
    if len(answers) < len(_QUESTIONS):
        text = problem or desk.texts.contact_ask[_QUESTIONS[len(answers)]]
        return _question(desk, text, ("contact-new", *answers), back=("contacts", "", ""))
    values = {_FIELDS[name]: _PARSED[name](answer) for name, answer in zip(_QUESTIONS, answers, strict=True)}
    made = await own(desk).reminder_contacts.create(msgspec.convert(values, wire.CreateReminderContact))
    return _shown(desk, made, fill(desk.texts.contact_made, name=made.name))


async def pay(desk: Desk, contact_id: str, due_date: str) -> Screen:
    """Pressed twice, it counts once: the button says which due date."""
    paid = await own(desk).reminder_contacts.pay(contact_id, date.fromisoformat(due_date))
    return _shown(desk, paid, desk.texts.contact_was_paid)


async def edit(desk: Desk, contact_id: str) -> Screen:
    texts, contact = desk.texts, await own(desk).reminder_contacts.get(contact_id)
    typed = [Button(texts.contact_fields[name], ("contact-set?", contact_id, name)) for name in _TYPED]
    recurrences = tuple(
        Button(
            f"{'● ' if one is contact.recurrence else ''}{texts.recurrences[one]}",
            ("contact-set", contact_id, "recurrence", one),
        )
        for one in Recurrence
    )
    text = fill(texts.contact_edit_what, name=contact.name)
    pairs = [tuple(typed[number : number + 2]) for number in range(0, len(typed), 2)]
    return desk.says(text, *pairs, recurrences[:2], recurrences[2:], back=("contact", contact_id))


async def ask_field(desk: Desk, contact_id: str, name: str, problem: str | None = None) -> Screen:
    texts = desk.texts
    remove = Button(texts.remove, ("contact-set", contact_id, name, "")) if name in _OPTIONAL else None
    text = problem or texts.contact_ask[name]
    return _question(desk, text, ("contact-set", contact_id, name), remove, back=("contact", contact_id))


async def set_field(desk: Desk, contact_id: str, name: str, answer: str) -> Screen:
    value = _PARSED[name](answer)
    if value is None:
        return await ask_field(desk, contact_id, name, desk.texts.contact_wrong[name])
    cleared = name == "pix_code" and not answer
    changes = msgspec.convert({_FIELDS.get(name, name): None if cleared else value}, wire.ChangeReminderContact)
    try:
        changed = await own(desk).reminder_contacts.change(contact_id, changes)
    except InvalidRequest:
        return await ask_field(desk, contact_id, name, desk.texts.contact_wrong[name])
    return _shown(desk, changed, desk.texts.done)


async def ask_delete(desk: Desk, contact_id: str) -> Screen:
    contact = await own(desk).reminder_contacts.get(contact_id)
    answers = (
        Button(desk.texts.yes, ("contact-delete", contact_id)),
        Button(desk.texts.no, ("contact", contact_id)),
    )
    return Screen(text=fill(desk.texts.contact_delete_sure, name=contact.name), rows=rows(answers))


async def delete(desk: Desk, contact_id: str) -> Screen:
    await own(desk).reminder_contacts.delete(contact_id)
    return await listed(desk, "", "")


async def ask_file(desk: Desk) -> Screen:
    return _file_question(desk, desk.texts.contacts_in_ask)


async def file_sent(desk: Desk) -> Screen:
    texts = desk.texts
    try:
        imported = await own(desk).reminder_contacts.write_in(desk.file or b"")
    except InvalidRequest as error:
        lines = [html.escape(wrong_lines.told(texts, one), quote=False) for one in error.errors[:_MOST_ERRORS]]
        return _file_question(desk, "\n".join([texts.contacts_in_wrong, "", *lines]))
    text = fill(
        texts.contacts_in_done,
        created=imported.created,
        updated=imported.updated,
        unchanged=imported.unchanged,
    )
    return desk.says(text, back=("contacts", "", ""))


async def export(desk: Desk) -> Screen:
    file = ("contacts.csv", await own(desk).reminder_contacts.write_out())
    return Screen(text=desk.texts.contacts_out_done, document=file, rows=rows(desk.back("contacts", "", "")))


def _mark(contact: wire.ReminderContact) -> str:
    return "✅" if contact.state is ContactState.PAID else "🗓"


def _question(desk: Desk, text: str, asks: Action, *more: Button | None, back: Action) -> Screen:
    return Screen(text=text, rows=rows(*more, Button(desk.texts.cancel, back)), asks=asks)


def _file_question(desk: Desk, text: str) -> Screen:
    cancel = Button(desk.texts.cancel, ("contacts", "", ""))
    return Screen(text=text, rows=rows(cancel), asks_file=("contacts-in",), fresh=True)


def _due_date(text: str) -> str | None:
    day = contact_sheet.due_date(text)
    return day.isoformat() if day is not None and reminder.EARLIEST <= day <= reminder.LATEST else None


def _amount(text: str) -> int | None:
    cents = contact_sheet.amount_cents(text)
    return cents if cents is not None and 1 <= cents <= reminder.MOST_CENTS else None


#: What people type, as the API takes it; None: it is wrong.
_PARSED: Mapping[str, Callable[[str], str | int | None]] = {
    "name": reminder.contact_name,
    "phone": reminder.phone_number,
    "amount": _amount,
    "due_date": _due_date,
    "note": lambda text: text if len(text) <= reminder.LONGEST_NOTE else None,
    "pix_code": lambda text: text if len(text) <= 1000 else None,
    "recurrence": str,
}
#: By what the API calls it.
_FIELDS = {"name": "name", "phone": "phone", "amount": "amount_cents", "due_date": "due_date"}
