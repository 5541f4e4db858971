"""The operator's tenants."""

from itertools import islice

from orchestrator.bot.desk import Desk
from orchestrator.bot.dialogs.billing import subscription_of
from orchestrator.bot.dialogs.operator import PAGE
from orchestrator.bot.screen import Button, Screen, rows
from orchestrator.bot.texts import fill
from orchestrator.domain.errors import BillingOff, NotFound
from orchestrator.domain.tenant import OPERATOR_TENANT
from orchestrator.wire.billing import Subscription
from orchestrator.wire.tenants import ChangeTenant, CreateTenant, Tenant

_EXTENSIONS = (7, 30)
_LONGEST_NAME = 200


async def listed(desk: Desk, first: str) -> Screen:
    texts, begin = desk.texts, int(first)
    found = list[Tenant]()
    async for tenant in desk.client.tenants.list():
        found.append(tenant)
        if len(found) > begin + PAGE:
            break
    buttons = [
        Button(f"{'⛔️ ' if one.blocked else ''}{one.name} ({one.sessions})", ("tenant", one.tenant_id))
        for one in islice(found, begin, begin + PAGE)
    ]
    turn = [
        *([Button(texts.first_page, ("tenants", "0"))] if begin else []),
        *([Button(texts.next_page, ("tenants", str(begin + PAGE)))] if len(found) > begin + PAGE else []),
    ]
    return desk.says(texts.tenants_title, *buttons, tuple(turn) or None, Button(texts.tenant_new, ("tenant-new?",)))


async def show(desk: Desk, tenant_id: str) -> Screen:
    return await _shown(desk, await desk.client.tenants.get(tenant_id))


async def _shown(desk: Desk, tenant: Tenant, note: str | None = None) -> Screen:
    texts, tenant_id = desk.texts, tenant.tenant_id
    since = desk.day(tenant.created_at)
    lines = [fill(texts.tenant, name=tenant.name, tenant=tenant_id, sessions=tenant.sessions, since=since)]
    if tenant.blocked:
        lines.append(fill(texts.tenant_is_blocked, since=desk.day(tenant.blocked_at)))
    subscription = await _subscription(desk, tenant_id)
    if subscription is not None:
        lines.append(_subscription_line(desk, subscription))
    billing = subscription is not None
    others = tenant_id != OPERATOR_TENANT
    block = (
        Button(texts.unblock, ("unblock", tenant_id)) if tenant.blocked else Button(texts.block, ("block?", tenant_id))
    )
    return desk.says(
        "\n".join([note, "", *lines] if note else lines),
        Button(texts.tenant_sessions, ("sessions", tenant_id, "", "")),
        tuple(Button(texts.extend.format(days=days), ("extend", tenant_id, str(days))) for days in _EXTENSIONS)
        if billing and others
        else None,
        Button(texts.plan, ("plan?", tenant_id)) if billing and others else None,
        (Button(texts.make_token, ("tenant-token", tenant_id)), block) if others else None,
        back=("tenants", "0"),
    )


async def _subscription(desk: Desk, tenant_id: str) -> Subscription | None:
    try:
        return await desk.client.billing.subscription_of(tenant_id) if await _takes_payments(desk) else None
    except (BillingOff, NotFound):
        return None


async def _takes_payments(desk: Desk) -> bool:
    return await subscription_of(desk, OPERATOR_TENANT) is not None


def _subscription_line(desk: Desk, found: Subscription) -> str:
    state = desk.texts.subscription_states.get(found.state, found.state)
    until = desk.day(found.active_until) if found.active_until else "∞"
    return fill(desk.texts.tenant_subscription, state=state, plan=found.plan_id or "–", until=until)


async def ask_name(desk: Desk) -> Screen:
    cancel = Button(desk.texts.cancel, ("tenants", "0"))
    return Screen(text=desk.texts.tenant_new_ask, rows=rows(cancel), asks=("tenant-new",))


async def create(desk: Desk, name: str) -> Screen:
    name = " ".join(name.split())
    if len(name) > _LONGEST_NAME:
        cancel = Button(desk.texts.cancel, ("tenants", "0"))
        return Screen(text=desk.texts.too_long, rows=rows(cancel), asks=("tenant-new",))
    made = await desk.client.tenants.create(CreateTenant(name=name))
    return await _shown(desk, made, fill(desk.texts.tenant_made, name=name))


async def ask_block(desk: Desk, tenant_id: str) -> Screen:
    tenant = await desk.client.tenants.get(tenant_id)
    answers = (Button(desk.texts.yes, ("block", tenant_id)), Button(desk.texts.no, ("tenant", tenant_id)))
    return Screen(text=fill(desk.texts.block_sure, name=tenant.name), rows=rows(answers))


async def block(desk: Desk, tenant_id: str) -> Screen:
    return await _shown(desk, await desk.client.tenants.change(tenant_id, ChangeTenant(blocked=True)), desk.texts.done)


async def unblock(desk: Desk, tenant_id: str) -> Screen:
    return await _shown(desk, await desk.client.tenants.change(tenant_id, ChangeTenant(blocked=False)), desk.texts.done)


async def make_token(desk: Desk, tenant_id: str) -> Screen:
    made = await desk.client.tenants.tokens(tenant_id).create("Telegram", ["read", "send", "manage"])
    return desk.says(fill(desk.texts.token_shown, token=made.token), back=("tenant", tenant_id))


async def extend(desk: Desk, tenant_id: str, days: str) -> Screen:
    changed = await desk.client.billing.change_subscription(tenant_id, extend_days=int(days))
    until = desk.day(changed.active_until) if changed.active_until else "∞"
    note = fill(desk.texts.extended, days=days, until=until)
    return await _shown(desk, await desk.client.tenants.get(tenant_id), note)


async def ask_plan(desk: Desk, tenant_id: str) -> Screen:
    tenant = await desk.client.tenants.get(tenant_id)
    plans = [Button(plan.name, ("plan", tenant_id, plan.plan_id)) async for plan in desk.client.billing.plans()]
    text = fill(desk.texts.plan_choose, name=tenant.name)
    return desk.says(text if plans else f"{text}\n{desk.texts.nothing_here}", *plans, back=("tenant", tenant_id))


async def choose_plan(desk: Desk, tenant_id: str, plan_id: str) -> Screen:
    await desk.client.billing.change_subscription(tenant_id, plan_id=plan_id)
    return await _shown(desk, await desk.client.tenants.get(tenant_id), desk.texts.done)
