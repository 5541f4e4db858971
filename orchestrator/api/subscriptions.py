"""Subscriptions and notices over HTTP."""

from aiohttp import web
from msgspec import UNSET

from orchestrator.api.bodies import json_response, read_json, read_query
from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.api.operations import Operation
from orchestrator.api.pairing import public_url
from orchestrator.domain.billing_notice import Notice, NoticeKind
from orchestrator.domain.charge import RecurringPayment, RecurringState
from orchestrator.domain.errors import (
    BillingOff,
    FieldError,
    InvalidRequest,
    NothingToPay,
    PaymentProviderUnavailable,
    PaymentRefused,
    PlanNotAvailable,
    PlanNotFound,
)
from orchestrator.domain.plan import existing_plan_id
from orchestrator.domain.subscription import SubscriptionState
from orchestrator.domain.tenant import Scope, existing_tenant_id
from orchestrator.services import notices
from orchestrator.services.events import timestamp
from orchestrator.services.subscriptions import SubscriptionView
from orchestrator.wire import billing as wire

#: Beyond it dates can't be shown.
_LAST_YEAR = 9000


async def show(request: web.Request) -> web.Response:
    """Of the tenant in the path, or of the caller's."""
    return json_response(_shown(await request.app[SERVICES].subscriptions.get(_tenant_id(request))))


async def change(request: web.Request) -> web.Response:
    body = await read_json(request, wire.ChangeSubscription)
    if body.active_until is not UNSET and body.extend_days is not UNSET:
        raise InvalidRequest(errors=[FieldError("extend_days", "must not be there together with active_until")])
    until = None if body.active_until is UNSET else body.active_until
    if until is not None and not 1 < until.year < _LAST_YEAR:
        raise InvalidRequest(errors=[FieldError("active_until", f"must be before the year {_LAST_YEAR}")])
    view = await request.app[SERVICES].subscriptions.change(
        _tenant_id(request),
        plan_id=None if body.plan_id is UNSET else existing_plan_id(body.plan_id),
        extend_days=None if body.extend_days is UNSET else body.extend_days,
        until=until,
        endless=body.active_until is None,
    )
    return json_response(_shown(view))


async def create_recurring(request: web.Request) -> web.Response:
    body = await read_json(request, wire.CreateRecurringPayment)
    recurring = await request.app[SERVICES].charges.create_recurring(
        request[TENANT], existing_plan_id(body.plan_id), body.payer_email, public_url(request)
    )
    return json_response(_shown_recurring(recurring), status=201)


async def cancel_recurring(request: web.Request) -> web.Response:
    await request.app[SERVICES].charges.cancel_recurring(request[TENANT])
    return web.Response(status=204)


async def list_notices(request: web.Request) -> web.Response:
    return await _notices(request, request[TENANT])


async def all_notices(request: web.Request) -> web.Response:
    return await _notices(request, None)


async def _notices(request: web.Request, tenant_id: str | None) -> web.Response:
    query = read_query(request, wire.ListNotices)
    found = await request.app[SERVICES].notices.after(tenant_id, query.after, most=query.limit)
    return json_response(wire.Notices(notices=[_shown_notice(notice) for notice in found]))


def _tenant_id(request: web.Request) -> str:
    return existing_tenant_id(request.match_info.get("tenant_id", request[TENANT]))


def _shown(view: SubscriptionView) -> wire.Subscription:
    until = view.subscription.active_until
    return wire.Subscription(
        tenant_id=view.subscription.tenant_id,
        state=view.state,
        plan_id=view.subscription.plan_id,
        active_until=None if until is None else timestamp(until),
        grace_until=None if view.grace_until is None else timestamp(view.grace_until),
        sessions=view.sessions,
        recurring=None if view.recurring is None else _shown_recurring(view.recurring),
        billing=view.billing,
    )


def _shown_recurring(recurring: RecurringPayment) -> wire.RecurringPayment:
    return wire.RecurringPayment(
        plan_id=recurring.plan_id,
        state=recurring.state,
        url=recurring.url,
        amount_cents=recurring.amount_cents,
        created_at=timestamp(recurring.created_at),
    )


def _shown_notice(notice: Notice) -> wire.Notice:
    return wire.Notice(**notices.shown(notice))


_SHOWN = wire.Subscription(
    tenant_id="acme",
    state=SubscriptionState.ACTIVE,
    plan_id="basic",
    active_until="2026-12-27T03:00:00.000Z",
    grace_until="2026-12-30T03:00:00.000Z",
    sessions=2,
    recurring=None,
    billing=True,
)
_SHOWN_NOTICE = wire.Notice(
    notice_id=17,
    tenant_id="acme",
    kind=NoticeKind.ENDS_TOMORROW,
    at="2026-12-25T12:00:04.310Z",
    data={
        "plan_id": "basic",
        "active_until": "2026-12-27T03:00:00.000Z",
        "grace_until": "2026-12-30T03:00:00.000Z",
    },
)
_NOTICES = wire.Notices(notices=[_SHOWN_NOTICE])

_TAG = "Subscriptions"
_OF_TENANT = "/v1/tenants/{tenant_id}/subscription"

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/subscription",
        handler=show,
        scope=Scope.READ,
        tag=_TAG,
        summary="Show what the tenant has paid for, and until when.",
        gives=wire.Subscription,
        example_answer=_SHOWN,
    ),
    Operation(
        method="POST",
        path="/v1/subscription/recurring",
        handler=create_recurring,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Begin a recurring payment: whoever pays agrees to it at the url in the answer.",
        details="A tenant has one at most; asked again, it is the same.",
        takes=wire.CreateRecurringPayment,
        gives=wire.RecurringPayment,
        status=201,
        errors=(BillingOff, NothingToPay, PlanNotFound, PlanNotAvailable, PaymentRefused, PaymentProviderUnavailable),
        example=wire.CreateRecurringPayment(plan_id="basic", payer_email="maria@example.com"),
        example_answer=wire.RecurringPayment(
            plan_id="basic",
            state=RecurringState.PENDING,
            url="https://www.mercadopago.com.br/subscriptions/checkout?preapproval_id=2c93...",
            amount_cents=4990,
            created_at="2026-11-27T01:02:03.456Z",
        ),
    ),
    Operation(
        method="DELETE",
        path="/v1/subscription/recurring",
        handler=cancel_recurring,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="End the recurring payment; what was paid stays.",
        status=204,
        errors=(BillingOff, PaymentRefused, PaymentProviderUnavailable),
    ),
    Operation(
        method="GET",
        path="/v1/notices",
        handler=list_notices,
        scope=Scope.READ,
        tag=_TAG,
        summary="List what the tenant should be told of its subscription and payments, oldest first.",
        details="Each is there once, over restarts and replicas. Read on with ?after= and the notice_id that you have told last; "
        "the event billing.notice says at once that there is one.",
        query=wire.ListNotices,
        gives=wire.Notices,
        example_answer=_NOTICES,
    ),
    Operation(
        method="GET",
        path="/v1/all-notices",
        handler=all_notices,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="List the notices of all tenants, oldest first.",
        query=wire.ListNotices,
        gives=wire.Notices,
        example_answer=_NOTICES,
    ),
    Operation(
        method="GET",
        path=_OF_TENANT,
        handler=show,
        called="subscriptions_show_of_tenant",
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="Show what a tenant has paid for, and until when.",
        gives=wire.Subscription,
        example_answer=_SHOWN,
    ),
    Operation(
        method="PATCH",
        path=_OF_TENANT,
        handler=change,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="Give a tenant another plan, another end or more days, without a payment.",
        takes=wire.ChangeSubscription,
        gives=wire.Subscription,
        errors=(BillingOff, NothingToPay, PlanNotFound),
        example=wire.ChangeSubscription(extend_days=7),
        example_answer=_SHOWN,
        audited=True,
    ),
)
