"""What a tenant pays, and with what."""

import re

from orchestrator.bot.desk import Desk, shown_price
from orchestrator.bot.pictures import qr_code
from orchestrator.bot.screen import Button, Screen, rows
from orchestrator.bot.texts import fill
from orchestrator.domain.errors import BillingOff, InvalidRequest, NotFound
from orchestrator.wire.billing import Invoice, Plan, Subscription

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_MOST = 10


async def subscription_of(desk: Desk, tenant_id: str) -> Subscription | None:
    """None where nobody pays."""
    try:
        found = await desk.of(tenant_id).billing.subscription()
    except (BillingOff, NotFound):
        return None
    return found if found.billing else None


def trial_line(desk: Desk, subscription: Subscription | None) -> list[str]:
    if subscription is None or subscription.active_until is None:
        return []
    return [fill(desk.texts.welcome_trial, until=desk.day(subscription.active_until))]


async def show(desk: Desk) -> Screen:
    texts, tenant_id = desk.texts, desk.chat.tenant_id or ""
    subscription = await subscription_of(desk, tenant_id)
    if subscription is None:
        return desk.says(texts.errors["billing_off"])
    state = texts.subscription_states.get(subscription.state, subscription.state)
    lines = [fill(texts.subscription_text, state=state, plan=subscription.plan_id or "–")]
    if subscription.active_until is not None:
        lines.append(fill(texts.subscription_until, until=desk.day(subscription.active_until)))
    plans = [plan async for plan in desk.of(tenant_id).billing.plans() if plan.available]
    buttons = [Button(_labelled(texts.pay, plan), ("pay", plan.plan_id)) for plan in plans]
    if subscription.recurring is not None and subscription.recurring.state in ("pending", "authorized"):
        buttons.append(Button(texts.recurring_cancel, ("pay-never",)))
    else:
        buttons += [Button(_labelled(texts.pay_recurring, plan), ("pay-always", plan.plan_id)) for plan in plans]
    return desk.says("\n".join(lines), *buttons)


def _labelled(template: str, plan: Plan) -> str:
    return template.format(plan=plan.name, price=shown_price(plan.price_cents))


async def pay(desk: Desk, plan_id: str, email: str | None = None) -> Screen | None:
    """The QR code, and then the code as a text of its own, which is easier to copy."""
    if email is not None and not _EMAIL.fullmatch(email):
        return _ask_email(desk, desk.texts.email_wrong, "pay", plan_id)
    own = desk.of(desk.chat.tenant_id or "")
    try:
        charge = await own.billing.create_charge(plan_id, email)
    except InvalidRequest as error:
        if any(field.field == "payer_email" for field in error.errors):
            return _ask_email(desk, desk.texts.email_ask, "pay", plan_id)
        raise
    plan = await own.billing.plan(plan_id)
    until = desk.day(charge.expires_at)
    text = fill(desk.texts.charge_caption, plan=plan.name, price=shown_price(charge.amount_cents), until=until)
    if charge.pix_code is None:
        return desk.says(text)
    back = rows(desk.back("subscription"))
    await desk.telegram.show(desk.chat, Screen(text=text, photo=qr_code(charge.pix_code), rows=back))
    await desk.telegram.tell(desk.chat.chat_id, fill(desk.texts.charge_code, code=charge.pix_code))
    return None


async def pay_always(desk: Desk, plan_id: str, email: str | None = None) -> Screen:
    if email is not None and not _EMAIL.fullmatch(email):
        return _ask_email(desk, desk.texts.email_wrong, "pay-always", plan_id)
    try:
        made = await desk.of(desk.chat.tenant_id or "").billing.create_recurring(plan_id, email)
    except InvalidRequest as error:
        if any(field.field == "payer_email" for field in error.errors):
            return _ask_email(desk, desk.texts.email_ask, "pay-always", plan_id)
        raise
    return desk.says(fill(desk.texts.recurring_shown, url=made.url or "–"), back=("subscription",))


async def pay_never(desk: Desk) -> Screen:
    await desk.of(desk.chat.tenant_id or "").billing.cancel_recurring()
    return desk.says(desk.texts.recurring_cancelled, back=("subscription",))


def _ask_email(desk: Desk, text: str, *action: str) -> Screen:
    return Screen(text=text, rows=rows(Button(desk.texts.cancel, ("subscription",))), asks=action)


async def invoices(desk: Desk) -> Screen:
    found = list[Invoice]()
    async for invoice in desk.of(desk.chat.tenant_id or "").billing.invoices():
        found.append(invoice)
        if len(found) == _MOST:
            break
    lines = [
        fill(
            desk.texts.invoice_line,
            at=desk.day(one.paid_at),
            amount=shown_price(one.amount_cents),
            plan=one.plan_id,
            until=desk.day(one.period_to),
            reversed="" if one.reversed_at is None else " ↩︎",
        )
        for one in found
    ]
    return desk.says("\n".join([desk.texts.invoices_title, *(lines or [desk.texts.nothing_here])]))
