"""Payments over HTTP: what MercadoPago notifies, and what the operator looks at."""

from aiohttp import web

from orchestrator.api.bodies import json_response, read_query
from orchestrator.api.keys import SERVICES
from orchestrator.api.operations import Operation
from orchestrator.api.pages import Number, begins_after, cut
from orchestrator.domain.errors import (
    BillingOff,
    DatabaseUnavailable,
    NotificationNotSigned,
    PaymentProviderUnavailable,
    PaymentRefused,
    TenantNotFound,
)
from orchestrator.domain.plan import CURRENCY
from orchestrator.domain.tenant import Scope, existing_tenant_id
from orchestrator.services.events import timestamp
from orchestrator.store.settlements import RecordedPayment
from orchestrator.wire import billing as wire

NOTIFICATIONS_PATH = "/webhooks/mercadopago"


async def notified(request: web.Request) -> web.Response:
    """What changed is in the query, which is signed; the body says nothing that isn't read from the API."""
    services = request.app[SERVICES]
    services.readiness.require_started()
    query = read_query(request, wire.Notification)
    await services.payments.notified(
        query.type,
        query.data_id,
        signature=request.headers.get("x-signature"),
        request_id=request.headers.get("x-request-id"),
    )
    return web.Response(status=204)


async def index(request: web.Request) -> web.Response:
    page = read_query(request, wire.ListPayments)
    tenant_id = None if page.tenant_id is None else existing_tenant_id(page.tenant_id)
    found = await request.app[SERVICES].settlements.payments(
        tenant_id, problems=page.problems, before=begins_after(page, Number), most=page.limit + 1
    )
    shown, next_cursor = cut(found, page, lambda recorded: recorded.number)
    return json_response(wire.Payments(payments=[_shown(recorded) for recorded in shown], next_cursor=next_cursor))


async def reconcile(request: web.Request) -> web.Response:
    found = await request.app[SERVICES].payments.reconcile(every_seconds=0.0)
    return json_response(wire.Reconciled(checked=found.checked, settled=found.settled, failed=found.failed))


async def revenue(request: web.Request) -> web.Response:
    query = read_query(request, wire.ListRevenue)
    months = await request.app[SERVICES].settlements.revenue(months=query.months)
    return json_response(
        wire.Revenue(
            currency=CURRENCY,
            months=[
                wire.RevenueMonth(
                    month=one.month,
                    paid_cents=one.paid_cents,
                    reversed_cents=one.reversed_cents,
                    invoices=one.invoices,
                )
                for one in months
            ],
        )
    )


def _shown(recorded: RecordedPayment) -> wire.Payment:
    payment = recorded.payment
    return wire.Payment(
        payment_id=payment.payment_id,
        tenant_id=recorded.tenant_id,
        reference=payment.reference,
        status=payment.status,
        status_detail=payment.status_detail,
        amount_cents=payment.amount_cents,
        refunded_cents=payment.refunded_cents,
        currency=payment.currency,
        problem=recorded.problem,
        approved_at=None if payment.approved_at is None else timestamp(payment.approved_at),
        updated_at=timestamp(payment.updated_at),
    )


_SHOWN = wire.Payment(
    payment_id="1327410519",
    tenant_id="acme",
    reference="chg-0123456789abcdef",
    status="approved",
    status_detail="accredited",
    amount_cents=4990,
    refunded_cents=0,
    currency=CURRENCY,
    problem=None,
    approved_at="2026-11-27T01:03:41.000Z",
    updated_at="2026-11-27T01:03:41.000Z",
)
_REVENUE = wire.Revenue(
    currency=CURRENCY,
    months=[wire.RevenueMonth(month="2026-11", paid_cents=14970, reversed_cents=4990, invoices=3)],
)

_TAG = "Payments"

OPERATIONS = (
    Operation(
        method="POST",
        path=NOTIFICATIONS_PATH,
        handler=notified,
        called="payments_notified",
        scope=None,
        tag=_TAG,
        summary="For MercadoPago: something has changed there.",
        details="Nothing is believed but the signature (x-signature, x-request-id): the payment is read from MercadoPago's API. "
        "Repeated, late and in any order, a payment counts once.",
        query=wire.Notification,
        status=204,
        errors=(
            BillingOff,
            NotificationNotSigned,
            PaymentRefused,
            PaymentProviderUnavailable,
            DatabaseUnavailable,
        ),
    ),
    Operation(
        method="GET",
        path="/v1/payments",
        handler=index,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="List the payments of all tenants as MercadoPago has them, those that were heard of last first.",
        query=wire.ListPayments,
        gives=wire.Payments,
        errors=(TenantNotFound,),
        example_answer=wire.Payments(payments=[_SHOWN], next_cursor=None),
    ),
    Operation(
        method="POST",
        path="/v1/payments/reconcile",
        handler=reconcile,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="Read everything that is open from MercadoPago now, which otherwise happens every two minutes.",
        gives=wire.Reconciled,
        errors=(BillingOff,),
        example_answer=wire.Reconciled(checked=4, settled=1, failed=0),
        audited=True,
    ),
    Operation(
        method="GET",
        path="/v1/revenue",
        handler=revenue,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="Show what was paid in each of the last months.",
        query=wire.ListRevenue,
        gives=wire.Revenue,
        example_answer=_REVENUE,
    ),
)
