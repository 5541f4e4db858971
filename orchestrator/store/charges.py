"""Charges."""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from orchestrator.domain.charge import Charge, ChargeState
from orchestrator.domain.errors import ChargeNotFound
from orchestrator.domain.plan import CURRENCY, Plan
from orchestrator.store.database import Database
from orchestrator.store.tables import charges

_c = charges.c

# One replica reads each of them; one that dies over it leaves it to the next round.
_TAKE_OPEN = sa.text(
    """
    UPDATE charges SET checked_at = now()
    WHERE charge_id IN (
        SELECT charge_id FROM charges
        WHERE closed_at IS NULL AND coalesce(checked_at, created_at) <= now() - make_interval(secs => :every)
        ORDER BY checked_at NULLS FIRST LIMIT :most
        FOR NO KEY UPDATE SKIP LOCKED
    )
    RETURNING *
    """
)


class ChargeStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ask(self, tenant_id: str, plan: Plan, payer_email: str, lives: timedelta) -> tuple[Charge, bool]:
        """A charge of the plan's present price, and whether it is a new one: an open one is given again."""
        async with self._database.begin() as connection:
            same = (
                (_c.tenant_id == tenant_id)
                & (_c.plan_id == plan.plan_id)
                & (_c.amount_cents == plan.price_cents)
                & (_c.state == ChargeState.PENDING)
            )
            over = sa.update(charges).where(same, _c.expires_at <= sa.func.now())
            await connection.execute(over.values(state=ChargeState.EXPIRED))
            insert = (
                postgresql.insert(charges)
                .values(
                    charge_id=f"chg-{secrets.token_hex(8)}",
                    tenant_id=tenant_id,
                    plan_id=plan.plan_id,
                    state=ChargeState.PENDING,
                    amount_cents=plan.price_cents,
                    currency=CURRENCY,
                    payer_email=payer_email,
                    expires_at=sa.func.now() + lives,
                )
                .on_conflict_do_nothing()
                .returning(charges)
            )
            row = (await connection.execute(insert)).one_or_none()
            if row is not None:
                return _from_row(row), True
            return _from_row((await connection.execute(sa.select(charges).where(same))).one()), False

    async def made(self, charge_id: str, payment_id: str, pix_code: str | None) -> Charge:
        """MercadoPago has made its payment request."""
        async with self._database.begin() as connection:
            update = sa.update(charges).where(_c.charge_id == charge_id)
            values = {"payment_id": payment_id, "pix_code": pix_code}
            return _from_row((await connection.execute(update.values(**values).returning(charges))).one())

    async def refused(self, charge_id: str) -> None:
        """MercadoPago won't make it."""
        async with self._database.begin() as connection:
            update = sa.update(charges).where(_c.charge_id == charge_id, _c.payment_id.is_(None))
            await connection.execute(update.values(state=ChargeState.REFUSED, closed_at=sa.func.now()))

    async def get(self, tenant_id: str, charge_id: str) -> Charge:
        """The charge, or ``ChargeNotFound``."""
        where = (_c.tenant_id == tenant_id) & (_c.charge_id == charge_id)
        async with self._database.begin() as connection:
            row = (await connection.execute(sa.select(charges).where(where))).one_or_none()
        if row is None:
            raise ChargeNotFound
        return _from_row(row)

    async def page(
        self, tenant_id: str, state: ChargeState | None, *, before: tuple[datetime, str] | None, most: int
    ) -> Sequence[Charge]:
        """Newest first; ``before``: the time and the id of the one that the page before ended with."""
        statement = sa.select(charges).where(_c.tenant_id == tenant_id)
        if state is not None:
            statement = statement.where(_c.state == state)
        if before is not None:
            statement = statement.where(sa.tuple_(_c.created_at, _c.charge_id) < sa.tuple_(*before))
        statement = statement.order_by(_c.created_at.desc(), _c.charge_id.desc()).limit(most)
        async with self._database.begin() as connection:
            return [_from_row(row) for row in await connection.execute(statement)]

    async def take_open(self, *, every_seconds: float, most: int) -> list[Charge]:
        """Those that MercadoPago should be asked about, because nobody has for so long."""
        async with self._database.begin() as connection:
            rows = await connection.execute(_TAKE_OPEN, {"every": every_seconds, "most": most})
            return [_from_row(row) for row in rows]


def _from_row(row: Any) -> Charge:
    return Charge(
        charge_id=row.charge_id,
        tenant_id=row.tenant_id,
        plan_id=row.plan_id,
        state=ChargeState(row.state),
        amount_cents=row.amount_cents,
        currency=row.currency,
        payer_email=row.payer_email,
        payment_id=row.payment_id,
        pix_code=row.pix_code,
        created_at=row.created_at,
        expires_at=row.expires_at,
        paid_at=row.paid_at,
    )
