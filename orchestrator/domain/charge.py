"""A charge: one PIX payment request; a recurring payment, which makes its own; and the invoice of what was paid."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from orchestrator.domain.errors import ChargeNotFound

CHARGE_ID = re.compile(r"chg-[0-9a-f]{16}")


class ChargeState(StrEnum):
    PENDING = "pending"
    PAID = "paid"
    EXPIRED = "expired"
    """Nobody has paid it in time. A payment that comes all the same counts."""
    REFUSED = "refused"
    """MercadoPago has refused to make it, or the payment."""
    REFUNDED = "refunded"
    CHARGED_BACK = "charged_back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    charge_id: str
    tenant_id: str
    plan_id: str
    state: ChargeState
    amount_cents: int
    currency: str
    payer_email: str
    payment_id: str | None
    """MercadoPago's; None until it is known to have made the payment request."""
    pix_code: str | None
    created_at: datetime
    expires_at: datetime
    paid_at: datetime | None


class RecurringState(StrEnum):
    PENDING = "pending"
    """Whoever pays has yet to agree."""
    AUTHORIZED = "authorized"
    PAUSED = "paused"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurringPayment:
    """MercadoPago charges the tenant by itself, period after period."""

    recurring_id: str
    tenant_id: str
    plan_id: str
    state: RecurringState
    amount_cents: int
    currency: str
    payer_email: str
    preapproval_id: str | None
    """MercadoPago's; None until it is known to have it."""
    url: str | None
    """Where whoever pays agrees to it."""
    created_at: datetime


class Reversal(StrEnum):
    """How the money of an invoice went back."""

    REFUNDED = "refunded"
    CHARGED_BACK = "charged_back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """What was paid for which time."""

    invoice_id: int
    tenant_id: str
    plan_id: str
    charge_id: str | None
    payment_id: str
    amount_cents: int
    currency: str
    period_from: datetime
    period_to: datetime
    paid_at: datetime
    reversed_at: datetime | None
    reversed_by: Reversal | None


def existing_charge_id(text: str) -> str:
    """A charge id as it came in a request; ``ChargeNotFound`` at once for what can't be one."""
    if not CHARGE_ID.fullmatch(text):
        raise ChargeNotFound
    return text
