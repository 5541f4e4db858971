"""What was paid, for the operator."""

from orchestrator.bot.desk import Desk, shown_price
from orchestrator.bot.pictures import bars
from orchestrator.bot.screen import Button, Screen, rows
from orchestrator.bot.texts import fill

_MOST = 10


async def listed(desk: Desk, note: str | None = None) -> Screen:
    texts, lines = desk.texts, list[str]()
    async for one in desk.client.billing.payments():
        status = one.status if one.problem is None else f"⚠️ {one.problem}"
        at, amount = desk.day(one.approved_at or one.updated_at), shown_price(one.amount_cents)
        lines.append(fill(texts.payment_line, at=at, amount=amount, status=status, tenant=one.tenant_id or "–"))
        if len(lines) == _MOST:
            break
    text = "\n".join([*([note, ""] if note else []), texts.payments_title, *(lines or [texts.nothing_here])])
    return desk.says(text, (Button(texts.payments_reconcile, ("reconcile",)), Button(texts.revenue, ("revenue",))))


async def reconcile(desk: Desk) -> Screen:
    found = await desk.client.billing.reconcile()
    note = desk.texts.payments_reconciled
    return await listed(desk, fill(note, checked=found.checked, settled=found.settled, failed=found.failed))


async def revenue(desk: Desk) -> Screen:
    found = await desk.client.billing.revenue(months=12)
    months = [(f"{m.month[5:]}/{m.month[2:4]}", m.paid_cents - m.reversed_cents) for m in found.months]
    text = fill(desk.texts.revenue_caption, total=shown_price(sum(value for _, value in months)))
    return Screen(text=text, photo=bars(months), rows=rows(desk.back("payments")))
