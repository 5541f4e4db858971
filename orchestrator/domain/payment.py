"""A payment as MercadoPago has it, and what follows from it."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

#: A charge of ours, or a recurring payment: what we give MercadoPago as external reference. All others are of somebody
#: else who sells through the same account.
OUR_REFERENCE = re.compile(r"(chg|rec)-[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    payment_id: str
    reference: str | None
    status: str
    status_detail: str | None
    amount_cents: int | None
    """None: no whole number of cents."""
    refunded_cents: int
    currency: str | None
    approved_at: datetime | None
    updated_at: datetime
    """By which a later look at it is told from an earlier one."""
    pix_code: str | None = None

    @property
    def is_ours(self) -> bool:
        return self.reference is not None and OUR_REFERENCE.fullmatch(self.reference) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurringAgreement:
    """A preapproval: the payer's consent that MercadoPago takes the money by itself."""

    preapproval_id: str
    reference: str | None
    status: str
    url: str | None


class Effect(StrEnum):
    NONE = "none"
    """Nothing is decided yet."""
    SETTLE = "settle"
    END = "end"
    """It will not be paid."""
    REFUND = "refunded"
    CHARGE_BACK = "charged_back"


class PaymentProblem(StrEnum):
    """Why a person has to look at a payment."""

    AMOUNT_DIFFERS = "amount_differs"
    CURRENCY_DIFFERS = "currency_differs"
    UNKNOWN_REFERENCE = "unknown_reference"
    PARTIALLY_REFUNDED = "partially_refunded"
    IN_DISPUTE = "in_dispute"


@dataclass(frozen=True, slots=True)
class Expected:
    """What was asked for under a payment's reference."""

    amount_cents: int
    currency: str


@dataclass(frozen=True, slots=True)
class Verdict:
    effect: Effect
    problem: PaymentProblem | None = None


#: https://www.mercadopago.com.br/developers/en/reference/payments/_payments_id/get
_ENDED = frozenset({"rejected", "cancelled"})
#: A charge-back that MercadoPago decided for the seller.
_REIMBURSED = "reimbursed"


def verdict(payment: Payment, expected: Expected | None) -> Verdict:
    """What follows from a payment; ``expected`` None: there is nothing that it could be for."""
    match payment.status:
        case "approved" | "in_mediation":
            return _paid(payment, expected)
        case "refunded":
            return Verdict(Effect.REFUND)
        case "charged_back":
            return _paid(payment, expected) if payment.status_detail == _REIMBURSED else Verdict(Effect.CHARGE_BACK)
        case status if status in _ENDED:
            return Verdict(Effect.END)
        case _:
            return Verdict(Effect.NONE)


def _paid(payment: Payment, expected: Expected | None) -> Verdict:
    if expected is None:
        return Verdict(Effect.NONE, PaymentProblem.UNKNOWN_REFERENCE)
    if payment.currency != expected.currency:
        return Verdict(Effect.NONE, PaymentProblem.CURRENCY_DIFFERS)
    if payment.amount_cents != expected.amount_cents:
        return Verdict(Effect.NONE, PaymentProblem.AMOUNT_DIFFERS)
    if payment.status == "in_mediation":
        return Verdict(Effect.SETTLE, PaymentProblem.IN_DISPUTE)
    if payment.refunded_cents:
        return Verdict(Effect.SETTLE, PaymentProblem.PARTIALLY_REFUNDED)
    return Verdict(Effect.SETTLE)
