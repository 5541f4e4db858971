"""Recurring payments: one at most of a tenant that isn't over."""

import secrets
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from orchestrator.domain.charge import RecurringPayment, RecurringState
from orchestrator.domain.payment import RecurringAgreement
from orchestrator.domain.plan import CURRENCY, Plan
from orchestrator.store.database import Database
from orchestrator.store.tables import recurring_payments, tenants

_r = recurring_payments.c

_STATES = {state.value: state for state in RecurringState}

_TAKE_OPEN = sa.text(
    """
    UPDATE recurring_payments SET checked_at = now()
    WHERE recurring_id IN (
        SELECT recurring_id FROM recurring_payments
        WHERE state <> 'cancelled' AND coalesce(checked_at, created_at) <= now() - make_interval(secs => :every)
        ORDER BY checked_at NULLS FIRST LIMIT :most
        FOR NO KEY UPDATE SKIP LOCKED
    )
    RETURNING *
    """
)


class RecurringPaymentStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ask(self, tenant_id: str, plan: Plan, payer_email: str) -> RecurringPayment:
        """The tenant's that isn't over, or a new one for this plan."""
        async with self._database.begin() as connection:
            insert = (
                postgresql.insert(recurring_payments)
                .values(
                    recurring_id=f"rec-{secrets.token_hex(8)}",
                    tenant_id=tenant_id,
                    plan_id=plan.plan_id,
                    state=RecurringState.PENDING,
                    amount_cents=plan.price_cents,
                    currency=CURRENCY,
                    payer_email=payer_email,
                )
                .on_conflict_do_nothing()
                .returning(recurring_payments)
            )
            row = (await connection.execute(insert)).one_or_none()
            if row is None:
                row = (await connection.execute(_current(tenant_id))).one()
            return _from_row(row)

    async def current(self, tenant_id: str) -> RecurringPayment | None:
        """The tenant's that isn't over."""
        async with self._database.begin() as connection:
            row = (await connection.execute(_current(tenant_id))).one_or_none()
            return None if row is None else _from_row(row)

    async def record(self, recurring_id: str, agreement: RecurringAgreement) -> RecurringPayment | None:
        """What MercadoPago says of it; None if there is none of this id. One that is over stays so."""
        state = _STATES.get(agreement.status, RecurringState.PENDING)
        values = {"preapproval_id": agreement.preapproval_id, "url": agreement.url, "state": state}
        async with self._database.begin() as connection:
            update = sa.update(recurring_payments).where(
                _r.recurring_id == recurring_id, _r.state != RecurringState.CANCELLED
            )
            row = (await connection.execute(update.values(**values).returning(recurring_payments))).one_or_none()
            return None if row is None else _from_row(row)

    async def cancelled(self, recurring_id: str) -> None:
        """Nothing is taken any more."""
        async with self._database.begin() as connection:
            update = sa.update(recurring_payments).where(_r.recurring_id == recurring_id)
            await connection.execute(update.values(state=RecurringState.CANCELLED))

    async def orphaned(self) -> list[RecurringPayment]:
        """Those whose tenant was deleted: nobody wants to pay them any more."""
        t = tenants.c
        deleted = sa.select(t.tenant_id).where(t.tenant_id == _r.tenant_id, t.deleted_at.is_not(None)).exists()
        async with self._database.begin() as connection:
            statement = sa.select(recurring_payments).where(_r.state != RecurringState.CANCELLED, deleted)
            return [_from_row(row) for row in await connection.execute(statement)]

    async def take_open(self, *, every_seconds: float, most: int) -> list[RecurringPayment]:
        """Those that MercadoPago should be asked about, because nobody has for so long."""
        async with self._database.begin() as connection:
            rows = await connection.execute(_TAKE_OPEN, {"every": every_seconds, "most": most})
            return [_from_row(row) for row in rows]


def _current(tenant_id: str) -> sa.Select[Any]:
    return sa.select(recurring_payments).where(_r.tenant_id == tenant_id, _r.state != RecurringState.CANCELLED)


def _from_row(row: Any) -> RecurringPayment:
    return RecurringPayment(
        recurring_id=row.recurring_id,
        tenant_id=row.tenant_id,
        plan_id=row.plan_id,
        state=RecurringState(row.state),
        amount_cents=row.amount_cents,
        currency=row.currency,
        payer_email=row.payer_email,
        preapproval_id=row.preapproval_id,
        url=row.url,
        created_at=row.created_at,
    )
