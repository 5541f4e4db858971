"""What was paid: MercadoPago's notifications, and reading again what it may have failed to tell.

A notification only says where to look. Whatever it says, the payment is read from the API and dealt with as it is there.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from orchestrator.domain.charge import Charge, RecurringPayment
from orchestrator.domain.errors import (
    BillingOff,
    NotificationNotSigned,
    PaymentProviderUnavailable,
    PaymentRefused,
)
from orchestrator.domain.payment import Payment
from orchestrator.services.charges import Charges
from orchestrator.services.notices import Notices
from orchestrator.services.subscriptions import Subscriptions
from orchestrator.store.charges import ChargeStore
from orchestrator.store.plans import PlanStore
from orchestrator.store.recurring_payments import RecurringPaymentStore
from orchestrator.store.settlements import SettlementStore

if TYPE_CHECKING:  # the SDK takes a second to import, and most don't take payments
    from orchestrator.payments.mercadopago import MercadoPago


log = structlog.get_logger(__name__)

#: Charges, recurring payments and settled payments that are read again in one round.
_PER_ROUND = 100
#: Money goes back within this time, if it does; it is looked for once a day.
_REVERSIBLE_DAYS = 120
_DAY_SECONDS = 86_400.0


@dataclass(slots=True)
class Reconciliation:
    """What a round of reading again has found."""

    checked: int = 0
    settled: int = 0
    failed: int = 0


class Payments:
    """``gateway`` None: billing is off."""

    def __init__(
        self,
        gateway: MercadoPago | None,
        charges: Charges,
        charge_store: ChargeStore,
        recurring: RecurringPaymentStore,
        plans: PlanStore,
        settlements: SettlementStore,
        subscriptions: Subscriptions,
        notices: Notices,
    ) -> None:
        self._gateway = gateway
        self._charges = charges
        self._charge_store = charge_store
        self._recurring = recurring
        self._plans = plans
        self._settlements = settlements
        self._subscriptions = subscriptions
        self._notices = notices

    async def notified(
        self, topic: str | None, data_id: str | None, *, signature: str | None, request_id: str | None
    ) -> None:
        """Take a notification: ``topic`` and ``data_id`` say of what, the others are its headers x-signature and x-request-id.

        ``NotificationNotSigned`` if it isn't MercadoPago's. Whatever else is raised has MercadoPago send it again.
        """
        gateway = self._provider
        if not gateway.signed(signature, request_id, data_id):
            log.warning("notification refused: its signature is wrong", topic=topic)
            raise NotificationNotSigned
        if data_id is None:
            return
        match topic:
            case "payment":
                await self._read(data_id)
            case "subscription_authorized_payment":
                payment_id = await gateway.payment_of_authorized(data_id)
                if payment_id is not None:
                    await self._read(payment_id)
            case "subscription_preapproval":
                agreement = await gateway.recurring(data_id)
                if agreement is not None and agreement.reference is not None:
                    await self._recurring.record(agreement.reference, agreement)
            case _:
                log.info("notification of no interest", topic=topic)

    async def reconcile(self, *, every_seconds: float) -> Reconciliation:
        """Read what is open, unless somebody did so within ``every_seconds``, and once a day what could go back.

        Replicas that do it at the same time read different ones.
        """
        gateway, found = self._provider, Reconciliation()
        try:
            for recurring in await self._recurring.orphaned():
                await self._tried(found, self._end(recurring))
            for charge in await self._charge_store.take_open(every_seconds=every_seconds, most=_PER_ROUND):
                await self._tried(found, self._reread_charge(charge))
            for recurring in await self._recurring.take_open(every_seconds=every_seconds, most=_PER_ROUND):
                await self._tried(found, self._reread_recurring(gateway, recurring))
            seldom = max(_DAY_SECONDS, every_seconds)
            settled = await self._settlements.take_settled(days=_REVERSIBLE_DAYS, every_seconds=seldom, most=_PER_ROUND)
            for payment_id in settled:
                await self._tried(found, self._read(payment_id))
        except PaymentProviderUnavailable:
            log.warning("open payments are read again later: MercadoPago doesn't answer", checked=found.checked)
        if found.settled:
            log.info("payments found that no notification told of", settled=found.settled)
        return found

    @property
    def _provider(self) -> MercadoPago:
        if self._gateway is None:
            raise BillingOff
        return self._gateway

    async def _tried(self, found: Reconciliation, reading: Coroutine[None, None, int]) -> None:
        found.checked += 1
        try:
            found.settled += await reading
        except PaymentRefused as error:
            found.failed += 1
            log.warning("payment not read", error=error.message)
        except PaymentProviderUnavailable:
            found.failed += 1
            raise

    async def _reread_charge(self, charge: Charge) -> int:
        if charge.payment_id is None:
            await self._charges.make(charge, await self._plans.get(charge.plan_id))
            return 0
        return await self._read(charge.payment_id)

    async def _reread_recurring(self, gateway: MercadoPago, recurring: RecurringPayment) -> int:
        """How many payments of it were settled by this."""
        if recurring.preapproval_id is not None:
            agreement = await gateway.recurring(recurring.preapproval_id)
            if agreement is not None:
                await self._recurring.record(recurring.recurring_id, agreement)
        return sum([await self._record(payment) for payment in await gateway.payments_for(recurring.recurring_id)])

    async def _end(self, recurring: RecurringPayment) -> int:
        await self._charges.cancel_recurring(recurring.tenant_id)
        return 0

    async def _read(self, payment_id: str) -> int:
        payment = await self._provider.payment(payment_id)
        if payment is None:
            log.warning("there is no such payment", payment_id=payment_id)
            return 0
        return await self._record(payment)

    async def _record(self, payment: Payment) -> int:
        """1 if it was settled by this."""
        terms = self._subscriptions.terms
        if terms is None or not payment.is_ours:  # somebody else sells through the same account
            return 0
        recorded = await self._settlements.record(payment, terms)
        for notice in recorded.notices:
            log.info("payment notice", tenant_id=notice.tenant_id, kind=notice.kind, payment_id=payment.payment_id)
        self._notices.publish(recorded.notices)
        return int(recorded.settled)
