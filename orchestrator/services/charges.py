"""Asking for money: PIX charges, and recurring payments."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from orchestrator.domain.charge import Charge, RecurringPayment
from orchestrator.domain.errors import BillingOff, FieldError, InvalidRequest, PaymentRefused, PlanNotAvailable
from orchestrator.domain.payment import Payment
from orchestrator.domain.plan import Plan
from orchestrator.services.subscriptions import Subscriptions
from orchestrator.store.charges import ChargeStore
from orchestrator.store.plans import PlanStore
from orchestrator.store.recurring_payments import RecurringPaymentStore
from orchestrator.store.subscriptions import SubscriptionStore

if TYPE_CHECKING:  # the SDK takes a second to import, and most don't take payments
    from orchestrator.payments.mercadopago import MercadoPago


log = structlog.get_logger(__name__)

_NO_EMAIL = "is required once, because MercadoPago wants to know who pays"


class Charges:
    """``gateway`` None: billing is off. ``payer_email``: for tenants that have given none."""

    def __init__(
        self,
        gateway: MercadoPago | None,
        store: ChargeStore,
        recurring: RecurringPaymentStore,
        plans: PlanStore,
        subscriptions: Subscriptions,
        payers: SubscriptionStore,
        *,
        payer_email: str | None,
    ) -> None:
        self._gateway = gateway
        self._store = store
        self._recurring = recurring
        self._plans = plans
        self._subscriptions = subscriptions
        self._payers = payers
        self._payer_email = payer_email

    async def create(
        self, tenant_id: str, plan_id: str, payer_email: str | None, lives: timedelta
    ) -> tuple[Charge, bool]:
        """A charge for a plan that can be paid now, and whether it is a new one: asked twice, it is the same.

        ``BillingOff``, ``NothingToPay``, ``PlanNotFound``, ``PlanNotAvailable``, ``PaymentRefused``, and
        ``PaymentProviderUnavailable``: the same call again goes on with the same charge.
        """
        await self._subscriptions.payable(tenant_id)
        plan = await self._available(plan_id)
        charge, new = await self._store.ask(tenant_id, plan, await self._payer(tenant_id, payer_email), lives)
        if charge.pix_code is None:
            charge = await self.make(charge, plan)
        log.info("charge created", tenant_id=tenant_id, charge_id=charge.charge_id, plan_id=plan_id, new=new)
        return charge, new

    async def make(self, charge: Charge, plan: Plan) -> Charge:
        """Have MercadoPago make the payment request of a charge, unless it has: a process may have died over that."""
        try:
            payment = await self._provider.create_pix(charge, plan.name)
        except PaymentRefused:
            payment_before = await self._made_before(charge)
            if payment_before is None:
                await self._store.refused(charge.charge_id)
                raise
            payment = payment_before
        return await self._store.made(charge.charge_id, payment.payment_id, payment.pix_code)

    async def create_recurring(
        self, tenant_id: str, plan_id: str, payer_email: str | None, back_url: str
    ) -> RecurringPayment:
        """A recurring payment for whoever pays to agree to; the tenant's present one, if it has one.

        ``back_url``: where MercadoPago sends whoever has agreed. Raises what ``create`` raises.
        """
        await self._subscriptions.payable(tenant_id)
        plan = await self._available(plan_id)
        recurring = await self._recurring.ask(tenant_id, plan, await self._payer(tenant_id, payer_email))
        if recurring.preapproval_id is not None:
            return recurring
        try:
            agreement = await self._provider.create_recurring(recurring, plan, back_url)
        except PaymentRefused:
            await self._recurring.cancelled(recurring.recurring_id)
            raise
        log.info("recurring payment created", tenant_id=tenant_id, plan_id=plan_id)
        return await self._recurring.record(recurring.recurring_id, agreement) or recurring

    async def cancel_recurring(self, tenant_id: str) -> None:
        """Have MercadoPago take no more money; nothing happens if it takes none."""
        recurring = await self._recurring.current(tenant_id)
        if recurring is None:
            return
        if recurring.preapproval_id is not None:
            await self._provider.cancel_recurring(recurring.preapproval_id)
        await self._recurring.cancelled(recurring.recurring_id)
        log.info("recurring payment cancelled", tenant_id=tenant_id)

    @property
    def _provider(self) -> MercadoPago:
        if self._gateway is None:
            raise BillingOff
        return self._gateway

    async def _available(self, plan_id: str) -> Plan:
        plan = await self._plans.get(plan_id)
        if not plan.available:
            raise PlanNotAvailable
        return plan

    async def _payer(self, tenant_id: str, given: str | None) -> str:
        if given is not None:
            await self._payers.remember_payer(tenant_id, given)
            return given
        known = await self._payers.payer_email(tenant_id) or self._payer_email
        if known is None:
            raise InvalidRequest(errors=[FieldError("payer_email", _NO_EMAIL)])
        return known

    async def _made_before(self, charge: Charge) -> Payment | None:
        """What the same request has led to, where a repetition is refused because it differs by now."""
        found = await self._provider.payments_for(charge.charge_id)
        return next((payment for payment in found if payment.pix_code is not None), None)
