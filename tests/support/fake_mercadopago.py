"""MercadoPago's API on loopback, strict about its schemas: an unknown address, a missing or an unknown field fails the test.

Written after MercadoPago's reference (https://www.mercadopago.com.br/developers/en/reference).
"""

import asyncio
import contextlib
import hashlib
import hmac
import json
import re
import secrets
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import aiohttp
from aiohttp import web

ACCESS_TOKEN = "TEST-4934588586838432-112614-9c2f6a"
WEBHOOK_SECRET = "d1a7c0ffee5e0f6a"

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_URL = re.compile(r"https?://\S+")

Json = dict[str, Any]

#: What the next call gets instead of its answer: a status; "hang": nothing; "lost": it is carried out, and the answer is lost.
Failure = int | Literal["hang", "lost"]


class Violation(Exception):
    """The request isn't what MercadoPago documents."""


@dataclass
class FakeMercadoPago:
    port: int = 0
    payments: dict[str, Json] = field(default_factory=dict)
    preapprovals: dict[str, Json] = field(default_factory=dict)
    authorized: dict[str, Json] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    failures: deque[Failure] = field(default_factory=deque)
    """What becomes of the next calls."""
    _answers: dict[str, tuple[bytes, Json]] = field(default_factory=dict)
    _number: int = 1_327_410_518
    _moment: datetime = field(default_factory=lambda: datetime.now(UTC))
    _leaving: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def of(self, reference: str) -> Json:
        """The one payment with this external reference."""
        (found,) = [payment for payment in self.payments.values() if payment["external_reference"] == reference]
        return found

    def approve(self, payment_id: str, *, at: datetime | None = None, **differing: Any) -> None:
        """It was paid; ``differing``: fields that aren't what was asked for."""
        self.change(payment_id, status="approved", status_detail="accredited", **differing)
        payment = self.payments[payment_id]
        payment["date_approved"] = payment["date_last_updated"] if at is None else _text(at)

    def refund(self, payment_id: str) -> None:
        amount = self.payments[payment_id]["transaction_amount"]
        self.change(payment_id, status="refunded", status_detail="refunded", transaction_amount_refunded=amount)

    def change(self, payment_id: str, **fields: Any) -> None:
        self.payments[payment_id].update(fields, date_last_updated=self._now())

    def pay_recurring(self, preapproval_id: str, **differing: Any) -> str:
        """A period of a recurring payment was paid; the id of the authorized payment that notifications name."""
        agreement = self.preapprovals[preapproval_id]
        wanted = {
            "transaction_amount": agreement["auto_recurring"]["transaction_amount"],
            "external_reference": agreement["external_reference"],
            "description": agreement["reason"],
            "payer": {"email": agreement["payer_email"]},
        }
        payment = self._payment(wanted, "account_money") | differing
        self.payments[str(payment["id"])] = payment
        self.approve(str(payment["id"]))
        authorized_id = str(self._next())
        self.authorized[authorized_id] = {
            "id": int(authorized_id),
            "preapproval_id": preapproval_id,
            "payment": {"id": payment["id"], "status": "approved"},
        }
        return authorized_id

    def notification(
        self,
        data_id: str,
        topic: str = "payment",
        *,
        forged: bool = False,
        milliseconds: bool = False,
    ) -> tuple[str, dict[str, str], bytes]:
        """Path and query, headers and body of a notification; ``forged``: of somebody who doesn't know the secret."""
        request_id = secrets.token_hex(8)
        ts = str(int(datetime.now(UTC).timestamp() * (1000 if milliseconds else 1)))
        manifest = f"id:{data_id};request-id:{request_id};ts:{ts};"
        secret = "guessed" if forged else WEBHOOK_SECRET
        v1 = hmac.new(secret.encode(), manifest.encode(), hashlib.sha256).hexdigest()
        body = {
            "id": self._next(),
            "live_mode": False,
            "type": topic,
            "date_created": self._now(),
            "user_id": 44444,
            "api_version": "v1",
            "action": f"{topic}.updated",
            "data": {"id": data_id},
        }
        headers = {"x-signature": f"ts={ts},v1={v1}", "x-request-id": request_id, "Content-Type": "application/json"}
        return f"/webhooks/mercadopago?data.id={data_id}&type={topic}", headers, json.dumps(body).encode()

    async def notify(self, base_url: str, data_id: str, topic: str = "payment", **how: bool) -> int:
        """Send a notification; the status that it is answered with."""
        path, headers, body = self.notification(data_id, topic, **how)
        async with (
            aiohttp.ClientSession() as http,
            http.post(base_url + path, headers=headers, data=body) as response,
        ):
            await response.read()
            return response.status

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.calls.append(f"{request.method} {request.path}")
        failure = self.failures.popleft() if self.failures else None
        if failure == "hang":
            await self._leaving.wait()
            return web.Response(status=500)
        if isinstance(failure, int):
            return web.json_response(
                {"message": "as the test wants it", "error": "test", "status": failure}, status=failure
            )
        body = await request.read()
        try:
            status, answer = self._answer(request, body)
        except Violation as violation:
            self.violations.append(f"{request.method} {request.path}: {violation}")
            return web.json_response({"message": str(violation), "error": "bad_request", "status": 400}, status=400)
        if failure == "lost":
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(answer, status=status)

    def _answer(self, request: web.Request, body: bytes) -> tuple[int, Json]:
        if request.headers.get("Authorization") != f"Bearer {ACCESS_TOKEN}":
            raise Violation("the access token is missing or wrong")
        match request.method, request.path.strip("/").split("/"):
            case "POST", ["v1", "payments"]:
                return self._once(request, body, self._create_payment)
            case "GET", ["v1", "payments", "search"]:
                return 200, self._search(request)
            case "GET", ["v1", "payments", payment_id]:
                return _found(self.payments, payment_id)
            case "POST", ["preapproval"]:
                return self._once(request, body, self._create_preapproval)
            case "GET", ["preapproval", preapproval_id]:
                return _found(self.preapprovals, preapproval_id)
            case "PUT", ["preapproval", preapproval_id]:
                if json.loads(body) != {"status": "cancelled"}:
                    raise Violation("nothing but cancelling is expected")
                self.preapprovals[preapproval_id]["status"] = "cancelled"
                return 200, self.preapprovals[preapproval_id]
            case "GET", ["authorized_payments", authorized_id]:
                return _found(self.authorized, authorized_id)
            case _:
                raise Violation("there is no such operation")

    def _once(self, request: web.Request, body: bytes, create: Any) -> tuple[int, Json]:
        """The same key gives the same answer, and must come with the same body."""
        key = request.headers.get("x-idempotency-key", "")
        if not 1 <= len(key) <= 64 or key.isdigit():
            raise Violation("the idempotency key is missing, or a random one of the SDK's")
        if key in self._answers:
            before, answer = self._answers[key]
            if before != body:
                return 409, {"message": "idempotency key used with another body", "error": "conflict", "status": 409}
            return 200, answer
        answer = create(json.loads(body))
        self._answers[key] = (body, answer)
        return 201, answer

    def _create_payment(self, wanted: Json) -> Json:
        needed = {"transaction_amount", "payment_method_id", "payer", "external_reference", "date_of_expiration"}
        _fields(wanted, needed, {"description", "notification_url"})
        _check(wanted["payment_method_id"] == "pix", "payment_method_id must be pix")
        _check_amount(wanted["transaction_amount"])
        _fields(wanted["payer"], {"email"}, set())
        _check(_EMAIL.fullmatch(wanted["payer"]["email"]), "payer.email must be a valid email")
        _check(_MOMENT.fullmatch(wanted["date_of_expiration"]), "date_of_expiration has another form")
        lives = datetime.fromisoformat(wanted["date_of_expiration"]) - datetime.now(UTC)
        _check(timedelta(minutes=29) <= lives <= timedelta(days=30, minutes=1), "date_of_expiration is out of range")
        _check(_URL.fullmatch(wanted.get("notification_url", "https://a")), "notification_url must be a url")
        payment = self._payment(wanted, "pix")
        code = f"00020126580014br.gov.bcb.pix0136{secrets.token_hex(18)}520400005303986540{payment['id']}6304"
        payment["point_of_interaction"] = {
            "type": "OPENPLATFORM",
            "transaction_data": {
                "qr_code": code,
                "qr_code_base64": "iVBORw0KGgo=",
                "ticket_url": f"https://www.mercadopago.com.br/payments/{payment['id']}/ticket",
            },
        }
        self.payments[str(payment["id"])] = payment
        return payment

    def _payment(self, wanted: Json, method: str) -> Json:
        now = self._now()
        return {
            "id": self._next(),
            "status": "pending",
            "status_detail": "pending_waiting_transfer",
            "date_created": now,
            "date_last_updated": now,
            "date_approved": None,
            "date_of_expiration": wanted.get("date_of_expiration"),
            "payment_method_id": method,
            "currency_id": "BRL",
            "description": wanted.get("description"),
            "external_reference": wanted["external_reference"],
            "transaction_amount": wanted["transaction_amount"],
            "transaction_amount_refunded": 0,
            "payer": {"email": None},
            "live_mode": False,
        }

    def _create_preapproval(self, wanted: Json) -> Json:
        needed = {"reason", "external_reference", "payer_email", "back_url", "auto_recurring", "status"}
        _fields(wanted, needed, set())
        recurring = wanted["auto_recurring"]
        _fields(recurring, {"frequency", "frequency_type", "transaction_amount", "currency_id"}, set())
        _check(recurring["frequency_type"] in ("days", "months"), "frequency_type must be days or months")
        _check(recurring["currency_id"] == "BRL", "currency_id must be BRL")
        _check_amount(recurring["transaction_amount"])
        _check(wanted["status"] == "pending", "authorized needs a card token")
        _check(_EMAIL.fullmatch(wanted["payer_email"]), "payer_email must be a valid email")
        _check(_URL.fullmatch(wanted["back_url"]), "back_url must be a url")
        preapproval_id = f"2C93{secrets.token_hex(14)}"
        url = f"https://www.mercadopago.com.br/subscriptions/checkout?preapproval_id={preapproval_id}"
        self.preapprovals[preapproval_id] = wanted | {"id": preapproval_id, "init_point": url}
        return self.preapprovals[preapproval_id]

    def _search(self, request: web.Request) -> Json:
        query = dict(request.query)
        _fields(
            query, {"external_reference"}, {"sort", "criteria", "limit", "offset", "range", "begin_date", "end_date"}
        )
        _check(query.get("criteria", "desc") in ("asc", "desc"), "criteria must be asc or desc")
        found = [p for p in self.payments.values() if p["external_reference"] == query["external_reference"]]
        found.sort(key=lambda payment: str(payment["date_created"]), reverse=query.get("criteria") == "desc")
        limit = int(query.get("limit", 30))
        return {"paging": {"total": len(found), "limit": limit, "offset": 0}, "results": found[:limit]}

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _now(self) -> str:
        """Never the same twice, as it tells a later state from an earlier one."""
        self._moment = max(self._moment + timedelta(milliseconds=1), datetime.now(UTC))
        return _text(self._moment)


def _found(things: dict[str, Json], thing_id: str) -> tuple[int, Json]:
    if thing_id not in things:
        return 404, {"message": "not found", "error": "not_found", "status": 404}
    return 200, things[thing_id]


def _fields(given: Json, needed: set[str], allowed: set[str]) -> None:
    missing, unknown = needed - given.keys(), given.keys() - needed - allowed
    _check(not missing, f"missing: {', '.join(sorted(missing))}")
    _check(not unknown, f"unknown: {', '.join(sorted(unknown))}")


def _check_amount(amount: Any) -> None:
    _check(isinstance(amount, int | float) and amount > 0, "transaction_amount must be positive")
    _check(round(amount, 2) == amount, "transaction_amount has more than two decimals")


def _check(fits: object, otherwise: str) -> None:
    if not fits:
        raise Violation(otherwise)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


@contextlib.asynccontextmanager
async def fake_mercadopago() -> AsyncIterator[FakeMercadoPago]:
    """Listens while the block runs, and fails it if a request was none that MercadoPago takes."""
    fake = FakeMercadoPago()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.port = runner.addresses[0][1]
    try:
        yield fake
    finally:
        fake._leaving.set()
        await runner.cleanup()
    assert fake.violations == []
