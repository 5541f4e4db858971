"""Contacts that are reminded, what they are told, and when."""

from collections.abc import AsyncIterator
from datetime import date

from orchestrator.client.transport import Transport, segment
from orchestrator.domain.reminder import ContactState
from orchestrator.wire import reminders as wire


class ReminderContacts:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(self, contact: wire.CreateReminderContact) -> wire.ReminderContact:
        """``ContactExists`` for a phone number that another one has."""
        return await self._transport.call("POST", "/v1/contacts", wire.ReminderContact, body=contact)

    def list(self, *, search: str = "", state: ContactState | None = None) -> AsyncIterator[wire.ReminderContact]:
        """All of them, by due date and name."""
        query = {**({"search": search} if search else {}), **({"state": state.value} if state else {})}
        return self._transport.pages("/v1/contacts", wire.ReminderContacts, lambda page: page.contacts, query)

    async def page(self, *, search: str = "", limit: int = 50, cursor: str | None = None) -> wire.ReminderContacts:
        query = {"search": search, "limit": str(limit), **({} if cursor is None else {"cursor": cursor})}
        return await self._transport.call("GET", "/v1/contacts", wire.ReminderContacts, query=query)

    async def get(self, contact_id: str) -> wire.ReminderContact:
        return await self._transport.call("GET", _contact(contact_id), wire.ReminderContact)

    async def change(self, contact_id: str, changes: wire.ChangeReminderContact) -> wire.ReminderContact:
        """What isn't named stays as it is."""
        return await self._transport.call("PATCH", _contact(contact_id), wire.ReminderContact, body=changes)

    async def pay(self, contact_id: str, due_date: date) -> wire.ReminderContact:
        """What was due then is paid; once, however often this is said. ``DueDateMoved``."""
        body = wire.PayContact(due_date=due_date)
        return await self._transport.call("POST", f"{_contact(contact_id)}/paid", wire.ReminderContact, body=body)

    async def delete(self, contact_id: str) -> None:
        await self._transport.done("DELETE", _contact(contact_id))

    def reminders(self, contact_id: str) -> AsyncIterator[wire.Reminder]:
        """Of what it was told, newest first."""
        path = f"{_contact(contact_id)}/reminders"
        return self._transport.pages(path, wire.ContactReminders, lambda page: page.reminders)

    async def write_in(self, sheet: bytes, *, dry_run: bool = False) -> wire.ImportedContacts:
        """Add and change contacts by a CSV file; nothing of it when anything is wrong (``InvalidRequest``)."""
        query = {"dry_run": "true"} if dry_run else {}
        return await self._transport.post("/v1/contacts.csv", "text/csv", sheet, wire.ImportedContacts, query)

    async def write_out(self) -> bytes:
        """All of them as a CSV file."""
        return await self._transport.content("GET", "/v1/contacts.csv")


class Templates:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> AsyncIterator[wire.ReminderTemplate]:
        """One for each kind and language, by id."""
        return self._transport.pages("/v1/templates", wire.ReminderTemplates, lambda page: page.templates)

    async def get(self, template_id: str) -> wire.ReminderTemplate:
        return await self._transport.call("GET", _template(template_id), wire.ReminderTemplate)

    async def put(self, template_id: str, text: str) -> wire.ReminderTemplate:
        body = wire.SetReminderTemplate(text=text)
        return await self._transport.call("PUT", _template(template_id), wire.ReminderTemplate, body=body)

    async def delete(self, template_id: str) -> None:
        """The default again."""
        await self._transport.done("DELETE", _template(template_id))


class Schedules:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(self, schedule: wire.CreateReminderSchedule) -> wire.ReminderSchedule:
        return await self._transport.call("POST", "/v1/schedules", wire.ReminderSchedule, body=schedule)

    def list(self) -> AsyncIterator[wire.ReminderSchedule]:
        """All of them, by id."""
        return self._transport.pages("/v1/schedules", wire.ReminderSchedules, lambda page: page.schedules)

    async def get(self, schedule_id: str) -> wire.ReminderSchedule:
        return await self._transport.call("GET", _schedule(schedule_id), wire.ReminderSchedule)

    async def change(self, schedule_id: str, changes: wire.ChangeReminderSchedule) -> wire.ReminderSchedule:
        """What isn't named stays as it is."""
        return await self._transport.call("PATCH", _schedule(schedule_id), wire.ReminderSchedule, body=changes)

    async def delete(self, schedule_id: str) -> None:
        await self._transport.done("DELETE", _schedule(schedule_id))


def _contact(contact_id: str) -> str:
    return f"/v1/contacts/{segment(contact_id)}"


def _template(template_id: str) -> str:
    return f"/v1/templates/{segment(template_id)}"


def _schedule(schedule_id: str) -> str:
    return f"/v1/schedules/{segment(schedule_id)}"
