"""Contacts that are reminded. What is told of them is decided in store/reminder_decisions.py."""

import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import reminder
from orchestrator.domain.contact_sheet import Line
from orchestrator.domain.errors import ContactExists, ContactLimit, ContactNotFound, DueDateMoved
from orchestrator.domain.reminder import MOST_CONTACTS, Contact, ContactState, Details, Recurrence
from orchestrator.store import tenants
from orchestrator.store.database import Database
from orchestrator.store.reminder_decisions import Told, decide_thanks, withdraw
from orchestrator.store.tables import reminder_contacts

_c = reminder_contacts.c
_ORDER = (_c.due_date, _c.name, _c.contact_id)


@dataclass(frozen=True, slots=True)
class Changed:
    """A contact after a change, and what it was told that is out of date by that."""

    contact: Contact
    outdated: Sequence[Told] = ()


@dataclass(frozen=True, slots=True)
class Imported:
    created: int
    updated: int
    unchanged: int
    outdated: Sequence[Told] = ()


class ReminderContactStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, tenant_id: str, details: Details, now: datetime) -> Contact:
        """``ContactExists`` for a phone number that another one has, ``ContactLimit``."""
        contact = _new(details, now)
        async with self._database.begin() as connection:
            await _room_for(connection, tenant_id, 1)
            insert = postgresql.insert(reminder_contacts).values(**_row(tenant_id, contact, look_at=now))
            made = await connection.execute(insert.on_conflict_do_nothing().returning(_c.contact_id))
            if made.one_or_none() is None:
                raise ContactExists
        return contact

    async def get(self, tenant_id: str, contact_id: str) -> Contact:
        """The contact, or ``ContactNotFound``."""
        async with self._database.begin() as connection:
            return await _get(connection, tenant_id, contact_id)

    async def page(
        self,
        tenant_id: str,
        *,
        after: tuple[date, str, str] | None,
        most: int,
        search: str = "",
        state: ContactState | None = None,
    ) -> list[Contact]:
        """By due date and name, from the one after ``after``, whose due date, name and id that is; ``search`` is a part of the name or the phone number."""
        statement = sa.select(reminder_contacts).where(_c.tenant_id == tenant_id)
        if after is not None:
            statement = statement.where(sa.tuple_(*_ORDER) > sa.tuple_(*after))
        if search:
            # A number is looked for as people write it; what has a letter in it is none.
            number = re.sub(r"[\s()+.-]", "", search)
            statement = statement.where(
                sa.or_(
                    _c.name.icontains(search, autoescape=True),
                    _c.phone.contains(number, autoescape=True) if number else sa.false(),
                )
            )
        if state is not None:
            statement = statement.where(_c.state == state)
        statement = statement.order_by(*_ORDER).limit(most)
        async with self._database.begin() as connection:
            return [from_row(row) for row in await connection.execute(statement)]

    async def change(
        self, tenant_id: str, contact_id: str, how: Callable[[Details], Details], now: datetime
    ) -> Changed:
        """Give it other details, which ``how`` makes of those that it has. ``ContactNotFound``, ``ContactExists``."""
        async with self._database.begin() as connection:
            before = await _get(connection, tenant_id, contact_id, lock=True)
            after = reminder.changed(before, how(before.details), now)
            if after == before:
                return Changed(before)
            taken = sa.select(sa.literal(1)).where(
                _c.tenant_id == tenant_id, _c.phone == after.details.phone, _c.contact_id != contact_id
            )
            if (await connection.execute(taken)).first() is not None:
                raise ContactExists
            await _save(connection, tenant_id, after, now)
            moved = after.details.due_date != before.details.due_date
            return Changed(after, await withdraw(connection, [contact_id], now) if moved else ())

    async def pay(self, tenant_id: str, contact_id: str, due_date: date | None, now: datetime) -> Changed:
        """What is due was paid: move the due date on, and decide what the contact is told of that.

        ``due_date``: which one was paid; the one that was paid last already changes nothing, another one is
        ``DueDateMoved``. None is the present one. ``ContactNotFound``.
        """
        async with self._database.begin() as connection:
            before = await _get(connection, tenant_id, contact_id, lock=True)
            due = before.details.due_date
            wanted = due_date or due
            if before.paid_due_date == wanted and (before.state is ContactState.PAID or wanted != due):
                return Changed(before)
            if wanted != due:
                raise DueDateMoved
            after = reminder.paid(before, now)
            await _save(connection, tenant_id, after, now)
            outdated = await withdraw(connection, [contact_id], now)
            await decide_thanks(connection, tenant_id, before, after, now)
            return Changed(after, outdated)

    async def delete(self, tenant_id: str, contact_id: str, now: datetime) -> Sequence[Told]:
        """With what it was told, of which what may still wait is given back. ``ContactNotFound``."""
        async with self._database.begin() as connection:
            await _get(connection, tenant_id, contact_id, lock=True)
            outdated = await withdraw(connection, [contact_id], now)
            await connection.execute(sa.delete(reminder_contacts).where(_c.contact_id == contact_id))
            return outdated

    async def write_in(self, tenant_id: str, lines: Sequence[Line], now: datetime, *, dry_run: bool) -> Imported:
        """Make or change the contacts of a file, by phone number: all of them, or none when something is wrong.

        ``ContactLimit``. ``dry_run`` only says what it would do.
        """
        async with self._database.begin() as connection:
            await tenants.lock(connection, tenant_id)
            present = await _by_phone(connection, tenant_id, [line.details.phone for line in lines])
            await _room_for(connection, tenant_id, len(lines) - len(present))
            created, moved, rows = 0, list[str](), list[Mapping[str, Any]]()
            for line in lines:
                before = present.get(line.details.phone)
                after = _written(before, line, now)
                if after == before:
                    continue
                created += before is None
                rows.append(_row(tenant_id, after, look_at=now))
                if before is not None and _is_over(before, after):
                    moved.append(before.contact_id)
            imported = Imported(created, len(rows) - created, len(lines) - len(rows))
            if dry_run or not rows:
                return imported
            insert = postgresql.insert(reminder_contacts)
            kept = {"contact_id", "tenant_id", "phone", "created_at"}
            replaced = {column.name: insert.excluded[column.name] for column in _c if column.name not in kept}
            await connection.execute(
                insert.on_conflict_do_update(index_elements=[_c.tenant_id, _c.phone], set_=replaced), rows
            )
            return replace(imported, outdated=await withdraw(connection, moved, now))


def from_row(row: Any) -> Contact:
    return Contact(
        contact_id=row.contact_id,
        details=Details(
            name=row.name,
            phone=row.phone,
            amount_cents=row.amount_cents,
            due_date=row.due_date,
            due_day=row.due_day,
            recurrence=Recurrence(row.recurrence),
            note=row.note,
            pix_code=row.pix_code,
        ),
        state=ContactState(row.state),
        due_since=row.due_since,
        paid_due_date=row.paid_due_date,
        paid_at=row.paid_at,
        created_at=row.created_at,
    )


def _row(tenant_id: str, contact: Contact, look_at: datetime) -> dict[str, Any]:
    details = contact.details
    return {
        "contact_id": contact.contact_id,
        "tenant_id": tenant_id,
        "name": details.name,
        "phone": details.phone,
        "amount_cents": details.amount_cents,
        "due_date": details.due_date,
        "due_day": details.due_day,
        "recurrence": details.recurrence,
        "note": details.note,
        "pix_code": details.pix_code,
        "state": contact.state,
        "due_since": contact.due_since,
        "paid_due_date": contact.paid_due_date,
        "paid_at": contact.paid_at,
        "look_at": look_at,
        "created_at": contact.created_at,
    }


def _new(details: Details, now: datetime, state: ContactState = ContactState.OPEN) -> Contact:
    return Contact(
        contact_id=f"ct_{secrets.token_hex(12)}",
        details=details,
        state=state,
        due_since=now,
        paid_due_date=None,
        paid_at=None,
        created_at=now,
    )


def _written(before: Contact | None, line: Line, now: datetime) -> Contact:
    if before is None:
        return _new(line.details, now, line.state or ContactState.OPEN)
    after = reminder.changed(before, line.details, now)
    return after if line.state is None else replace(after, state=line.state)


def _is_over(before: Contact, after: Contact) -> bool:
    """Whether what was due isn't any more."""
    moved = before.details.due_date != after.details.due_date
    return moved or (before.state, after.state) == (ContactState.OPEN, ContactState.PAID)


async def _room_for(connection: AsyncConnection, tenant_id: str, more: int) -> None:
    """``ContactLimit``. Nobody else adds one before this transaction ends."""
    await tenants.lock(connection, tenant_id)
    count = sa.select(sa.func.count()).select_from(reminder_contacts).where(_c.tenant_id == tenant_id)
    if more > 0 and (await connection.execute(count)).scalar_one() + more > MOST_CONTACTS:
        raise ContactLimit


async def _by_phone(connection: AsyncConnection, tenant_id: str, phones: Iterable[str]) -> dict[str, Contact]:
    among = _c.phone == sa.func.any(sa.literal(list(phones), sa.ARRAY(sa.Text)))
    statement = sa.select(reminder_contacts).where(_c.tenant_id == tenant_id, among).order_by(_c.contact_id)
    return {row.phone: from_row(row) for row in await connection.execute(statement.with_for_update())}


async def _get(connection: AsyncConnection, tenant_id: str, contact_id: str, *, lock: bool = False) -> Contact:
    statement = sa.select(reminder_contacts).where(_c.tenant_id == tenant_id, _c.contact_id == contact_id)
    row = (await connection.execute(statement.with_for_update() if lock else statement)).one_or_none()
    if row is None:
        raise ContactNotFound
    return from_row(row)


async def _save(connection: AsyncConnection, tenant_id: str, contact: Contact, now: datetime) -> None:
    update = sa.update(reminder_contacts).where(_c.contact_id == contact.contact_id)
    await connection.execute(update.values(**_row(tenant_id, contact, look_at=now)))
