"""Subscriptions, and what the rest of the house knows of them: which tenants are paused and how many sessions they may have."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.billing_notice import Notice, NoticeKind
from orchestrator.domain.errors import TenantNotFound
from orchestrator.domain.subscription import Subscription, SubscriptionState, Terms, trial
from orchestrator.domain.tenant import OPERATOR_TENANT
from orchestrator.store import notices, plans
from orchestrator.store.database import Database
from orchestrator.store.replicas import TELL_CHANGED
from orchestrator.store.tables import sessions, subscriptions, tenants

#: Subscriptions that are looked at in one round: each takes some statements.
_LOOKS = 50

_s = subscriptions.c

# A tenant that was there before billing begins its trial when billing does.
_WITHOUT = (
    sa.select(tenants.c.tenant_id)
    .where(
        tenants.c.deleted_at.is_(None),
        tenants.c.tenant_id != OPERATOR_TENANT,
        ~sa.select(sa.literal(1)).where(_s.tenant_id == tenants.c.tenant_id).exists(),
    )
    .order_by(tenants.c.tenant_id)
    .limit(_LOOKS)
)

# What a tenant may have is looked up where its row is locked anyway (store/tenants.py), and so is no look-up of plans.
_ALLOW = sa.text(
    """
    UPDATE tenants t SET plan_sessions = a.sessions
    FROM (
        SELECT s.tenant_id, CASE
            WHEN s.plan_id IS NOT NULL THEN p.sessions
            WHEN s.active_until IS NOT NULL THEN CAST(:trial_sessions AS integer)
        END AS sessions
        FROM subscriptions s LEFT JOIN plans p USING (plan_id)
        WHERE CAST(:tenant_id AS text) IS NULL OR s.tenant_id = :tenant_id
    ) a
    WHERE t.tenant_id = a.tenant_id AND t.plan_sessions IS DISTINCT FROM a.sessions
    """
)


@dataclass(slots=True)
class Changed:
    """A subscription after a change, and what has to be told of it."""

    subscription: Subscription
    notices: list[Notice] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Look:
    """What has to be told of a look at subscriptions, and whether there may be ``more`` to look at."""

    notices: list[Notice]
    more: bool


class SubscriptionStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tenant_id: str, terms: Terms) -> Subscription:
        """The tenant's, begun with a trial if it has none yet. Not for the operator's own. ``TenantNotFound``."""
        async with self._database.begin() as connection:
            await _require_tenant(connection, tenant_id)
            row = (await connection.execute(sa.select(subscriptions).where(_s.tenant_id == tenant_id))).one_or_none()
            if row is not None:
                return _from_row(row)
            return await lock(connection, tenant_id, terms)

    async def change(
        self, tenant_id: str, how: Callable[[Subscription, datetime], Subscription], terms: Terms
    ) -> Changed:
        """Make another one of the tenant's, and what follows from that; ``how`` is told the time. ``PlanNotFound``."""
        async with self._database.begin() as connection:
            await _require_tenant(connection, tenant_id)
            subscription = how(await lock(connection, tenant_id, terms), await _now(connection))
            if subscription.plan_id is not None:
                await plans.read(connection, subscription.plan_id)
            changed = Changed(subscription)
            await save(connection, changed, terms)
            return changed

    async def allow(self, terms: Terms) -> None:
        """Bring the number of sessions that each tenant may have up to date with the plans."""
        async with self._database.begin() as connection:
            await connection.execute(_ALLOW, {"tenant_id": None, "trial_sessions": terms.trial_sessions})

    async def look_at_all(self) -> None:
        """Have every subscription looked at: the terms may be others than before."""
        async with self._database.begin() as connection:
            await connection.execute(sa.update(subscriptions).values(look_at=sa.func.now()))

    async def look(self, terms: Terms) -> Look:
        """Begin trials, remind and pause where that is due, a number at a time.

        Replicas that do it at the same moment look at different ones.
        """
        told: list[Notice] = []
        async with self._database.begin() as connection:
            now = await _now(connection)
            without = (await connection.execute(_WITHOUT)).scalars().all()
            for tenant_id in without:
                await lock(connection, tenant_id, terms)
            due = (
                sa.select(subscriptions, tenants.c.deleted_at)
                .join(tenants, tenants.c.tenant_id == _s.tenant_id)
                .where(_s.look_at <= now)
                .order_by(_s.look_at)
                .limit(_LOOKS)
                .with_for_update(of=subscriptions, skip_locked=True)
            )
            rows = (await connection.execute(due)).all()
            for row in rows:
                if row.deleted_at is not None:
                    await connection.execute(_update(row.tenant_id).values(look_at=None))
                    continue
                changed = Changed(_from_row(row))
                await save(connection, changed, terms)
                told += changed.notices
        return Look(told, more=_LOOKS in (len(without), len(rows)))

    async def free_all(self) -> int:
        """Billing is off: nobody is paused and no plan limits anybody. The number of tenants that were paused."""
        async with self._database.begin() as connection:
            freed = await connection.execute(
                sa.update(tenants)
                .where(sa.or_(tenants.c.paused_at.is_not(None), tenants.c.plan_sessions.is_not(None)))
                .values(paused_at=None, plan_sessions=None)
            )
            await connection.execute(
                sa.update(sessions).where(sessions.c.paused_at.is_not(None)).values(paused_at=None)
            )
            await connection.execute(TELL_CHANGED)
            return freed.rowcount

    async def payer_email(self, tenant_id: str) -> str | None:
        async with self._database.begin() as connection:
            found = await connection.execute(sa.select(_s.payer_email).where(_s.tenant_id == tenant_id))
            return found.scalar_one_or_none()

    async def remember_payer(self, tenant_id: str, payer_email: str) -> None:
        async with self._database.begin() as connection:
            await connection.execute(_update(tenant_id).values(payer_email=payer_email))


async def lock(connection: AsyncConnection, tenant_id: str, terms: Terms) -> Subscription:
    """The tenant's, which nobody else changes before this transaction ends; a trial if it had none. That of a deleted tenant
    too: what it has paid is on record. ``TenantNotFound``."""
    statement = sa.select(subscriptions).where(_s.tenant_id == tenant_id).with_for_update()
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        await _require_tenant(connection, tenant_id)
        begun = trial(tenant_id, await _now(connection), terms)
        values = {"tenant_id": tenant_id, "active_until": begun.active_until, "look_at": sa.func.now()}
        await connection.execute(postgresql.insert(subscriptions).values(**values).on_conflict_do_nothing())
        await _allow(connection, tenant_id, terms)
        row = (await connection.execute(statement)).one()
    return _from_row(row)


async def save(connection: AsyncConnection, changed: Changed, terms: Terms) -> None:
    """Write a locked subscription and what follows from it: a reminder, the pause or its end, the sessions allowed."""
    subscription, now = changed.subscription, await _now(connection)
    await connection.execute(
        _update(subscription.tenant_id).values(
            plan_id=subscription.plan_id,
            active_until=subscription.active_until,
            anchor_day=subscription.anchor_day,
            look_at=subscription.next_look(now, terms),
        )
    )
    await _allow(connection, subscription.tenant_id, terms)
    kind = subscription.reminder(now, terms)
    pause = subscription.state(now, terms) is SubscriptionState.PAUSED
    if await _set_paused(connection, subscription.tenant_id, paused=pause):
        kind = NoticeKind.PAUSED if pause else NoticeKind.RESUMED
    if kind is not None:
        # A pause can be ended and come again for the same end of the subscription, as when the operator gives and takes.
        subject = now if kind in (NoticeKind.PAUSED, NoticeKind.RESUMED) else subscription.active_until
        assert subject is not None
        notice = await notices.add(connection, subscription.tenant_id, kind, subject, shown(subscription, terms))
        changed.notices += [notice] if notice is not None else []


def shown(subscription: Subscription, terms: Terms) -> dict[str, str | int | None]:
    """What notices say of a subscription."""
    until = subscription.active_until
    return {
        "plan_id": subscription.plan_id,
        "active_until": None if until is None else _text(until),
        "grace_until": None if until is None else _text(until + terms.grace),
    }


async def _require_tenant(connection: AsyncConnection, tenant_id: str) -> None:
    exists = sa.select(tenants.c.tenant_id).where(tenants.c.tenant_id == tenant_id, tenants.c.deleted_at.is_(None))
    if (await connection.execute(exists)).one_or_none() is None:
        raise TenantNotFound


async def _set_paused(connection: AsyncConnection, tenant_id: str, *, paused: bool) -> bool:
    """Pause the tenant and its sessions, or end that; False if nothing was to do. Locks the tenant: no session is made
    meanwhile that would be left out."""
    changed = await connection.execute(
        sa.update(tenants)
        .where(tenants.c.tenant_id == tenant_id, tenants.c.paused_at.is_(None) == paused)
        .values(paused_at=sa.func.now() if paused else None)
    )
    if not changed.rowcount:
        return False
    await connection.execute(
        sa.update(sessions)
        .where(sessions.c.tenant_id == tenant_id, sessions.c.deleted_at.is_(None))
        .values(paused_at=sa.func.now() if paused else None)
    )
    await connection.execute(TELL_CHANGED)
    return True


async def _allow(connection: AsyncConnection, tenant_id: str, terms: Terms) -> None:
    await connection.execute(_ALLOW, {"tenant_id": tenant_id, "trial_sessions": terms.trial_sessions})


async def _now(connection: AsyncConnection) -> datetime:
    """PostgreSQL's, so that all replicas have the same."""
    now: datetime = (await connection.execute(sa.select(sa.func.now()))).scalar_one()
    return now


def _update(tenant_id: str) -> sa.Update:
    return sa.update(subscriptions).where(_s.tenant_id == tenant_id)


def _from_row(row: Any) -> Subscription:
    return Subscription(
        tenant_id=row.tenant_id, plan_id=row.plan_id, active_until=row.active_until, anchor_day=row.anchor_day
    )


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
