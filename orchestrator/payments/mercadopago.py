"""MercadoPago, through its own SDK: the one place that knows it.

The SDK is synchronous and opens a connection for each call, so its calls run in threads of their own, a few at a time. It
retries no POST and sends a fresh idempotency key each time: retries and keys are ours. Every answer becomes a value of ours,
and every failure ``PaymentProviderUnavailable`` or ``PaymentRefused``.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

import mercadopago
import msgspec
import requests
import structlog
from mercadopago.config import RequestOptions
from mercadopago.errors.exceptions import MercadoPagoError, MPConnectionError
from mercadopago.http import HttpClient

from orchestrator.domain.charge import Charge, RecurringPayment
from orchestrator.domain.errors import PaymentProviderUnavailable, PaymentRefused
from orchestrator.domain.payment import Payment, RecurringAgreement
from orchestrator.domain.plan import TIME_ZONE, PeriodUnit, Plan
from orchestrator.payments.signature import is_signed

log = structlog.get_logger(__name__)

API_URL = "https://api.mercadopago.com"

#: Calls at the same time, and seconds that one may take. Three tries with these pauses stay below the 22 s within which
#: MercadoPago wants its notifications answered.
_THREADS = 4
_CALL_SECONDS = 5.0
_PAUSES_SECONDS = (0.5, 1.5)

#: Being asked too often, the same request is still under way (423), and whatever the server blames on itself.
_PASSING = frozenset({423, 429})
_SERVER_ERRORS = 500
_NOT_FOUND = 404

#: As many payments as a search gives at once.
_SEARCH_LIMIT = 50

_FREQUENCY_TYPES: Mapping[PeriodUnit, str] = {PeriodUnit.DAY: "days", PeriodUnit.MONTH: "months"}

T = TypeVar("T")


class _TransactionData(msgspec.Struct):
    qr_code: str | None = None


class _PointOfInteraction(msgspec.Struct):
    transaction_data: _TransactionData | None = None


class _Payment(msgspec.Struct):
    """https://www.mercadopago.com.br/developers/en/reference/payments/_payments_id/get"""

    id: int | str
    status: str
    date_last_updated: datetime
    status_detail: str | None = None
    transaction_amount: float | None = None
    transaction_amount_refunded: float | None = None
    currency_id: str | None = None
    external_reference: str | None = None
    date_approved: datetime | None = None
    point_of_interaction: _PointOfInteraction | None = None


class _Payments(msgspec.Struct):
    results: list[_Payment]


class _Preapproval(msgspec.Struct):
    """https://www.mercadopago.com.br/developers/en/reference/subscriptions/_preapproval_id/get"""

    id: str
    status: str
    external_reference: str | None = None
    init_point: str | None = None


class _PaymentOfAuthorized(msgspec.Struct):
    id: int | str | None = None


class _AuthorizedPayment(msgspec.Struct):
    """https://www.mercadopago.com.br/developers/en/reference/subscriptions/_authorized_payments_id/get"""

    payment: _PaymentOfAuthorized | None = None


class MercadoPago:
    def __init__(
        self,
        access_token: str,
        *,
        webhook_secret: str | None = None,
        api_url: str | None = None,
        notification_url: str | None = None,
        call_seconds: float = _CALL_SECONDS,
        pauses_seconds: tuple[float, ...] = _PAUSES_SECONDS,
    ) -> None:
        """``notification_url``: where MercadoPago says that something has changed; None: as its own panel has it."""
        self._access_token = access_token
        self._webhook_secret = webhook_secret
        http_client = None if api_url is None else _ElsewhereClient(api_url)
        self._sdk = mercadopago.SDK(access_token, http_client=http_client)
        self._notification_url = notification_url
        self._call_seconds = call_seconds
        self._pauses_seconds = pauses_seconds
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="mercadopago")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def signed(self, signature: str | None, request_id: str | None, data_id: str | None) -> bool:
        """Whether a notification with these headers x-signature and x-request-id, and this data.id in its query, is
        MercadoPago's; never without a secret."""
        return self._webhook_secret is not None and is_signed(self._webhook_secret, signature, request_id, data_id)

    async def create_pix(self, charge: Charge, description: str) -> Payment:
        """Make the payment request of a charge; repeated, the same one."""
        wanted: dict[str, Any] = {
            "transaction_amount": _amount(charge.amount_cents),
            "description": description,
            "payment_method_id": "pix",
            "payer": {"email": charge.payer_email},
            "external_reference": charge.charge_id,
            "date_of_expiration": _moment(charge.expires_at),
        }
        if self._notification_url is not None:
            wanted["notification_url"] = self._notification_url
        answer = await self._call(
            lambda options: self._sdk.payment().create(wanted, options), key=f"pix-{charge.charge_id}"
        )
        payment = _payment(_read(answer, _Payment))
        if payment.pix_code is None:
            log.error("MercadoPago gave no PIX code", payment_id=payment.payment_id, status=payment.status)
            raise PaymentRefused("MercadoPago made no PIX code; has its account a PIX key?")
        return payment

    async def payment(self, payment_id: str) -> Payment | None:
        """As it is now; None if there is none."""
        answer = await self._call(lambda options: self._sdk.payment().get(payment_id, options), absent=_NOT_FOUND)
        return None if answer is None else _payment(_read(answer, _Payment))

    async def payments_for(self, reference: str) -> list[Payment]:
        """The newest with this external reference."""
        wanted = {"external_reference": reference, "sort": "date_created", "criteria": "desc", "limit": _SEARCH_LIMIT}
        answer = await self._call(lambda options: self._sdk.payment().search(wanted, options))
        return [_payment(found) for found in _read(answer, _Payments).results]

    async def create_recurring(self, recurring: RecurringPayment, plan: Plan, back_url: str) -> RecurringAgreement:
        """Ask for consent to a recurring payment; repeated, the same one."""
        wanted = {
            "reason": plan.name,
            "external_reference": recurring.recurring_id,
            "payer_email": recurring.payer_email,
            "back_url": back_url,
            "status": "pending",
            "auto_recurring": {
                "frequency": plan.period.count,
                "frequency_type": _FREQUENCY_TYPES[plan.period.unit],
                "transaction_amount": _amount(recurring.amount_cents),
                "currency_id": recurring.currency,
            },
        }
        key = f"preapproval-{recurring.recurring_id}"
        answer = await self._call(lambda options: self._sdk.preapproval().create(wanted, options), key=key)
        return _agreement(_read(answer, _Preapproval))

    async def recurring(self, preapproval_id: str) -> RecurringAgreement | None:
        """As it is now; None if there is none."""
        answer = await self._call(
            lambda options: self._sdk.preapproval().get(preapproval_id, options), absent=_NOT_FOUND
        )
        return None if answer is None else _agreement(_read(answer, _Preapproval))

    async def cancel_recurring(self, preapproval_id: str) -> RecurringAgreement:
        """Have MercadoPago take no more money."""
        answer = await self._call(
            lambda options: self._sdk.preapproval().update(preapproval_id, {"status": "cancelled"}, options),
            key=f"cancel-{preapproval_id}"[:64],
        )
        return _agreement(_read(answer, _Preapproval))

    async def payment_of_authorized(self, authorized_payment_id: str) -> str | None:
        """The id of the payment that a recurring payment has led to; None if there is none yet."""
        answer = await self._call(
            lambda options: self._sdk.invoice().get(authorized_payment_id, options), absent=_NOT_FOUND
        )
        if answer is None:
            return None
        payment = _read(answer, _AuthorizedPayment).payment
        return None if payment is None or payment.id is None else str(payment.id)

    async def _call(
        self, call: Callable[[RequestOptions], Any], *, key: str | None = None, absent: int | None = None
    ) -> Any:
        """The answer's body; None for the status ``absent``. Tried again as long as it is known, or sure by the
        ``key``, that nothing is done twice: all calls without one only read."""
        status: int | None = None
        for pause in (*self._pauses_seconds, None):
            status, body = await self._once(call, key)
            if status is not None and status < 300:
                return body
            if status is not None and status == absent:
                return None
            if status is not None and status < _SERVER_ERRORS and status not in _PASSING:
                log.warning("MercadoPago refused a request", status=status, reason=_reason(body))
                raise PaymentRefused(f"MercadoPago has refused it: {_reason(body)}")
            if pause is not None:
                await asyncio.sleep(pause)
        log.warning("MercadoPago doesn't answer", status=status)
        raise PaymentProviderUnavailable

    async def _once(self, call: Callable[[RequestOptions], Any], key: str | None) -> tuple[int | None, Any]:
        """One try: the status and the body, or no status if there was no answer."""
        options = RequestOptions(
            access_token=self._access_token,
            connection_timeout=self._call_seconds,
            custom_headers=None if key is None else {"x-idempotency-key": key},
            max_retries=0,
        )
        running = asyncio.get_running_loop().run_in_executor(self._threads, call, options)
        try:
            answer = await asyncio.wait_for(running, self._call_seconds + 1.0)
        except MPConnectionError:
            return None, None
        except MercadoPagoError as error:  # an answer that isn't JSON
            return max(error.status_code, _SERVER_ERRORS), None
        except (requests.RequestException, TimeoutError):
            return None, None
        return answer["status"], answer["response"]


class _ElsewhereClient(HttpClient):  # type: ignore[misc]  # the SDK has no types
    """The SDK's own client, against another host: its address is a constant there."""

    def __init__(self, url: str) -> None:
        self._url = url

    def request(self, method: str, url: str, *arguments: Any, **named: Any) -> Any:
        return super().request(method, self._url + url.removeprefix(API_URL), *arguments, **named)


def _read(body: Any, type_: type[T]) -> T:
    try:
        return msgspec.convert(body, type_, strict=False)
    except msgspec.ValidationError as error:
        log.error("MercadoPago's answer isn't what it documents", error=str(error))
        raise PaymentProviderUnavailable from error


def _payment(found: _Payment) -> Payment:
    place = found.point_of_interaction
    return Payment(
        payment_id=str(found.id),
        reference=found.external_reference,
        status=found.status,
        status_detail=found.status_detail,
        amount_cents=_cents(found.transaction_amount),
        refunded_cents=_cents(found.transaction_amount_refunded or 0) or 0,
        currency=found.currency_id,
        approved_at=found.date_approved,
        updated_at=found.date_last_updated,
        pix_code=place.transaction_data.qr_code if place and place.transaction_data else None,
    )


def _agreement(found: _Preapproval) -> RecurringAgreement:
    return RecurringAgreement(
        preapproval_id=found.id, reference=found.external_reference, status=found.status, url=found.init_point
    )


def _amount(cents: int) -> float:
    """The nearest double, which JSON writes with the two digits that it came from."""
    return cents / 100


def _cents(amount: float | None) -> int | None:
    """None for what is no whole number of cents."""
    if amount is None:
        return None
    cents = Decimal(repr(amount)) * 100
    return int(cents) if cents == cents.to_integral_value() else None


def _moment(moment: datetime) -> str:
    """As MercadoPago documents it: 2026-11-30T22:58:31.000-03:00."""
    return moment.astimezone(TIME_ZONE).isoformat(timespec="milliseconds")


def _reason(body: Any) -> str:
    """What it says of a refusal; it never repeats the token."""
    longest = 200
    message = body.get("message") if isinstance(body, dict) else None
    return str(message)[:longest] if message else "it doesn't say why."
