"""Deciding what contacts are told, in the transaction of whoever decides it: once, because there can't be two rows of one
kind, due date and offset."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import reminder, reminder_text
from orchestrator.domain.reminder import Contact, ContactState, Occasion, ReminderKind, Schedule
from orchestrator.store import reminder_schedules
from orchestrator.store.tables import reminder_schedules as schedules
from orchestrator.store.tables import reminder_templates as templates
from orchestrator.store.tables import reminders, sessions

#: The error of a reminder of what isn't due any more.
WITHDRAWN = "withdrawn"

#: A tenant's own texts, by kind and language.
Templates = Mapping[tuple[str, str], str]

_r = reminders.c

_DECIDE = sa.text(
    """
    INSERT INTO reminders
        (tenant_id, contact_id, due_date, kind, offset_days, session_id, phone, text, decided_at, deadline, hand_over_at)
    SELECT v.tenant_id, v.contact_id, v.due_date, v.kind, v.offset_days, v.session_id, v.phone, v.text, :now, v.deadline, :now
    FROM unnest(CAST(:tenant_ids AS text[]), CAST(:contact_ids AS text[]), CAST(:due_dates AS date[]), CAST(:kinds AS text[]),
                CAST(:offsets AS integer[]), CAST(:session_ids AS text[]), CAST(:phones AS text[]), CAST(:texts AS text[]),
                CAST(:deadlines AS timestamptz[]))
        WITH ORDINALITY AS v (tenant_id, contact_id, due_date, kind, offset_days, session_id, phone, text, deadline, position)
    ORDER BY v.position
    ON CONFLICT (contact_id, due_date, kind, offset_days) DO NOTHING
    """
).bindparams(sa.bindparam("now", type_=sa.DateTime(timezone=True)))


@dataclass(frozen=True, slots=True)
class Plan:
    """A schedule, and whether its session is there to remind anybody."""

    schedule: Schedule
    has_session: bool


@dataclass(frozen=True, slots=True)
class Told:
    """The message of a reminder."""

    tenant_id: str
    session_id: str
    message_id: str


@dataclass(frozen=True, slots=True)
class Decided:
    """Something to tell a contact, in words."""

    tenant_id: str
    contact: Contact
    schedule: Schedule
    occasion: Occasion
    text: str
    deadline: datetime


async def withdraw(connection: AsyncConnection, contact_ids: Collection[str], now: datetime) -> Sequence[Told]:
    """What is due of these contacts isn't any more: what wasn't handed over never is, and what may still wait is given back."""
    if not contact_ids:
        return ()
    about = sa.and_(
        _r.contact_id == sa.func.any(sa.literal(list(contact_ids), sa.ARRAY(sa.Text))),
        _r.kind.in_([ReminderKind.BEFORE_DUE, ReminderKind.DUE, ReminderKind.OVERDUE]),
    )
    waits = sa.update(reminders).where(about, _r.hand_over_at.is_not(None))
    await connection.execute(waits.values(error=WITHDRAWN, text=None, hand_over_at=None))
    told = sa.select(_r.tenant_id, _r.session_id, _r.message_id).where(
        about, _r.message_id.is_not(None), _r.deadline > now
    )
    return [Told(*row) for row in await connection.execute(told)]


async def decide_thanks(
    connection: AsyncConnection, tenant_id: str, before: Contact, after: Contact, now: datetime
) -> None:
    """What a contact is told of its payment, by the first schedule that thanks."""
    plans = (await plans_of(connection, {tenant_id})).get(tenant_id, [])
    schedule = next((plan.schedule for plan in plans if plan.has_session and plan.schedule.thank), None)
    if schedule is None:
        return
    occasion = Occasion(ReminderKind.PAID, before.details.due_date, 0, now)
    written = await templates_of(connection, {tenant_id})
    following = after.details.due_date if after.state is ContactState.OPEN else None
    await insert(connection, [decided(tenant_id, before, schedule, occasion, written[tenant_id], now, following)], now)


async def plans_of(connection: AsyncConnection, tenant_ids: Collection[str]) -> Mapping[str, list[Plan]]:
    """The schedules at work, the oldest first."""
    s = schedules.c
    session = sa.and_(
        sessions.c.tenant_id == s.tenant_id, sessions.c.session_id == s.session_id, sessions.c.deleted_at.is_(None)
    )
    statement = (
        sa.select(schedules, sessions.c.session_ref.is_not(None).label("has_session"))
        .outerjoin(sessions, session)
        .where(s.tenant_id == sa.func.any(sa.literal(list(tenant_ids), sa.ARRAY(sa.Text))), s.enabled)
        .order_by(s.created_at, s.schedule_id)
    )
    found: defaultdict[str, list[Plan]] = defaultdict(list)
    for row in await connection.execute(statement):
        found[row.tenant_id].append(Plan(reminder_schedules.from_row(row), row.has_session))
    return found


async def templates_of(connection: AsyncConnection, tenant_ids: Collection[str]) -> Mapping[str, Templates]:
    t = templates.c
    among = t.tenant_id == sa.func.any(sa.literal(list(tenant_ids), sa.ARRAY(sa.Text)))
    found: defaultdict[str, dict[tuple[str, str], str]] = defaultdict(dict)
    for row in await connection.execute(sa.select(templates).where(among)):
        found[row.tenant_id][row.kind, row.language] = row.text
    return found


def decided(
    tenant_id: str,
    contact: Contact,
    schedule: Schedule,
    occasion: Occasion,
    written: Templates,
    now: datetime,
    next_due_date: date | None = None,
) -> Decided:
    """``next_due_date``: what follows a payment."""
    today = now.astimezone(schedule.zone).date()
    kind = reminder.spoken_kind(occasion, today)
    about = contact.details.due_date if occasion.kind is ReminderKind.WELCOME else occasion.due_date
    text = reminder_text.rendered(
        written.get((kind, schedule.language)),
        kind,
        schedule.language,
        contact.details,
        due_date=about,
        today=today,
        next_due_date=next_due_date,
    )
    return Decided(tenant_id, contact, schedule, occasion, text, reminder.deadline(occasion, schedule, now))


async def insert(connection: AsyncConnection, all_decided: Sequence[Decided], now: datetime) -> None:
    """Those that are there already stay as they are."""
    if not all_decided:
        return
    parameters: dict[str, Any] = {
        "now": now,
        "tenant_ids": [one.tenant_id for one in all_decided],
        "contact_ids": [one.contact.contact_id for one in all_decided],
        "due_dates": [one.occasion.due_date for one in all_decided],
        "kinds": [one.occasion.kind for one in all_decided],
        "offsets": [one.occasion.offset_days for one in all_decided],
        "session_ids": [one.schedule.session_id for one in all_decided],
        "phones": [one.contact.details.phone for one in all_decided],
        "texts": [one.text for one in all_decided],
        "deadlines": [one.deadline for one in all_decided],
    }
    await connection.execute(_DECIDE, parameters)
