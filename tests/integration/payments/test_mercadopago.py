"""The real SDK against MercadoPago's API on loopback."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.domain.charge import Charge, ChargeState, RecurringPayment, RecurringState
from orchestrator.domain.errors import PaymentProviderUnavailable, PaymentRefused
from orchestrator.domain.plan import Period, PeriodUnit, Plan
from orchestrator.payments.mercadopago import MercadoPago
from tests.support.fake_mercadopago import ACCESS_TOKEN, WEBHOOK_SECRET, FakeMercadoPago, fake_mercadopago
from tests.support.processes import PATIENCE, free_port

NOW = datetime.now(UTC)
CHARGE = Charge(
    charge_id="chg-0123456789abcdef",
    tenant_id="t",
    plan_id="basic",
    state=ChargeState.PENDING,
    amount_cents=1999,  # 19.99 has no exact double
    currency="BRL",
    payer_email="maria@example.com",
    payment_id=None,
    pix_code=None,
    created_at=NOW,
    expires_at=NOW + timedelta(hours=1),
    paid_at=None,
)
PLAN = Plan(
    plan_id="basic",
    name="Basic",
    price_cents=1999,
    period=Period(PeriodUnit.MONTH, 1),
    sessions=1,
    available=True,
    created_at=NOW,
)
RECURRING = RecurringPayment(
    recurring_id="rec-0123456789abcdef",
    tenant_id="t",
    plan_id="basic",
    state=RecurringState.PENDING,
    amount_cents=1999,
    currency="BRL",
    payer_email="maria@example.com",
    preapproval_id=None,
    url=None,
    created_at=NOW,
)


@pytest.fixture
async def provider() -> AsyncIterator[FakeMercadoPago]:
    async with fake_mercadopago() as fake:
        yield fake


def gateway(url: str, token: str = ACCESS_TOKEN) -> MercadoPago:
    seconds = 1.0 * PATIENCE
    return MercadoPago(
        token, webhook_secret=WEBHOOK_SECRET, api_url=url, call_seconds=seconds, pauses_seconds=(0.01, 0.01)
    )


@pytest.fixture
async def mercadopago(provider: FakeMercadoPago) -> AsyncIterator[MercadoPago]:
    made = gateway(provider.url)
    yield made
    made.close()


async def test_a_charge_is_made_once_however_often_it_is_asked_for(
    mercadopago: MercadoPago, provider: FakeMercadoPago
) -> None:
    provider.failures += ["lost", 500]
    first = await mercadopago.create_pix(CHARGE, "Basic")
    again = await mercadopago.create_pix(CHARGE, "Basic")
    assert first == again
    assert len(provider.payments) == 1
    assert first.amount_cents == 1999
    assert (first.reference, first.status) == (CHARGE.charge_id, "pending")
    assert first.pix_code is not None
    assert first.pix_code.startswith("000201")
    assert provider.of(CHARGE.charge_id)["transaction_amount"] == 19.99


async def test_a_payment_is_read_as_it_is_now(mercadopago: MercadoPago, provider: FakeMercadoPago) -> None:
    made = await mercadopago.create_pix(CHARGE, "Basic")
    provider.approve(made.payment_id)
    paid = await mercadopago.payment(made.payment_id)
    assert paid is not None
    assert (paid.status, paid.amount_cents, paid.refunded_cents) == ("approved", 1999, 0)
    assert paid.updated_at > made.updated_at
    provider.change(made.payment_id, transaction_amount=19.999)
    odd = await mercadopago.payment(made.payment_id)
    assert odd is not None
    assert odd.amount_cents is None
    assert await mercadopago.payment("17") is None
    assert [found.payment_id for found in await mercadopago.payments_for(CHARGE.charge_id)] == [made.payment_id]


async def test_recurring_payments_are_agreed_to_and_ended(mercadopago: MercadoPago, provider: FakeMercadoPago) -> None:
    provider.failures += [429, "lost"]
    agreement = await mercadopago.create_recurring(RECURRING, PLAN, "https://example.com")
    assert (agreement.status, agreement.reference) == ("pending", RECURRING.recurring_id)
    assert agreement.url is not None
    authorized = provider.pay_recurring(agreement.preapproval_id)
    payment_id = await mercadopago.payment_of_authorized(authorized)
    assert payment_id is not None
    paid = await mercadopago.payment(payment_id)
    assert paid is not None
    assert (paid.reference, paid.status) == (RECURRING.recurring_id, "approved")
    assert (await mercadopago.cancel_recurring(agreement.preapproval_id)).status == "cancelled"
    again = await mercadopago.recurring(agreement.preapproval_id)
    assert again is not None
    assert again.status == "cancelled"
    assert await mercadopago.recurring("unknown") is None
    assert await mercadopago.payment_of_authorized("17") is None


@pytest.mark.parametrize("failure", [500, 503, 429, 423, "hang", "lost"])
async def test_a_provider_that_does_not_answer_is_asked_three_times(
    mercadopago: MercadoPago, provider: FakeMercadoPago, failure: int | str
) -> None:
    provider.failures += [failure] * 3  # type: ignore[list-item]
    with pytest.raises(PaymentProviderUnavailable):
        await mercadopago.create_pix(CHARGE, "Basic")
    assert len(provider.calls) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409])
async def test_a_refusal_is_not_asked_for_again(
    mercadopago: MercadoPago, provider: FakeMercadoPago, status: int
) -> None:
    provider.failures.append(status)
    with pytest.raises(PaymentRefused) as refused:
        await mercadopago.create_pix(CHARGE, "Basic")
    assert "as the test wants it" in refused.value.message
    assert ACCESS_TOKEN not in refused.value.message
    assert len(provider.calls) == 1


async def test_without_a_server_it_is_unavailable() -> None:
    nowhere = gateway(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(PaymentProviderUnavailable) as unavailable:
        await nowhere.payment("1")
    assert ACCESS_TOKEN not in repr(unavailable.value)
    nowhere.close()


async def test_the_fake_is_strict(mercadopago: MercadoPago, provider: FakeMercadoPago) -> None:
    with pytest.raises(PaymentRefused):
        await mercadopago.create_pix(replace(CHARGE, payer_email="nobody"), "Basic")
    with pytest.raises(PaymentRefused):
        await gateway(provider.url, "wrong").payment("1")
    assert len(provider.violations) == 2
    provider.violations.clear()


@pytest.mark.parametrize("milliseconds", [False, True])
def test_notifications_are_checked_with_the_secret(*, milliseconds: bool) -> None:
    fake, ours = FakeMercadoPago(), gateway("http://127.0.0.1")
    _, headers, _ = fake.notification("2C93", milliseconds=milliseconds)
    _, forged, _ = fake.notification("2C93", milliseconds=milliseconds, forged=True)
    assert ours.signed(headers["x-signature"], headers["x-request-id"], "2C93")
    assert not ours.signed(forged["x-signature"], forged["x-request-id"], "2C93")
    assert not MercadoPago(ACCESS_TOKEN).signed(headers["x-signature"], headers["x-request-id"], "2C93")
