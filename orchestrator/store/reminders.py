"""What contacts are told: decided once, whoever looks and however often, and then handed over to the outbox.

A reminder is decided by its row, of which there can't be two. Its text waits in the row until the outbox has the message,
whose idempotency key is the row's number; so a process that dies in between sends neither none nor two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from orchestrator.domain import reminder
from orchestrator.domain.errors import ContactNotFound
from orchestrator.domain.reminder import ReminderKind
from orchestrator.store import reminder_contacts
from orchestrator.store.database import Database
from orchestrator.store.reminder_decisions import WITHDRAWN, Decided, decided, insert, plans_of, templates_of
from orchestrator.store.tables import reminder_contacts as contacts
from orchestrator.store.tables import reminders, tenants

#: Contacts that are looked at in one round, and reminders that are handed over, each in a transaction of its own.
_LOOKS, _HAND_OVERS = 200, 50
#: Where nothing can be sent one looks again after so long.
_SILENT = timedelta(minutes=10)
#: Whoever takes reminders hands them over in this time, or somebody else does.
_HANDING_OVER = timedelta(seconds=60)
#: How long a reminder is remembered. Much longer than any may be late.
_KEPT_DAYS = 400

_r = reminders.c

_LOOK_LATER = sa.text(
    """
    UPDATE reminder_contacts c SET look_at = v.look_at
    FROM unnest(CAST(:contact_ids AS text[]), CAST(:moments AS timestamptz[])) AS v (contact_id, look_at)
    WHERE c.contact_id = v.contact_id
    """
)

_TAKE = sa.text(
    """
    UPDATE reminders r SET hand_over_at = :again_at
    FROM (
        SELECT reminder_id FROM reminders WHERE hand_over_at <= :now ORDER BY hand_over_at, reminder_id LIMIT :most
        FOR UPDATE SKIP LOCKED
    ) AS next
    WHERE r.reminder_id = next.reminder_id
    RETURNING r.reminder_id, r.tenant_id, r.session_id, r.phone, r.text, r.deadline
    """
).bindparams(
    sa.bindparam("now", type_=sa.DateTime(timezone=True)), sa.bindparam("again_at", type_=sa.DateTime(timezone=True))
)

_SETTLE = sa.text(
    """
    UPDATE reminders r SET message_id = v.message_id, error = coalesce(v.error, r.error), text = NULL, hand_over_at = NULL
    FROM unnest(CAST(:ids AS bigint[]), CAST(:message_ids AS text[]), CAST(:errors AS text[])) AS v (reminder_id, message_id, error)
    WHERE r.reminder_id = v.reminder_id
    RETURNING r.reminder_id, r.error
    """
)

#: In an order in which none needs a later one.
_PURGE = [
    sa.text(
        f"""
        DELETE FROM {table} WHERE tenant_id IN (
            SELECT tenant_id FROM tenants WHERE deleted_at < now() - make_interval(secs => :seconds)
        )
        """  # noqa: S608 (constants)
    )
    for table in ("reminders", "reminder_contacts", "reminder_schedules", "reminder_templates")
]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A reminder that the outbox doesn't have yet."""

    reminder_id: int
    tenant_id: str
    session_id: str
    phone: str
    text: str
    deadline: datetime


@dataclass(frozen=True, slots=True)
class HandedOver:
    """The outbox has it as ``message_id``, or it can't be sent, for which ``error`` is a stable code."""

    reminder_id: int
    message_id: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reminder:
    """What a contact was told, or is about to be: then it has neither message nor error."""

    reminder_id: int
    kind: ReminderKind
    due_date: date
    offset_days: int
    session_id: str
    message_id: str | None
    error: str | None
    decided_at: datetime


class ReminderStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def look(self, now: datetime) -> bool:
        """Decide what is due now, a number of contacts at a time; whether there may be more.

        Replicas that do it at the same moment look at different ones.
        """
        due = (
            sa.select(contacts, tenants.c.deleted_at, tenants.c.blocked_at, tenants.c.paused_at)
            .join(tenants, tenants.c.tenant_id == contacts.c.tenant_id)
            .where(contacts.c.look_at <= now)
            .order_by(contacts.c.look_at)
            .limit(_LOOKS)
            .with_for_update(of=contacts, skip_locked=True)
        )
        async with self._database.begin() as connection:
            rows = (await connection.execute(due)).all()
            if not rows:
                return False
            of = {row.tenant_id for row in rows}
            plans, written = await plans_of(connection, of), await templates_of(connection, of)
            due_now: list[Decided] = []
            later: dict[str, datetime | None] = {}
            for row in rows:
                if row.deleted_at or row.blocked_at or row.paused_at:
                    later[row.contact_id] = None if row.deleted_at else now + _SILENT
                    continue
                contact, of_tenant = reminder_contacts.from_row(row), plans.get(row.tenant_id, [])
                moments = [reminder.next_look(contact, [plan.schedule for plan in of_tenant], now)]
                for plan in of_tenant:
                    occasions = reminder.due_now(contact, plan.schedule, now)
                    if occasions and not plan.has_session:
                        moments.append(now + _SILENT)
                        continue
                    due_now += [
                        decided(row.tenant_id, contact, plan.schedule, occasion, written[row.tenant_id], now)
                        for occasion in occasions
                    ]
                later[row.contact_id] = min((moment for moment in moments if moment is not None), default=None)
            await insert(connection, due_now, now)
            await connection.execute(_LOOK_LATER, {"contact_ids": list(later), "moments": list(later.values())})
        return len(rows) == _LOOKS

    async def take(self, now: datetime) -> list[Waiting]:
        """Some that the outbox doesn't have; nobody else gets them for a minute."""
        async with self._database.begin() as connection:
            parameters = {"now": now, "again_at": now + _HANDING_OVER, "most": _HAND_OVERS}
            return [Waiting(*row) for row in await connection.execute(_TAKE, parameters)]

    async def settle(self, outcomes: Sequence[HandedOver]) -> frozenset[int]:
        """Record these; the numbers of those that were withdrawn meanwhile."""
        if not outcomes:
            return frozenset()
        parameters = {
            "ids": [one.reminder_id for one in outcomes],
            "message_ids": [one.message_id for one in outcomes],
            "errors": [one.error for one in outcomes],
        }
        async with self._database.begin() as connection:
            rows = await connection.execute(_SETTLE, parameters)
            still_due = {row.reminder_id for row in rows if row.error != WITHDRAWN}
        return frozenset(one.reminder_id for one in outcomes) - still_due

    async def of_contact(self, tenant_id: str, contact_id: str, *, before: int | None, most: int) -> list[Reminder]:
        """Newest first. ``ContactNotFound``."""
        there = sa.select(sa.literal(1)).where(contacts.c.tenant_id == tenant_id, contacts.c.contact_id == contact_id)
        statement = sa.select(reminders).where(_r.tenant_id == tenant_id, _r.contact_id == contact_id)
        if before is not None:
            statement = statement.where(_r.reminder_id < before)
        async with self._database.begin() as connection:
            if (await connection.execute(there)).first() is None:
                raise ContactNotFound
            rows = await connection.execute(statement.order_by(_r.reminder_id.desc()).limit(most))
            return [_from_row(row) for row in rows]

    async def purge(self, *, retention_days: float) -> None:
        """Forget everything of tenants that were deleted so long ago, and what was told long ago."""
        old = sa.delete(reminders).where(_r.decided_at < sa.func.now() - timedelta(days=_KEPT_DAYS))
        async with self._database.begin() as connection:
            for statement in _PURGE:
                await connection.execute(statement, {"seconds": retention_days * 86_400})
            await connection.execute(old.where(_r.hand_over_at.is_(None)))


def _from_row(row: Any) -> Reminder:
    return Reminder(
        reminder_id=row.reminder_id,
        kind=ReminderKind(row.kind),
        due_date=row.due_date,
        offset_days=row.offset_days,
        session_id=row.session_id,
        message_id=row.message_id,
        error=row.error,
        decided_at=row.decided_at,
    )
