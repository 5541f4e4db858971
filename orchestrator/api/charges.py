"""Charges and invoices over HTTP."""

from collections.abc import Callable, Mapping
from datetime import timedelta

from aiohttp import web

from orchestrator.api import qr_codes
from orchestrator.api.bodies import json_response, read_json, read_query
from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.api.operations import JSON, Operation
from orchestrator.api.pages import Moment, Name, Number, begins_after, cut
from orchestrator.api.qr_codes import preferred_format
from orchestrator.domain.charge import Charge, ChargeState, Invoice, existing_charge_id
from orchestrator.domain.errors import (
    BillingOff,
    ChargeNotFound,
    NotAcceptable,
    NothingToPay,
    PaymentProviderUnavailable,
    PaymentRefused,
    PlanNotAvailable,
    PlanNotFound,
)
from orchestrator.domain.plan import CURRENCY, existing_plan_id
from orchestrator.domain.tenant import Scope
from orchestrator.services.events import timestamp
from orchestrator.wire import billing as wire
from orchestrator.wire.pages import Page


async def create(request: web.Request) -> web.Response:
    body = await read_json(request, wire.CreateCharge)
    charge, new = await request.app[SERVICES].charges.create(
        request[TENANT],
        existing_plan_id(body.plan_id),
        body.payer_email,
        timedelta(seconds=body.expires_in_seconds),
    )
    response = json_response(_shown(charge), status=201 if new else 200)
    response.headers["Location"] = f"/v1/charges/{charge.charge_id}"
    return response


async def index(request: web.Request) -> web.Response:
    page = read_query(request, wire.ListCharges)
    before = begins_after(page, tuple[Moment, Name])
    store = request.app[SERVICES].charge_store
    found = await store.page(request[TENANT], page.state, before=before, most=page.limit + 1)
    shown, next_cursor = cut(found, page, lambda charge: (charge.created_at, charge.charge_id))
    return json_response(wire.Charges(charges=[_shown(charge) for charge in shown], next_cursor=next_cursor))


async def show(request: web.Request) -> web.Response:
    """The charge, or its QR code, as Accept prefers."""
    draw = _FORMATS[preferred_format(request.headers.get("Accept", "*/*"), _FORMATS)]
    charge_id = existing_charge_id(request.match_info["charge_id"])
    response = draw(await request.app[SERVICES].charge_store.get(request[TENANT], charge_id))
    response.headers["Vary"] = "Accept"
    return response


async def invoices(request: web.Request) -> web.Response:
    page = read_query(request, Page)
    before = begins_after(page, Number)
    found = await request.app[SERVICES].settlements.invoices(request[TENANT], before=before, most=page.limit + 1)
    shown, next_cursor = cut(found, page, lambda invoice: invoice.invoice_id)
    listed = [_shown_invoice(invoice) for invoice in shown]
    return json_response(wire.Invoices(invoices=listed, next_cursor=next_cursor))


def _shown(charge: Charge) -> wire.Charge:
    return wire.Charge(
        charge_id=charge.charge_id,
        tenant_id=charge.tenant_id,
        plan_id=charge.plan_id,
        state=charge.state,
        amount_cents=charge.amount_cents,
        currency=charge.currency,
        pix_code=charge.pix_code,
        created_at=timestamp(charge.created_at),
        expires_at=timestamp(charge.expires_at),
        paid_at=None if charge.paid_at is None else timestamp(charge.paid_at),
    )


def _shown_invoice(invoice: Invoice) -> wire.Invoice:
    return wire.Invoice(
        invoice_id=invoice.invoice_id,
        tenant_id=invoice.tenant_id,
        plan_id=invoice.plan_id,
        charge_id=invoice.charge_id,
        payment_id=invoice.payment_id,
        amount_cents=invoice.amount_cents,
        currency=invoice.currency,
        period_from=timestamp(invoice.period_from),
        period_to=timestamp(invoice.period_to),
        paid_at=timestamp(invoice.paid_at),
        reversed_at=None if invoice.reversed_at is None else timestamp(invoice.reversed_at),
        reversed_by=invoice.reversed_by,
    )


def _json(charge: Charge) -> web.Response:
    return json_response(_shown(charge))


def _png(charge: Charge) -> web.Response:
    return web.Response(body=qr_codes.picture(_code(charge), "png"), content_type="image/png")


def _svg(charge: Charge) -> web.Response:
    return web.Response(body=qr_codes.picture(_code(charge), "svg"), content_type="image/svg+xml")


def _text(charge: Charge) -> web.Response:
    """For a terminal: the QR code, and the code to paste."""
    code = _code(charge)
    text = f"{qr_codes.terminal(code)}\n{code}\n"
    return web.Response(text=text, content_type="text/plain", charset="utf-8")


def _code(charge: Charge) -> str:
    if charge.pix_code is None:
        raise ChargeNotFound("MercadoPago has made no QR code of this charge; create it again with POST /v1/charges.")
    return charge.pix_code


_FORMATS: Mapping[str, Callable[[Charge], web.Response]] = {
    JSON: _json,
    "image/png": _png,
    "image/svg+xml": _svg,
    "text/plain": _text,
}

_SHOWN = wire.Charge(
    charge_id="chg-0123456789abcdef",
    tenant_id="acme",
    plan_id="basic",
    state=ChargeState.PENDING,
    amount_cents=4990,
    currency=CURRENCY,
    pix_code="00020126580014br.gov.bcb.pix0136b76aa9c2-2ec4-4110-954e-ebfe34f05b61520400005303986540549.90...",
    created_at="2026-11-27T01:02:03.456Z",
    expires_at="2026-11-28T01:02:03.456Z",
    paid_at=None,
)
_SHOWN_INVOICE = wire.Invoice(
    invoice_id=12,
    tenant_id="acme",
    plan_id="basic",
    charge_id="chg-0123456789abcdef",
    payment_id="1327410519",
    amount_cents=4990,
    currency=CURRENCY,
    period_from="2026-11-27T03:00:00.000Z",
    period_to="2026-12-27T03:00:00.000Z",
    paid_at="2026-11-27T01:03:41.000Z",
    reversed_at=None,
    reversed_by=None,
)

_TAG = "Charges"

OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/charges",
        handler=create,
        scope=Scope.MANAGE,
        tag=_TAG,
        summary="Ask for a PIX code that pays for a plan.",
        details="Asked again while one can be paid, it is the same (200). It pays for the time after what is paid for already; "
        "of another plan than before, what is left of that one counts with its price.",
        takes=wire.CreateCharge,
        gives=wire.Charge,
        status=201,
        also=(200,),
        errors=(BillingOff, NothingToPay, PlanNotFound, PlanNotAvailable, PaymentRefused, PaymentProviderUnavailable),
        example=wire.CreateCharge(plan_id="basic", payer_email="maria@example.com"),
        example_answer=_SHOWN,
    ),
    Operation(
        method="GET",
        path="/v1/charges",
        handler=index,
        scope=Scope.READ,
        tag=_TAG,
        summary="List the charges, newest first.",
        query=wire.ListCharges,
        gives=wire.Charges,
        example_answer=wire.Charges(charges=[_SHOWN], next_cursor=None),
    ),
    Operation(
        method="GET",
        path="/v1/charges/{charge_id}",
        handler=show,
        scope=Scope.READ,
        tag=_TAG,
        summary="Show a charge, or its QR code as a picture or as text, as Accept prefers.",
        gives=wire.Charge,
        errors=(ChargeNotFound, NotAcceptable),
        example_answer=_SHOWN,
        answer_types=("image/png", "image/svg+xml", "text/plain"),
    ),
    Operation(
        method="GET",
        path="/v1/invoices",
        handler=invoices,
        scope=Scope.READ,
        tag=_TAG,
        summary="List what was paid for which time, newest first.",
        query=Page,
        gives=wire.Invoices,
        example_answer=wire.Invoices(invoices=[_SHOWN_INVOICE], next_cursor=None),
    ),
)
