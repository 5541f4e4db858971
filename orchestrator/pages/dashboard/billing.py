"""What a tenant pays; and for the admin plans, what was paid, and the revenue."""

from typing import Any

from orchestrator.domain.charge import ChargeState
from orchestrator.domain.errors import BillingOff, FieldError, InvalidRequest
from orchestrator.domain.plan import PeriodUnit
from orchestrator.pages.dashboard.visits import Done, Page, Visit, first
from orchestrator.wire.billing import ChangePlan, Charges, CreatePlan, Payments, Period

_MOST = 100
_MONTHS = 12


async def subscription(visit: Visit) -> Page:
    return await _subscription(visit)


async def _subscription(visit: Visit, **more: Any) -> Page:
    billing = visit.own.billing
    try:
        found = await billing.subscription()
    except BillingOff:
        found = None
    pays = found is not None and found.billing
    charges = (await visit.own.page("/v1/charges", Charges)).charges if pays else []
    values = {
        "subscription": found if pays else None,
        "plans": [plan for plan in await first(billing.plans(), _MOST) if plan.available] if pays else [],
        "invoices": await first(billing.invoices(), _MOST) if pays else [],
        "charges": charges,
        "charge": next((one for one in charges if one.state is ChargeState.PENDING and one.pix_code), None),
        "recurring": None,
        **more,
    }
    return Page(template="subscription.html", title=visit.texts.subscription, area="subscription", values=values)


async def pay(visit: Visit) -> Page:
    await visit.own.billing.create_charge(visit.typed("plan_id"), visit.typed("payer_email") or None)
    return await _subscription(visit)


async def pay_always(visit: Visit) -> Page:
    made = await visit.own.billing.create_recurring(visit.typed("plan_id"), visit.typed("payer_email") or None)
    return await _subscription(visit, recurring=made)


async def pay_never(visit: Visit) -> Done:
    await visit.own.billing.cancel_recurring()
    return Done(note="recurring_cancelled")


async def payments(visit: Visit) -> Page:
    return await _payments(visit)


async def _payments(visit: Visit, **more: Any) -> Page:
    query = {
        "cursor": visit.asked("cursor") or None,
        "tenant_id": visit.asked("tenant") or None,
        "problems": "true" if visit.asked("problems") else None,
    }
    found = await visit.client.page("/v1/payments", Payments, query)
    revenue = await visit.client.billing.revenue(_MONTHS)
    months = [(one.month, one.paid_cents - one.reversed_cents) for one in revenue.months]
    values = {
        "payments": found.payments,
        "next_cursor": found.next_cursor,
        "months": months,
        "total": sum(value for _, value in months),
        "plans": await first(visit.client.billing.plans(), _MOST),
        "units": list(PeriodUnit),
        "reconciled": None,
        **more,
    }
    return Page(template="payments.html", title=visit.texts.payments, area="payments", values=values)


async def reconcile(visit: Visit) -> Page:
    return await _payments(visit, reconciled=await visit.client.billing.reconcile())


async def create_plan(visit: Visit) -> Done:
    unit = visit.typed("unit")
    if unit not in set(PeriodUnit):
        raise InvalidRequest(errors=[FieldError("unit", f"must be out of {', '.join(PeriodUnit)}")])
    sessions = visit.typed("sessions")
    if sessions and not sessions.isdecimal():
        raise InvalidRequest(errors=[FieldError("sessions", "must be a whole number")])
    body = CreatePlan(
        plan_id=visit.typed("plan_id"),
        name=visit.typed("name"),
        price_cents=_cents(visit.typed("price")),
        period=Period(unit=PeriodUnit(unit)),
        sessions=int(sessions) if sessions else None,
    )
    await visit.client.billing.create_plan(body)
    return Done(note="created")


async def change_plan(visit: Visit) -> Done:
    changes = ChangePlan(available=visit.form.get("available") == "yes")
    await visit.client.billing.change_plan(visit.typed("plan_id"), changes)
    return Done(note="saved")


def _cents(text: str) -> int:
    """An amount as people type it: 49,90 or 49.90 or 49."""
    whole, _, cents = text.replace("R$", "").strip().replace(",", ".").partition(".")
    if not whole.isdecimal() or not (cents == "" or (cents.isdecimal() and len(cents) == 2)) or len(whole) > 9:
        raise InvalidRequest(errors=[FieldError("price", "must be an amount such as 49,90")])
    return int(whole) * 100 + int(cents or 0)
