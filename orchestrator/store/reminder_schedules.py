"""When contacts are reminded, and what they are told then: schedules and a tenant's own templates."""

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.errors import ScheduleLimit, ScheduleNotFound
from orchestrator.domain.language import Language
from orchestrator.domain.reminder import MOST_SCHEDULES, ReminderKind, Schedule, Weekday
from orchestrator.store import tenants
from orchestrator.store.database import Database
from orchestrator.store.tables import reminder_contacts, reminder_schedules, reminder_templates

_s, _t = reminder_schedules.c, reminder_templates.c


class ReminderScheduleStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know. A change has the tenant's contacts looked at anew."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, tenant_id: str, schedule: Schedule) -> Schedule:
        """``ScheduleLimit``. Its id is given to it here."""
        async with self._database.begin() as connection:
            await tenants.lock(connection, tenant_id)
            count = sa.select(sa.func.count()).select_from(reminder_schedules).where(_s.tenant_id == tenant_id)
            if (await connection.execute(count)).scalar_one() >= MOST_SCHEDULES:
                raise ScheduleLimit
            values = {**_row(schedule), "tenant_id": tenant_id, "schedule_id": f"sch_{secrets.token_hex(12)}"}
            insert = sa.insert(reminder_schedules).values(**values).returning(reminder_schedules)
            made = from_row((await connection.execute(insert)).one())
            await _look_anew(connection, tenant_id, schedule.since)
            return made

    async def get(self, tenant_id: str, schedule_id: str) -> Schedule:
        """The schedule, or ``ScheduleNotFound``."""
        async with self._database.begin() as connection:
            return await _get(connection, tenant_id, schedule_id)

    async def page(self, tenant_id: str, *, after: str, most: int, session_id: str | None = None) -> list[Schedule]:
        """By id, from the one after ``after``."""
        statement = sa.select(reminder_schedules).where(_s.tenant_id == tenant_id, _s.schedule_id > after)
        if session_id is not None:
            statement = statement.where(_s.session_id == session_id)
        async with self._database.begin() as connection:
            rows = await connection.execute(statement.order_by(_s.schedule_id).limit(most))
            return [from_row(row) for row in rows]

    async def change(
        self, tenant_id: str, schedule_id: str, how: Callable[[Schedule], Schedule], now: datetime
    ) -> Schedule:
        """Make another one of it. ``ScheduleNotFound``."""
        async with self._database.begin() as connection:
            await tenants.lock(connection, tenant_id)  # before any contact: whoever locks many does it in this order
            before = await _get(connection, tenant_id, schedule_id, lock=True)
            after = how(before)
            if after != before:
                update = sa.update(reminder_schedules).where(_s.schedule_id == schedule_id)
                await connection.execute(update.values(**_row(after)))
                await _look_anew(connection, tenant_id, now)
            return after

    async def delete(self, tenant_id: str, schedule_id: str) -> None:
        """``ScheduleNotFound``."""
        async with self._database.begin() as connection:
            await _get(connection, tenant_id, schedule_id, lock=True)
            await connection.execute(sa.delete(reminder_schedules).where(_s.schedule_id == schedule_id))

    async def templates(self, tenant_id: str) -> Mapping[tuple[ReminderKind, Language], str]:
        """The texts that the tenant has written."""
        statement = sa.select(reminder_templates).where(_t.tenant_id == tenant_id)
        async with self._database.begin() as connection:
            rows = await connection.execute(statement)
            return {(ReminderKind(row.kind), Language(row.language)): row.text for row in rows}

    async def set_template(self, tenant_id: str, kind: ReminderKind, language: Language, text: str) -> None:
        insert = postgresql.insert(reminder_templates).values(
            tenant_id=tenant_id, kind=kind, language=language, text=text
        )
        replaced = {"text": text, "changed_at": sa.func.now()}
        key = [_t.tenant_id, _t.kind, _t.language]
        async with self._database.begin() as connection:
            await connection.execute(insert.on_conflict_do_update(index_elements=key, set_=replaced))

    async def remove_template(self, tenant_id: str, kind: ReminderKind, language: Language) -> None:
        """If there is one."""
        delete = sa.delete(reminder_templates).where(
            _t.tenant_id == tenant_id, _t.kind == kind, _t.language == language
        )
        async with self._database.begin() as connection:
            await connection.execute(delete)


def from_row(row: Any) -> Schedule:
    return Schedule(
        schedule_id=row.schedule_id,
        session_id=row.session_id,
        language=Language(row.language),
        time_of_day=row.time_of_day,
        time_zone=row.time_zone,
        days_before=tuple(row.days_before),
        on_due_date=row.on_due_date,
        days_after=tuple(row.days_after),
        welcome=row.welcome,
        thank=row.thank,
        quiet_weekdays=tuple(Weekday(day) for day in row.quiet_weekdays),
        catch_up_hours=row.catch_up_hours,
        enabled=row.enabled,
        since=row.since,
        created_at=row.created_at,
    )


def _row(schedule: Schedule) -> dict[str, Any]:
    """Without the id."""
    return {
        "session_id": schedule.session_id,
        "language": schedule.language,
        "time_of_day": schedule.time_of_day,
        "time_zone": schedule.time_zone,
        "days_before": list(schedule.days_before),
        "on_due_date": schedule.on_due_date,
        "days_after": list(schedule.days_after),
        "welcome": schedule.welcome,
        "thank": schedule.thank,
        "quiet_weekdays": list(schedule.quiet_weekdays),
        "catch_up_hours": schedule.catch_up_hours,
        "enabled": schedule.enabled,
        "since": schedule.since,
        "created_at": schedule.created_at,
    }


async def _get(connection: AsyncConnection, tenant_id: str, schedule_id: str, *, lock: bool = False) -> Schedule:
    statement = sa.select(reminder_schedules).where(_s.tenant_id == tenant_id, _s.schedule_id == schedule_id)
    row = (await connection.execute(statement.with_for_update() if lock else statement)).one_or_none()
    if row is None:
        raise ScheduleNotFound
    return from_row(row)


async def _look_anew(connection: AsyncConnection, tenant_id: str, now: datetime) -> None:
    update = sa.update(reminder_contacts).where(reminder_contacts.c.tenant_id == tenant_id)
    await connection.execute(update.values(look_at=now))
