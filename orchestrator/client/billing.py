"""Plans, subscriptions, charges and what was paid; ``BillingOff`` where nobody pays."""

from collections.abc import AsyncIterator
from datetime import datetime

from msgspec import UNSET, UnsetType

from orchestrator.client.transport import Transport, segment
from orchestrator.wire import billing as wire
from orchestrator.wire.shape import NoFields


class Billing:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def plans(self) -> AsyncIterator[wire.Plan]:
        return self._transport.pages("/v1/plans", wire.Plans, lambda page: page.plans)

    async def plan(self, plan_id: str) -> wire.Plan:
        return await self._transport.call("GET", f"/v1/plans/{segment(plan_id)}", wire.Plan)

    async def create_plan(self, body: wire.CreatePlan) -> wire.Plan:
        """For the admin token; ``PlanExists``."""
        return await self._transport.call("POST", "/v1/plans", wire.Plan, body=body)

    async def change_plan(self, plan_id: str, changes: wire.ChangePlan) -> wire.Plan:
        """For the admin token. What isn't named stays as it is."""
        return await self._transport.call("PATCH", f"/v1/plans/{segment(plan_id)}", wire.Plan, body=changes)

    async def subscription(self) -> wire.Subscription:
        return await self._transport.call("GET", "/v1/subscription", wire.Subscription)

    async def create_charge(self, plan_id: str, payer_email: str | None = None) -> wire.Charge:
        """A PIX payment request, or the open one of this plan."""
        body = wire.CreateCharge(plan_id=plan_id, payer_email=payer_email)
        return await self._transport.call("POST", "/v1/charges", wire.Charge, body=body)

    async def create_recurring(self, plan_id: str, payer_email: str | None = None) -> wire.RecurringPayment:
        body = wire.CreateRecurringPayment(plan_id=plan_id, payer_email=payer_email)
        return await self._transport.call("POST", "/v1/subscription/recurring", wire.RecurringPayment, body=body)

    async def cancel_recurring(self) -> None:
        await self._transport.done("DELETE", "/v1/subscription/recurring")

    def invoices(self) -> AsyncIterator[wire.Invoice]:
        """Newest first."""
        return self._transport.pages("/v1/invoices", wire.Invoices, lambda page: page.invoices)

    async def subscription_of(self, tenant_id: str) -> wire.Subscription:
        """For the admin token."""
        path = f"/v1/tenants/{segment(tenant_id)}/subscription"
        return await self._transport.call("GET", path, wire.Subscription)

    async def change_subscription(
        self,
        tenant_id: str,
        *,
        extend_days: int | UnsetType = UNSET,
        active_until: datetime | UnsetType | None = UNSET,
        plan_id: str | UnsetType = UNSET,
    ) -> wire.Subscription:
        """For the admin token. What isn't named stays as it is."""
        body = wire.ChangeSubscription(extend_days=extend_days, active_until=active_until, plan_id=plan_id)
        path = f"/v1/tenants/{segment(tenant_id)}/subscription"
        return await self._transport.call("PATCH", path, wire.Subscription, body=body)

    def payments(self) -> AsyncIterator[wire.Payment]:
        """All tenants', newest first; for the admin token."""
        return self._transport.pages("/v1/payments", wire.Payments, lambda page: page.payments)

    async def reconcile(self) -> wire.Reconciled:
        """Read open payments again; for the admin token."""
        return await self._transport.call("POST", "/v1/payments/reconcile", wire.Reconciled, body=NoFields())

    async def revenue(self, months: int = 12) -> wire.Revenue:
        """For the admin token."""
        return await self._transport.call("GET", "/v1/revenue", wire.Revenue, query={"months": str(months)})

    async def all_notices(self, after: int) -> list[wire.Notice]:
        """What tenants and the operator should be told, oldest first, after the notice of that number; for the admin token."""
        query = {"after": str(after)}
        return (await self._transport.call("GET", "/v1/all-notices", wire.Notices, query=query)).notices
