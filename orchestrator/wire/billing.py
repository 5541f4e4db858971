"""Plans, subscriptions, charges and what was paid. Prices are in cents of the currency, which is BRL."""

from datetime import datetime
from typing import Annotated, TypeAlias

from msgspec import UNSET, Meta, UnsetType, field

from orchestrator.domain.billing_notice import NoticeKind
from orchestrator.domain.charge import ChargeState, RecurringState, Reversal
from orchestrator.domain.payment import PaymentProblem
from orchestrator.domain.plan import PeriodUnit
from orchestrator.domain.subscription import SubscriptionState
from orchestrator.wire.pages import NextCursor, Page
from orchestrator.wire.shape import Answer, Request, Timestamp, text
from orchestrator.wire.tenants import TenantId

PlanId: TypeAlias = Annotated[
    str,
    text(
        'The id of the plan: 1 to 64 of a-z A-Z 0-9 . _ -, and not "." or "..".',
        example="basic",
        pattern=r"^(?!\.\.?$)[A-Za-z0-9._\-]{1,64}$",
    ),
]
ChargeId: TypeAlias = Annotated[str, text("The id of the charge.", example="chg-0123456789abcdef")]

_Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200, pattern="^[^\x00]*$", description="For people.")]
_Price: TypeAlias = Annotated[int, Meta(ge=1, le=100_000_000, description="In cents.", examples=[4990])]
_Sessions: TypeAlias = (
    Annotated[
        int, Meta(ge=1, le=1_000_000, description="Sessions that the tenant may have; null: no limit of the plan's.")
    ]
    | None
)
_Email: TypeAlias = Annotated[
    str,
    Meta(
        max_length=254,
        pattern=r"^[^@\s\x00]+@[^@\s\x00]+\.[^@\s\x00]+$",
        description="Where MercadoPago sends its receipt. Remembered; needed once, unless the operator has set one for all.",
        examples=["maria@example.com"],
    ),
]
_Cents: TypeAlias = Annotated[int, Meta(description="In cents.", examples=[4990])]
_Currency: TypeAlias = Annotated[str, Meta(examples=["BRL"])]
_TenantOrAll: TypeAlias = Annotated[str | None, Meta(description="What concerns this tenant only.")]


class Period(Request, frozen=True):
    """What one payment is for. Months end on the same day again, or on the last one that a month has."""

    unit: PeriodUnit = PeriodUnit.MONTH
    count: Annotated[int, Meta(ge=1, le=366)] = 1


class CreatePlan(Request, frozen=True, kw_only=True):
    plan_id: PlanId
    name: _Name
    price_cents: _Price
    period: Period = Period()
    sessions: _Sessions = None


class ChangePlan(Request, frozen=True, kw_only=True):
    """What isn't named stays as it is. A new price holds for new charges; sessions for the plan's subscriptions at once."""

    name: _Name | UnsetType = UNSET
    price_cents: _Price | UnsetType = UNSET
    sessions: _Sessions | UnsetType = UNSET
    available: Annotated[bool | UnsetType, Meta(description="Whether it can be bought.")] = UNSET


class Plan(Answer, frozen=True, kw_only=True):
    plan_id: PlanId
    name: str
    price_cents: _Cents
    currency: _Currency
    period: Period
    sessions: _Sessions
    available: Annotated[bool, Meta(description="Whether it can be bought.")]
    created_at: Timestamp


class Plans(Answer, frozen=True, kw_only=True):
    plans: list[Plan]
    next_cursor: NextCursor


class RecurringPayment(Answer, frozen=True, kw_only=True):
    """MercadoPago charges the tenant by itself, period after period."""

    plan_id: PlanId
    state: Annotated[RecurringState, Meta(description="pending: whoever pays has yet to agree to it at ``url``.")]
    url: Annotated[str | None, text("Where whoever pays agrees to it.", example="https://www.mercadopago.com.br/...")]
    amount_cents: _Cents
    created_at: Timestamp


class Subscription(Answer, frozen=True, kw_only=True):
    """What a tenant has paid for."""

    tenant_id: TenantId
    state: Annotated[
        SubscriptionState,
        Meta(
            description="free: never ends, as for the operator and wherever billing is off. grace: it has ended, and the "
            "sessions are paused at ``grace_until``. paused: they are; a payment brings them back without a QR code."
        ),
    ]
    plan_id: PlanId | None
    active_until: Timestamp | None
    grace_until: Annotated[Timestamp | None, Meta(description="When the sessions are paused if nobody pays.")]
    sessions: Annotated[
        int | None, Meta(description="Sessions that the subscription allows; null: no limit of its own.")
    ]
    recurring: RecurringPayment | None
    billing: Annotated[bool, Meta(description="Whether payments are taken here at all.")]


class ChangeSubscription(Request, frozen=True, kw_only=True):
    """What isn't named stays as it is."""

    extend_days: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=3660,
                description="Days to give, from the end of the subscription, or from now if that is past.",
            ),
        ]
        | UnsetType
    ) = UNSET
    active_until: Annotated[
        Annotated[datetime, Meta(tz=True)] | UnsetType | None,
        Meta(description="ISO 8601 with a time zone; null: it never ends."),
    ] = UNSET
    plan_id: Annotated[
        PlanId | UnsetType, Meta(description="Another plan, whose number of sessions holds at once; its end stays.")
    ] = UNSET


class CreateCharge(Request, frozen=True, kw_only=True):
    plan_id: PlanId
    payer_email: _Email | None = None
    expires_in_seconds: Annotated[
        int, Meta(ge=1800, le=2_592_000, description="How long it can be paid: half an hour to 30 days.")
    ] = 86_400


class Charge(Answer, frozen=True, kw_only=True):
    """A PIX payment request."""

    charge_id: ChargeId
    tenant_id: TenantId
    plan_id: PlanId
    state: ChargeState
    amount_cents: _Cents
    currency: _Currency
    pix_code: Annotated[
        str | None,
        text("To be pasted in the bank's app (Pix Copia e Cola).", example="00020126580014br.gov.bcb.pix..."),
    ]
    created_at: Timestamp
    expires_at: Timestamp
    paid_at: Timestamp | None


class ListCharges(Page, frozen=True):
    state: Annotated[ChargeState | None, Meta(description="Those in this state only.")] = None


class Charges(Answer, frozen=True, kw_only=True):
    charges: list[Charge]
    next_cursor: NextCursor


class CreateRecurringPayment(Request, frozen=True, kw_only=True):
    plan_id: PlanId
    payer_email: _Email | None = None


class Invoice(Answer, frozen=True, kw_only=True):
    """What was paid for which time."""

    invoice_id: int
    tenant_id: TenantId
    plan_id: PlanId
    charge_id: Annotated[ChargeId | None, Meta(description="null: a recurring payment.")]
    payment_id: Annotated[str, Meta(description="MercadoPago's.")]
    amount_cents: _Cents
    currency: _Currency
    period_from: Timestamp
    period_to: Timestamp
    paid_at: Timestamp
    reversed_at: Annotated[Timestamp | None, Meta(description="When the money went back, and the time with it.")]
    reversed_by: Reversal | None


class Invoices(Answer, frozen=True, kw_only=True):
    invoices: list[Invoice]
    next_cursor: NextCursor


class ListPayments(Page, frozen=True):
    tenant_id: _TenantOrAll = None
    problems: Annotated[bool, Meta(description="Only those that a person has to look at.")] = False


class Payment(Answer, frozen=True, kw_only=True):
    """A payment as MercadoPago had it when it was last read."""

    payment_id: str
    tenant_id: TenantId | None
    reference: Annotated[
        str | None, Meta(description="Its external reference: a charge of ours, or a recurring payment.")
    ]
    status: str
    status_detail: str | None
    amount_cents: int | None
    refunded_cents: int
    currency: str | None
    problem: Annotated[
        PaymentProblem | None,
        Meta(description="Why a person has to look at it. A payment that differs settles nothing."),
    ]
    approved_at: Timestamp | None
    updated_at: Timestamp


class Payments(Answer, frozen=True, kw_only=True):
    payments: list[Payment]
    next_cursor: NextCursor


class Reconciled(Answer, frozen=True, kw_only=True):
    """What reading open payments again has found."""

    checked: int
    settled: int
    failed: Annotated[int, Meta(description="Those that MercadoPago didn't answer for; they are read again.")]


class ListRevenue(Request, frozen=True):
    months: Annotated[int, Meta(ge=1, le=120, description="The last so many, this one included.")] = 12


class RevenueMonth(Answer, frozen=True, kw_only=True):
    month: Annotated[str, Meta(examples=["2026-11"], description="Of the time zone America/Sao_Paulo.")]
    paid_cents: int
    reversed_cents: Annotated[int, Meta(description="Of what was paid in this month, what went back since.")]
    invoices: int


class Revenue(Answer, frozen=True, kw_only=True):
    """Every month is there, also one without a payment; oldest first."""

    currency: _Currency
    months: list[RevenueMonth]


class ListNotices(Request, frozen=True):
    after: Annotated[
        int, Meta(ge=0, le=2**62, description="The ``notice_id`` that was read last; 0: from the beginning.")
    ] = 0
    limit: Annotated[int, Meta(ge=1, le=200, description="How many at most.")] = 50


class Notice(Answer, frozen=True, kw_only=True):
    """Something that a tenant, or the operator, should be told once. The event ``billing.notice`` has the same fields."""

    notice_id: Annotated[int, Meta(description="Grows: read on after the last one that you have told.")]
    tenant_id: TenantId
    kind: NoticeKind
    at: Timestamp
    data: Annotated[
        dict[str, str | int | None],
        Meta(
            description="By kind: active_until, grace_until and plan_id of the subscription; charge_id, payment_id, "
            "amount_cents and currency of what was paid or went back; problem."
        ),
    ]


class Notices(Answer, frozen=True, kw_only=True):
    """Oldest first."""

    notices: list[Notice]


class Notification(Request, frozen=True, forbid_unknown_fields=False):
    """MercadoPago may add to it."""

    data_id: Annotated[str | None, Meta(description="What has changed: a payment's id.")] = field(
        name="data.id", default=None
    )
    type: Annotated[str | None, Meta(description="What it is: payment and some others.")] = None
