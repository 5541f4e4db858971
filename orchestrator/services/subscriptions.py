"""What tenants have paid for, and what follows from it: reminders, the pause of those that don't pay, and its end."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from orchestrator.domain.charge import RecurringPayment
from orchestrator.domain.errors import BillingOff, NothingToPay
from orchestrator.domain.subscription import Subscription, SubscriptionState, Terms, extended
from orchestrator.domain.tenant import OPERATOR_TENANT
from orchestrator.services.notices import Notices
from orchestrator.store.plans import PlanStore
from orchestrator.store.recurring_payments import RecurringPaymentStore
from orchestrator.store.subscriptions import SubscriptionStore

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SubscriptionView:
    """A subscription and what follows from it at this moment."""

    subscription: Subscription
    state: SubscriptionState
    grace_until: datetime | None
    sessions: int | None
    """What it allows; None: any number."""
    recurring: RecurringPayment | None
    billing: bool


class Subscriptions:
    """``terms`` None: billing is off, and everybody may use everything."""

    def __init__(
        self,
        store: SubscriptionStore,
        plans: PlanStore,
        recurring: RecurringPaymentStore,
        notices: Notices,
        terms: Terms | None,
    ) -> None:
        self._store = store
        self._plans = plans
        self._recurring = recurring
        self._notices = notices
        self.terms = terms

    async def prepare(self) -> None:
        """Once at the start: the terms may be others than before. Raises ``DatabaseUnavailable``."""
        if self.terms is not None:
            await self._store.look_at_all()
        elif freed := await self._store.free_all():
            log.info("billing is off: nobody is paused or limited by a plan any more", tenants=freed)

    async def begin(self, tenant_id: str) -> None:
        """The trial of a new tenant."""
        if self.terms is not None:
            await self._store.get(tenant_id, self.terms)

    async def get(self, tenant_id: str) -> SubscriptionView:
        """The tenant's; one that never ends where nobody pays. ``TenantNotFound``."""
        if self.terms is None or tenant_id == OPERATOR_TENANT:
            free = Subscription(tenant_id=tenant_id, plan_id=None, active_until=None)
            return SubscriptionView(free, SubscriptionState.FREE, None, None, None, billing=self.terms is not None)
        return await self._view(await self._store.get(tenant_id, self.terms), self.terms)

    async def payable(self, tenant_id: str) -> Subscription:
        """One that can be paid for. ``BillingOff``, ``NothingToPay``."""
        if self.terms is None:
            raise BillingOff
        if tenant_id == OPERATOR_TENANT:
            raise NothingToPay
        subscription = await self._store.get(tenant_id, self.terms)
        if subscription.active_until is None:
            raise NothingToPay
        return subscription

    async def change(
        self,
        tenant_id: str,
        *,
        plan_id: str | None,
        extend_days: int | None,
        until: datetime | None,
        endless: bool = False,
    ) -> SubscriptionView:
        """Give it another plan, another end, none (``endless``), or more days. ``PlanNotFound``, ``BillingOff``."""
        if self.terms is None:
            raise BillingOff
        if tenant_id == OPERATOR_TENANT:
            raise NothingToPay

        def another(subscription: Subscription, now: datetime) -> Subscription:
            if plan_id is not None:
                subscription = replace(subscription, plan_id=plan_id)
            if until is not None or endless:
                subscription = replace(subscription, active_until=until)
            return subscription if extend_days is None else extended(subscription, extend_days, now)

        changed = await self._store.change(tenant_id, another, self.terms)
        self._notices.publish(changed.notices)
        log.info("subscription changed", tenant_id=tenant_id, plan_id=changed.subscription.plan_id)
        return await self._view(changed.subscription, self.terms)

    async def plan_changed(self) -> None:
        """A plan's number of sessions is another one."""
        if self.terms is not None:
            await self._store.allow(self.terms)

    async def look(self) -> None:
        """Do what is due: begin trials, remind, pause. Raises ``DatabaseUnavailable``; the next call goes on."""
        more = self.terms is not None
        while more and self.terms is not None:
            look = await self._store.look(self.terms)
            for notice in look.notices:
                log.info("subscription notice", tenant_id=notice.tenant_id, kind=notice.kind)
            self._notices.publish(look.notices)
            more = look.more

    async def _view(self, subscription: Subscription, terms: Terms) -> SubscriptionView:
        until = subscription.active_until
        sessions = None if until is None else terms.trial_sessions
        if subscription.plan_id is not None:
            sessions = (await self._plans.get(subscription.plan_id)).sessions
        return SubscriptionView(
            subscription,
            subscription.state(datetime.now(UTC), terms),
            None if until is None else until + terms.grace,
            sessions,
            await self._recurring.current(subscription.tenant_id),
            billing=True,
        )
