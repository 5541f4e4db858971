from datetime import UTC, datetime

import pytest

from orchestrator.domain.payment import Effect, Expected, Payment, PaymentProblem, Verdict, verdict

EXPECTED = Expected(4990, "BRL")
NOW = datetime(2026, 11, 27, tzinfo=UTC)


def payment(
    status: str, detail: str | None = None, cents: int | None = 4990, currency: str | None = "BRL", refunded: int = 0
) -> Payment:
    return Payment(
        payment_id="1",
        reference="chg-0123456789abcdef",
        status=status,
        status_detail=detail,
        amount_cents=cents,
        refunded_cents=refunded,
        currency=currency,
        approved_at=NOW,
        updated_at=NOW,
    )


@pytest.mark.parametrize(
    ("found", "follows"),
    [
        (payment("approved", "accredited"), Verdict(Effect.SETTLE)),
        (payment("approved", cents=4989), Verdict(Effect.NONE, PaymentProblem.AMOUNT_DIFFERS)),
        (payment("approved", cents=499000), Verdict(Effect.NONE, PaymentProblem.AMOUNT_DIFFERS)),
        (payment("approved", cents=None), Verdict(Effect.NONE, PaymentProblem.AMOUNT_DIFFERS)),
        (payment("approved", currency="ARS"), Verdict(Effect.NONE, PaymentProblem.CURRENCY_DIFFERS)),
        (payment("approved", currency=None), Verdict(Effect.NONE, PaymentProblem.CURRENCY_DIFFERS)),
        (payment("approved", refunded=1000), Verdict(Effect.SETTLE, PaymentProblem.PARTIALLY_REFUNDED)),
        (payment("in_mediation"), Verdict(Effect.SETTLE, PaymentProblem.IN_DISPUTE)),
        (payment("pending", "pending_waiting_transfer"), Verdict(Effect.NONE)),
        (payment("in_process"), Verdict(Effect.NONE)),
        (payment("authorized"), Verdict(Effect.NONE)),
        (payment("a status of tomorrow"), Verdict(Effect.NONE)),
        (payment("rejected"), Verdict(Effect.END)),
        (payment("cancelled", "expired"), Verdict(Effect.END)),
        (payment("refunded", refunded=4990), Verdict(Effect.REFUND)),
        (payment("charged_back", "in_process"), Verdict(Effect.CHARGE_BACK)),
        (payment("charged_back", "settled"), Verdict(Effect.CHARGE_BACK)),
        (payment("charged_back", "reimbursed"), Verdict(Effect.SETTLE)),
    ],
)
def test_what_follows_from_a_payment(found: Payment, follows: Verdict) -> None:
    assert verdict(found, EXPECTED) == follows


def test_a_payment_for_nothing_that_was_asked_for_is_looked_at_by_a_person() -> None:
    assert verdict(payment("approved"), None) == Verdict(Effect.NONE, PaymentProblem.UNKNOWN_REFERENCE)
