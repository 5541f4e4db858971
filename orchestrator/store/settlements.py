"""Payments, and the invoices that they settle: each once, however often and in whatever order it is told."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.billing_notice import Notice, NoticeKind
from orchestrator.domain.charge import ChargeState, Invoice, Reversal
from orchestrator.domain.payment import Effect, Expected, Payment, PaymentProblem, Verdict, verdict
from orchestrator.domain.plan import TIME_ZONE
from orchestrator.domain.subscription import PaidPeriod, Terms, given_again, paid_period, taken_back
from orchestrator.domain.tenant import OPERATOR_TENANT
from orchestrator.store import notices, plans
from orchestrator.store import subscriptions as subscription_rows
from orchestrator.store.database import Database
from orchestrator.store.subscriptions import Changed
from orchestrator.store.tables import charges, invoices, payments, recurring_payments

_REVERSALS = {
    Effect.REFUND: (ChargeState.REFUNDED, NoticeKind.REFUNDED),
    Effect.CHARGE_BACK: (ChargeState.CHARGED_BACK, NoticeKind.CHARGED_BACK),
}

_TAKE_SETTLED = sa.text(
    """
    UPDATE payments SET read_at = now()
    WHERE payment_id IN (
        SELECT payment_id FROM payments
        WHERE approved_at > now() - make_interval(secs => :days * 86400)
          AND read_at <= now() - make_interval(secs => :every)
        ORDER BY read_at LIMIT :most
        FOR NO KEY UPDATE SKIP LOCKED
    )
    RETURNING payment_id
    """
)

_REVENUE = sa.text(
    """
    SELECT to_char(m.month, 'YYYY-MM') AS month, count(i.invoice_id) AS invoices,
        coalesce(sum(i.amount_cents), 0) AS paid,
        coalesce(sum(i.amount_cents) FILTER (WHERE i.reversed_at IS NOT NULL), 0) AS reversed
    FROM generate_series(
        date_trunc('month', now() AT TIME ZONE :zone) - make_interval(months => :months - 1),
        date_trunc('month', now() AT TIME ZONE :zone), '1 month'
    ) AS m (month)
    LEFT JOIN invoices i
        ON i.paid_at >= m.month AT TIME ZONE :zone AND i.paid_at < (m.month + interval '1 month') AT TIME ZONE :zone
    GROUP BY m.month ORDER BY m.month
    """
)


@dataclass(frozen=True, slots=True)
class RecordedPayment:
    """A payment as it was last read, whose it is, and why a person has to look at it."""

    number: int
    payment: Payment
    tenant_id: str | None
    problem: PaymentProblem | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """``settled``: an invoice was made by this."""

    settled: bool = False
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class RevenueOfMonth:
    month: str
    paid_cents: int
    reversed_cents: int
    invoices: int


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a payment is for. Its row is locked, so that the same payment is dealt with once at a time."""

    tenant_id: str
    plan_id: str
    expected: Expected
    charge_id: str | None


class SettlementStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, payment: Payment, terms: Terms) -> Recorded:
        """Note what MercadoPago says of a payment of ours, and do what follows from it, in one transaction.

        An earlier look that comes later changes nothing.
        """
        async with self._database.begin() as connection:
            asked = await _asked(connection, payment)
            found = verdict(payment, asked.expected if asked else None)
            if not await _put(connection, payment, asked, found.problem):
                return Recorded()
            settled = False
            told: tuple[Notice, ...] = ()
            if asked is not None:
                settled, told = await _follow(connection, payment, asked, found, terms)
            # Last: a notice has all others wait, and the subscription may have to be waited for.
            problem = await _told_of_problem(connection, payment, asked, found.problem)
            return Recorded(settled, (*told, *problem))

    async def take_settled(self, *, days: float, every_seconds: float, most: int) -> list[str]:
        """The ids of payments whose money may have gone back unheard of: approved within so many days, and not read since."""
        async with self._database.begin() as connection:
            rows = await connection.execute(_TAKE_SETTLED, {"days": days, "every": every_seconds, "most": most})
            return list(rows.scalars())

    async def invoices(self, tenant_id: str, *, before: int | None, most: int) -> list[Invoice]:
        """Newest first; ``before``: the number of the one that the page before ended with."""
        i = invoices.c
        statement = sa.select(invoices).where(i.tenant_id == tenant_id).order_by(i.invoice_id.desc()).limit(most)
        if before is not None:
            statement = statement.where(i.invoice_id < before)
        async with self._database.begin() as connection:
            return [_invoice(row) for row in await connection.execute(statement)]

    async def payments(
        self, tenant_id: str | None, *, problems: bool, before: int | None, most: int
    ) -> list[RecordedPayment]:
        """Those that were heard of last first, of one tenant or of all; ``problems``: only those with one."""
        p = payments.c
        statement = sa.select(payments).order_by(p.number.desc()).limit(most)
        if tenant_id is not None:
            statement = statement.where(p.tenant_id == tenant_id)
        if problems:
            statement = statement.where(p.problem.is_not(None))
        if before is not None:
            statement = statement.where(p.number < before)
        async with self._database.begin() as connection:
            return [_recorded_payment(row) for row in await connection.execute(statement)]

    async def revenue(self, *, months: int) -> list[RevenueOfMonth]:
        """Of the last so many months, this one included, oldest first."""
        async with self._database.begin() as connection:
            rows = await connection.execute(_REVENUE, {"months": months, "zone": TIME_ZONE.key})
            return [RevenueOfMonth(row.month, row.paid, row.reversed, row.invoices) for row in rows]


async def _asked(connection: AsyncConnection, payment: Payment) -> _Asked | None:
    """The charge or the recurring payment that it refers to."""
    for table, key in ((charges, charges.c.charge_id), (recurring_payments, recurring_payments.c.recurring_id)):
        statement = sa.select(table).where(key == payment.reference).with_for_update(key_share=True)
        row = (await connection.execute(statement)).one_or_none()
        if row is not None:
            charge_id = payment.reference if table is charges else None
            return _Asked(row.tenant_id, row.plan_id, Expected(row.amount_cents, row.currency), charge_id)
    return None


async def _put(
    connection: AsyncConnection, payment: Payment, asked: _Asked | None, problem: PaymentProblem | None
) -> bool:
    """False if a later look at it is on record."""
    insert = postgresql.insert(payments).values(
        payment_id=payment.payment_id,
        tenant_id=asked.tenant_id if asked else None,
        reference=payment.reference,
        status=payment.status,
        status_detail=payment.status_detail,
        amount_cents=payment.amount_cents,
        refunded_cents=payment.refunded_cents,
        currency=payment.currency,
        problem=problem,
        approved_at=payment.approved_at,
        updated_at=payment.updated_at,
        read_at=sa.func.now(),
    )
    newer = {
        name: insert.excluded[name]
        for name in ("status status_detail amount_cents refunded_cents currency problem approved_at updated_at".split())
    }
    update = insert.on_conflict_do_update(
        index_elements=[payments.c.payment_id],
        set_=newer,
        where=insert.excluded.updated_at >= payments.c.updated_at,
    )
    return (await connection.execute(update.returning(payments.c.payment_id))).one_or_none() is not None


async def _follow(
    connection: AsyncConnection, payment: Payment, asked: _Asked, found: Verdict, terms: Terms
) -> tuple[bool, tuple[Notice, ...]]:
    """Do what follows from a payment; whether an invoice was made by that."""
    match found.effect:
        case Effect.SETTLE:
            return await _settle(connection, payment, asked, terms)
        case Effect.REFUND | Effect.CHARGE_BACK:
            return False, await _reverse(connection, payment, asked, found.effect, terms)
        case Effect.END:
            await _end(connection, payment, asked)
        case Effect.NONE:
            # A person has to decide, so it isn't read again and again.
            if found.problem is not None:
                await _close(connection, asked, None)
    return False, ()


async def _settle(
    connection: AsyncConnection, payment: Payment, asked: _Asked, terms: Terms
) -> tuple[bool, tuple[Notice, ...]]:
    invoice = await _invoice_of(connection, payment)
    if invoice is not None and invoice.reversed_at is None:
        return False, ()
    subscription = await subscription_rows.lock(connection, asked.tenant_id, terms)
    paid_at = payment.approved_at or payment.updated_at
    if invoice is None:
        bought = await plans.read(connection, asked.plan_id)
        held = await plans.read(connection, subscription.plan_id) if subscription.plan_id else None
        period = paid_period(subscription, bought, held, paid_at, terms)
        changed = Changed(period.after)
        await _add_invoice(connection, payment, asked, period, paid_at)
    else:
        changed = Changed(given_again(subscription, invoice.period_from, invoice.period_to))
        back: dict[str, Any] = {"reversed_at": None, "reversed_by": None}
        await connection.execute(_update(invoice).values(**back))
    await _close(connection, asked, ChargeState.PAID, paid_at=paid_at)
    told = await _add_notice(connection, payment, asked, NoticeKind.PAID, changed, terms)
    await subscription_rows.save(connection, changed, terms)
    return invoice is None, (*told, *changed.notices)


async def _reverse(
    connection: AsyncConnection, payment: Payment, asked: _Asked, effect: Effect, terms: Terms
) -> tuple[Notice, ...]:
    state, kind = _REVERSALS[effect]
    await _close(connection, asked, state)
    invoice = await _invoice_of(connection, payment)
    if invoice is None or invoice.reversed_at is not None:
        return ()
    subscription = await subscription_rows.lock(connection, asked.tenant_id, terms)
    changed = Changed(taken_back(subscription, invoice.period_from, invoice.period_to))
    await connection.execute(_update(invoice).values(reversed_at=sa.func.now(), reversed_by=effect))
    told = await _add_notice(connection, payment, asked, kind, changed, terms)
    await subscription_rows.save(connection, changed, terms)
    return (*told, *changed.notices)


async def _end(connection: AsyncConnection, payment: Payment, asked: _Asked) -> None:
    """It will not be paid. A charge that another payment has settled stays so."""
    state = ChargeState.REFUSED if payment.status == "rejected" else ChargeState.EXPIRED
    await _close(connection, asked, state, only=(ChargeState.PENDING, ChargeState.EXPIRED))


async def _close(
    connection: AsyncConnection,
    asked: _Asked,
    state: ChargeState | None,
    *,
    paid_at: datetime | None = None,
    only: tuple[ChargeState, ...] = tuple(ChargeState),
) -> None:
    if asked.charge_id is None:
        return
    c = charges.c
    update = sa.update(charges).where(c.charge_id == asked.charge_id, c.state.in_(only))
    values: dict[str, Any] = {"closed_at": sa.func.now()}
    if state is not None:
        values["state"] = state
    if paid_at is not None:
        values["paid_at"] = paid_at
    await connection.execute(update.values(**values))


async def _add_invoice(
    connection: AsyncConnection, payment: Payment, asked: _Asked, period: PaidPeriod, paid_at: datetime
) -> None:
    insert = sa.insert(invoices).values(
        payment_id=payment.payment_id,
        charge_id=asked.charge_id,
        tenant_id=asked.tenant_id,
        plan_id=asked.plan_id,
        amount_cents=asked.expected.amount_cents,
        currency=asked.expected.currency,
        period_from=period.begins_at,
        period_to=period.ends_at,
        paid_at=paid_at,
    )
    await connection.execute(insert)


async def _add_notice(
    connection: AsyncConnection, payment: Payment, asked: _Asked, kind: NoticeKind, changed: Changed, terms: Terms
) -> tuple[Notice, ...]:
    data = _shown(payment, asked) | subscription_rows.shown(changed.subscription, terms)
    subject = f"{payment.payment_id} {payment.updated_at.isoformat()}"
    notice = await notices.add(connection, asked.tenant_id, kind, subject, data)
    return () if notice is None else (notice,)


async def _told_of_problem(
    connection: AsyncConnection, payment: Payment, asked: _Asked | None, problem: PaymentProblem | None
) -> tuple[Notice, ...]:
    if problem is None:
        return ()
    tenant_id = asked.tenant_id if asked else OPERATOR_TENANT
    data = _shown(payment, asked) | {"problem": problem}
    subject = f"{payment.payment_id} {problem}"
    notice = await notices.add(connection, tenant_id, NoticeKind.PAYMENT_PROBLEM, subject, data)
    return () if notice is None else (notice,)


def _shown(payment: Payment, asked: _Asked | None) -> dict[str, str | int | None]:
    return {
        "payment_id": payment.payment_id,
        "charge_id": asked.charge_id if asked else None,
        "amount_cents": payment.amount_cents,
        "currency": payment.currency,
    }


async def _invoice_of(connection: AsyncConnection, payment: Payment) -> Invoice | None:
    statement = sa.select(invoices).where(invoices.c.payment_id == payment.payment_id)
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else _invoice(row)


def _update(invoice: Invoice) -> sa.Update:
    return sa.update(invoices).where(invoices.c.invoice_id == invoice.invoice_id)


def _invoice(row: Any) -> Invoice:
    return Invoice(
        invoice_id=row.invoice_id,
        tenant_id=row.tenant_id,
        plan_id=row.plan_id,
        charge_id=row.charge_id,
        payment_id=row.payment_id,
        amount_cents=row.amount_cents,
        currency=row.currency,
        period_from=row.period_from,
        period_to=row.period_to,
        paid_at=row.paid_at,
        reversed_at=row.reversed_at,
        reversed_by=None if row.reversed_by is None else Reversal(row.reversed_by),
    )


def _recorded_payment(row: Any) -> RecordedPayment:
    payment = Payment(
        payment_id=row.payment_id,
        reference=row.reference,
        status=row.status,
        status_detail=row.status_detail,
        amount_cents=row.amount_cents,
        refunded_cents=row.refunded_cents,
        currency=row.currency,
        approved_at=row.approved_at,
        updated_at=row.updated_at,
    )
    problem = None if row.problem is None else PaymentProblem(row.problem)
    return RecordedPayment(row.number, payment, row.tenant_id, problem)
