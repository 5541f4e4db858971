"""Plans over HTTP."""

from typing import Any

from aiohttp import web
from msgspec import UNSET

from orchestrator.api.bodies import json_response, read_json, read_query
from orchestrator.api.keys import SERVICES
from orchestrator.api.operations import Operation
from orchestrator.api.pages import Name, begins_after, cut
from orchestrator.domain.errors import FieldError, InvalidRequest, PlanExists, PlanNotFound
from orchestrator.domain.plan import CURRENCY, PLAN_ID, Period, PeriodUnit, Plan, existing_plan_id
from orchestrator.domain.tenant import Scope
from orchestrator.services.events import timestamp
from orchestrator.wire import billing as wire
from orchestrator.wire.pages import Page


async def create(request: web.Request) -> web.Response:
    body = await read_json(request, wire.CreatePlan)
    if not PLAN_ID.fullmatch(body.plan_id):
        message = 'must be 1 to 64 characters out of a-z A-Z 0-9 . _ -, and not "." or ".."'
        raise InvalidRequest(errors=[FieldError("plan_id", message)])
    period = Period(body.period.unit, body.period.count)
    plan = await request.app[SERVICES].plans.create(body.plan_id, body.name, body.price_cents, period, body.sessions)
    response = json_response(shown(plan), status=201)
    response.headers["Location"] = f"/v1/plans/{plan.plan_id}"
    return response


async def index(request: web.Request) -> web.Response:
    page = read_query(request, Page)
    found = await request.app[SERVICES].plans.page(after=begins_after(page, Name), most=page.limit + 1)
    listed, next_cursor = cut(found, page, lambda plan: plan.plan_id)
    return json_response(wire.Plans(plans=[shown(plan) for plan in listed], next_cursor=next_cursor))


async def show(request: web.Request) -> web.Response:
    return json_response(shown(await request.app[SERVICES].plans.get(_plan_id(request))))


async def change(request: web.Request) -> web.Response:
    body = await read_json(request, wire.ChangePlan)
    values: dict[str, Any] = {
        "name": body.name,
        "price_cents": body.price_cents,
        "sessions": body.sessions,
        "available": body.available,
    }
    services = request.app[SERVICES]
    plan = await services.plans.change(
        _plan_id(request), {name: value for name, value in values.items() if value is not UNSET}
    )
    if body.sessions is not UNSET:
        await services.subscriptions.plan_changed()
    return json_response(shown(plan))


def shown(plan: Plan) -> wire.Plan:
    return wire.Plan(
        plan_id=plan.plan_id,
        name=plan.name,
        price_cents=plan.price_cents,
        currency=CURRENCY,
        period=wire.Period(unit=plan.period.unit, count=plan.period.count),
        sessions=plan.sessions,
        available=plan.available,
        created_at=timestamp(plan.created_at),
    )


def _plan_id(request: web.Request) -> str:
    return existing_plan_id(request.match_info["plan_id"])


_SHOWN = wire.Plan(
    plan_id="basic",
    name="Basic",
    price_cents=4990,
    currency=CURRENCY,
    period=wire.Period(unit=PeriodUnit.MONTH, count=1),
    sessions=2,
    available=True,
    created_at="2026-11-26T12:00:00.000Z",
)

_TAG = "Plans"
_PLAN = "/v1/plans/{plan_id}"

OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/plans",
        handler=create,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="Create a plan that tenants can buy.",
        takes=wire.CreatePlan,
        gives=wire.Plan,
        status=201,
        errors=(PlanExists,),
        example=wire.CreatePlan(plan_id="basic", name="Basic", price_cents=4990, sessions=2),
        example_answer=_SHOWN,
        audited=True,
    ),
    Operation(
        method="GET",
        path="/v1/plans",
        handler=index,
        scope=Scope.READ,
        tag=_TAG,
        summary="List the plans, by id.",
        query=Page,
        gives=wire.Plans,
        example_answer=wire.Plans(plans=[_SHOWN], next_cursor=None),
    ),
    Operation(
        method="GET",
        path=_PLAN,
        handler=show,
        scope=Scope.READ,
        tag=_TAG,
        summary="Show a plan.",
        gives=wire.Plan,
        errors=(PlanNotFound,),
        example_answer=_SHOWN,
    ),
    Operation(
        method="PATCH",
        path=_PLAN,
        handler=change,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="Change a plan. What was paid for it already stays as long as it was paid for.",
        takes=wire.ChangePlan,
        gives=wire.Plan,
        errors=(PlanNotFound,),
        example=wire.ChangePlan(price_cents=5990),
        example_answer=_SHOWN,
        audited=True,
    ),
)
