"""Plans."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.errors import PlanExists, PlanNotFound
from orchestrator.domain.plan import Period, PeriodUnit, Plan
from orchestrator.store.database import Database
from orchestrator.store.tables import plans


def _from_row(row: Any) -> Plan:
    return Plan(
        plan_id=row.plan_id,
        name=row.name,
        price_cents=row.price_cents,
        period=Period(PeriodUnit(row.period_unit), row.period_count),
        sessions=row.sessions,
        available=row.available,
        created_at=row.created_at,
    )


class PlanStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, plan_id: str, name: str, price_cents: int, period: Period, sessions: int | None) -> Plan:
        """``PlanExists``."""
        values = {
            "plan_id": plan_id,
            "name": name,
            "price_cents": price_cents,
            "period_unit": period.unit,
            "period_count": period.count,
            "sessions": sessions,
        }
        async with self._database.begin() as connection:
            insert = postgresql.insert(plans).values(**values).on_conflict_do_nothing().returning(plans)
            row = (await connection.execute(insert)).one_or_none()
        if row is None:
            raise PlanExists
        return _from_row(row)

    async def get(self, plan_id: str) -> Plan:
        """The plan, or ``PlanNotFound``."""
        async with self._database.begin() as connection:
            return await read(connection, plan_id)

    async def page(self, *, after: str | None, most: int) -> list[Plan]:
        """By id, from the one after ``after``."""
        statement = sa.select(plans).order_by(plans.c.plan_id).limit(most)
        if after is not None:
            statement = statement.where(plans.c.plan_id > after)
        async with self._database.begin() as connection:
            return [_from_row(row) for row in await connection.execute(statement)]

    async def change(self, plan_id: str, values: Mapping[str, Any]) -> Plan:
        """Set columns of a plan. ``PlanNotFound``."""
        async with self._database.begin() as connection:
            if values:
                await connection.execute(sa.update(plans).where(plans.c.plan_id == plan_id).values(**values))
            return await read(connection, plan_id)


async def read(connection: AsyncConnection, plan_id: str) -> Plan:
    """The plan, or ``PlanNotFound``."""
    row = (await connection.execute(sa.select(plans).where(plans.c.plan_id == plan_id))).one_or_none()
    if row is None:
        raise PlanNotFound
    return _from_row(row)
