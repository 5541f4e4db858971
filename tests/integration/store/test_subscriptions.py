import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from orchestrator.domain.billing_notice import NoticeKind
from orchestrator.domain.charge import Charge
from orchestrator.domain.errors import PaymentRequired, SessionLimit, TenantNotFound
from orchestrator.domain.payment import Payment
from orchestrator.domain.plan import Period, PeriodUnit
from orchestrator.domain.session import ConnectionState, Wish
from orchestrator.domain.subscription import Subscription, SubscriptionState, Terms
from orchestrator.store.charges import ChargeStore
from orchestrator.store.database import Database
from orchestrator.store.leases import LeaseStore
from orchestrator.store.plans import PlanStore
from orchestrator.store.sessions import SessionStore
from orchestrator.store.settlements import SettlementStore
from orchestrator.store.subscriptions import SubscriptionStore
from orchestrator.store.tenants import TenantStore

TERMS = Terms(trial_days=7, trial_sessions=2, grace_days=3)
MONTH = Period(PeriodUnit.MONTH, 1)


@pytest.fixture
async def subscriptions(database: Database) -> SubscriptionStore:
    return SubscriptionStore(database)


@pytest.fixture
async def sessions(database: Database) -> SessionStore:
    return SessionStore(database)


async def scalar(database: Database, query: str) -> object:
    async with database.begin() as connection:
        return (await connection.execute(sa.text(query))).scalar_one()


async def end(subscriptions: SubscriptionStore, *, days_ago: float) -> list[NoticeKind]:
    """Have the subscription of tenant t ended; what has to be told."""

    def ended(subscription: Subscription, now: datetime) -> Subscription:
        return replace(subscription, active_until=now - timedelta(days=days_ago))

    return [notice.kind for notice in (await subscriptions.change("t", ended, TERMS)).notices]


async def test_tenants_that_were_there_before_billing_begin_their_trial(
    database: Database, subscriptions: SubscriptionStore
) -> None:
    await TenantStore(database).delete("other tenant")
    await asyncio.gather(*(subscriptions.look(TERMS) for _ in range(4)))
    assert await scalar(database, "SELECT array_agg(tenant_id ORDER BY tenant_id) FROM subscriptions") == [
        "another",
        "t",
    ]
    assert await scalar(database, "SELECT plan_sessions FROM tenants WHERE tenant_id = 't'") == 2
    assert await scalar(database, "SELECT plan_sessions FROM tenants WHERE tenant_id = 'operator'") is None
    with pytest.raises(TenantNotFound):
        await subscriptions.get("nobody", TERMS)


async def test_a_paused_session_is_to_be_closed_and_claimed_by_nobody_until_it_is_paid(
    database: Database, subscriptions: SubscriptionStore, sessions: SessionStore
) -> None:
    await sessions.create("t", "paused")
    await sessions.create("another", "runs")
    replica = LeaseStore(database, "a", 30.0)
    leases = {lease.session_id: lease for lease in await replica.claim(10)}
    assert await end(subscriptions, days_ago=4) == [NoticeKind.PAUSED]
    wishes = await replica.renew(list(leases.values()), {})
    assert wishes == {leases["paused"].session_ref: Wish.PAUSE, leases["runs"].session_ref: Wish.RUN}
    running = await sessions.get("t", "paused")
    assert running.shown_state is ConnectionState.STARTING  # somebody still runs it, and is about to close it
    await replica.release([leases["paused"]])
    closed = await sessions.get("t", "paused")
    assert (closed.shown_state, closed.desired_state) == (ConnectionState.PAUSED, "running")
    assert await replica.claim(10, [leases["runs"].session_ref]) == []
    assert (await replica.free())[0] == 0
    with pytest.raises(PaymentRequired):
        await sessions.create("t", "new")
    assert await end(subscriptions, days_ago=4.5) == []
    assert await end(subscriptions, days_ago=-10) == [NoticeKind.RESUMED]
    assert [lease.session_id for lease in await replica.claim(10, [leases["runs"].session_ref])] == ["paused"]


async def test_a_session_that_is_made_while_its_tenant_is_paused_is_paused_or_refused(
    subscriptions: SubscriptionStore, sessions: SessionStore
) -> None:
    made, _ = await asyncio.gather(
        sessions.create("t", "at-once"), end(subscriptions, days_ago=4), return_exceptions=True
    )
    if isinstance(made, BaseException):
        assert isinstance(made, PaymentRequired)
    else:
        assert (await sessions.get("t", "at-once")).paused


async def test_the_lower_one_of_two_limits_holds(
    database: Database, subscriptions: SubscriptionStore, sessions: SessionStore
) -> None:
    await subscriptions.get("t", TERMS)
    for name in ("one", "two"):
        await sessions.create("t", name)
    with pytest.raises(SessionLimit):
        await sessions.create("t", "three")
    await PlanStore(database).create("large", "Large", 9000, MONTH, sessions=None)
    await subscriptions.change("t", lambda subscription, _: replace(subscription, plan_id="large"), TERMS)
    await sessions.create("t", "three")
    await TenantStore(database).change("t", {"max_sessions": 3}, blocked=None)
    with pytest.raises(SessionLimit):
        await sessions.create("t", "four")
    await subscriptions.free_all()
    with pytest.raises(SessionLimit):
        await sessions.create("t", "four")


async def charged(database: Database, plan_id: str, price_cents: int) -> Charge:
    plan = await PlanStore(database).create(plan_id, plan_id, price_cents, MONTH, sessions=None)
    return (await ChargeStore(database).ask("t", plan, "m@example.com", timedelta(hours=1)))[0]


def paid(charge: Charge, payment_id: str, status: str = "approved", *, later: float = 0.0) -> Payment:
    now = datetime.now(UTC)
    return Payment(
        payment_id=payment_id,
        reference=charge.charge_id,
        status=status,
        status_detail=None,
        amount_cents=charge.amount_cents,
        refunded_cents=0,
        currency="BRL",
        approved_at=now,
        updated_at=now + timedelta(seconds=later),
    )


async def test_two_settles_at_once_are_one(database: Database, subscriptions: SubscriptionStore) -> None:
    settlements = SettlementStore(database)
    payment = paid(await charged(database, "basic", 3000), "1")
    recorded = await asyncio.gather(*(settlements.record(payment, TERMS) for _ in range(8)))
    assert sum(one.settled for one in recorded) == 1
    assert [notice.kind for one in recorded for notice in one.notices] == [NoticeKind.PAID]
    assert await scalar(database, "SELECT count(*) FROM invoices") == 1
    subscription = await subscriptions.get("t", TERMS)
    assert subscription.state(datetime.now(UTC), TERMS) is SubscriptionState.ACTIVE


async def test_payments_and_the_admin_at_once_lose_nothing_of_one_another(
    database: Database, subscriptions: SubscriptionStore
) -> None:
    settlements = SettlementStore(database)
    before = (await subscriptions.get("t", TERMS)).active_until
    assert before is not None
    same = [paid(await charged(database, "basic", 3000), "0")]
    same += [replace(same[0], payment_id=str(number)) for number in range(1, 5)]  # a PIX code that five have paid

    def longer(subscription: Subscription, _: datetime) -> Subscription:
        assert subscription.active_until is not None
        return replace(subscription, active_until=subscription.active_until + timedelta(days=100))

    await asyncio.gather(
        *(settlements.record(payment, TERMS) for payment in same),
        *(subscriptions.change("t", longer, TERMS) for _ in range(3)),
    )
    after = (await subscriptions.get("t", TERMS)).active_until
    assert after is not None
    assert after - before >= timedelta(days=300 + 5 * 28)
    invoices = await settlements.invoices("t", before=None, most=10)
    assert sorted(invoice.payment_id for invoice in invoices) == ["0", "1", "2", "3", "4"]


async def test_a_refund_that_overtakes_its_payment_leaves_nothing(
    database: Database, subscriptions: SubscriptionStore
) -> None:
    settlements = SettlementStore(database)
    before = await subscriptions.get("t", TERMS)
    charge = await charged(database, "basic", 3000)
    assert (await settlements.record(paid(charge, "1", "refunded", later=5), TERMS)).notices == ()
    assert not (await settlements.record(paid(charge, "1"), TERMS)).settled
    assert await subscriptions.get("t", TERMS) == before
    assert (await ChargeStore(database).get("t", charge.charge_id)).state == "refunded"
