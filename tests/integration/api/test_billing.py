"""From a trial to a payment, a pause and back, over HTTP, on a real PostgreSQL and with the real SDK."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from tests.support.billing import PLAN, SETTINGS, Billing
from tests.support.event_stream import listening
from tests.support.fake_mercadopago import fake_mercadopago
from tests.support.postgres import migrated_database
from tests.support.public_api import public_api

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def billing(postgres_server: str) -> AsyncIterator[Billing]:
    with migrated_database(postgres_server) as database_url:
        async with (
            fake_mercadopago() as provider,
            public_api(
                database_url, mercadopago_api_url=provider.url, requests_per_minute=1_000_000, **SETTINGS
            ) as api,
        ):
            made = Billing(api, provider)
            assert (await api.call("POST", "/v1/plans", PLAN)).status == 201
            large = {"plan_id": "large", "name": "Large", "price_cents": 9980, "sessions": 10}
            assert (await api.call("POST", "/v1/plans", large)).status == 201
            yield made


def ago(**time: float) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat()


async def test_plans_are_made_and_changed_by_the_admin_and_read_by_everybody(billing: Billing) -> None:
    api = billing.api
    token = await api.tenant("plans")
    assert (await api.call("POST", "/v1/plans", PLAN)).code == "plan_exists"
    assert (await api.call("POST", "/v1/plans", PLAN, token=token)).code == "scope_missing"
    yearly = {**PLAN, "plan_id": "yearly", "period": {"unit": "month", "count": 12}, "sessions": None}
    made = await api.call("POST", "/v1/plans", yearly)
    assert made.headers["Location"] == "/v1/plans/yearly"
    assert made.json["period"] == {"unit": "month", "count": 12}
    changed = await api.call("PATCH", "/v1/plans/yearly", {"available": False, "name": "Yearly"})
    assert (changed.json["available"], changed.json["name"], changed.json["price_cents"]) == (False, "Yearly", 4990)
    assert (await api.call("GET", "/v1/plans/yearly", token=token)).json == changed.json
    listed = await api.call("GET", "/v1/plans", token=token)
    assert [plan["plan_id"] for plan in listed.json["plans"]] == ["basic", "large", "yearly"]
    assert (await api.call("GET", "/v1/plans/none", token=token)).code == "plan_not_found"
    refused = await api.call("POST", "/v1/charges", {"plan_id": "yearly", "payer_email": "m@e.com"}, token=token)
    assert refused.code == "plan_not_available"
    for wrong in ({"plan_id": "a/b"}, {"plan_id": ".."}, {"price_cents": 0}, {"sessions": 0}, {"period": {"count": 0}}):
        answer = await api.call("POST", "/v1/plans", {**PLAN, **wrong})
        assert answer.json["errors"][0]["field"].startswith(next(iter(wrong)))


async def test_a_new_tenant_tries_it_for_a_week_with_one_session(billing: Billing) -> None:
    token = await billing.api.tenant("trial")
    subscription = await billing.subscription(token)
    assert (subscription["state"], subscription["sessions"], subscription["plan_id"]) == ("trial", 1, None)
    left = datetime.fromisoformat(subscription["active_until"]) - datetime.now(UTC)
    assert timedelta(days=7) <= left <= timedelta(days=8)
    assert (await billing.api.call("POST", "/v1/sessions", {"session_id": "one"}, token=token)).status == 201
    assert (await billing.api.call("POST", "/v1/sessions", {"session_id": "two"}, token=token)).code == "session_limit"


async def test_the_operator_never_pays(billing: Billing) -> None:
    subscription = (await billing.api.call("GET", "/v1/subscription")).json
    assert (subscription["state"], subscription["sessions"], subscription["billing"]) == ("free", None, True)
    refused = await billing.api.call("POST", "/v1/charges", {"plan_id": "basic", "payer_email": "m@e.com"})
    assert refused.code == "nothing_to_pay"
    assert (await billing.change("operator", extend_days=1)).code == "nothing_to_pay"
    await billing.look()
    assert await billing.sql("SELECT FROM subscriptions WHERE tenant_id = 'operator'") == []


async def test_a_charge_is_paid_and_the_tenant_gets_what_it_paid_for(billing: Billing) -> None:
    token = await billing.api.tenant("payer")
    ends = datetime.fromisoformat((await billing.subscription(token))["active_until"])
    charge = await billing.charged(token)
    assert (charge["state"], charge["amount_cents"], charge["currency"]) == ("pending", 4990, "BRL")
    again = await billing.api.call("POST", "/v1/charges", {"plan_id": "basic"}, token=token)
    assert (again.status, again.json["charge_id"]) == (200, charge["charge_id"])

    path = f"/v1/charges/{charge['charge_id']}"
    for accept, begins in (("image/png", b"\x89PNG"), ("image/svg+xml", b"<?xml"), ("text/plain", "█".encode())):
        picture = await billing.api.call("GET", path, token=token, headers={"Accept": accept})
        assert picture.headers["Content-Type"].startswith(accept)
        assert begins in picture.body
        assert accept != "text/plain" or charge["pix_code"].encode() in picture.body
    assert (await billing.api.call("GET", path, token=token, headers={"Accept": "audio/ogg"})).status == 406
    stranger = await billing.api.tenant("stranger")
    assert (await billing.api.call("GET", path, token=stranger)).code == "charge_not_found"

    assert await billing.notify(charge["payment_id"]) == 204  # nothing is paid yet
    assert (await billing.api.call("GET", path, token=token)).json["state"] == "pending"
    async with listening(replace(billing.api, token=token)) as stream, listening(billing.api) as own:
        billing.provider.approve(charge["payment_id"])
        assert await billing.notify(charge["payment_id"]) == 204
        assert await billing.notify(charge["payment_id"], milliseconds=True) == 204
        told = await stream.wait_for("billing.notice", kind="paid")
        assert told == await own.wait_for("billing.notice", kind="paid", tenant_id="payer")
    assert (told["kind"], told["tenant_id"], told["session_id"]) == ("paid", "payer", None)
    assert told["data"]["amount_cents"] == 4990
    paid = (await billing.api.call("GET", path, token=token)).json
    assert paid["state"] == "paid"
    assert paid["paid_at"] is not None
    subscription = await billing.subscription(token)
    assert (subscription["state"], subscription["plan_id"], subscription["sessions"]) == ("active", "basic", 2)
    assert datetime.fromisoformat(subscription["active_until"]) >= ends + timedelta(days=28)
    (invoice,) = (await billing.api.call("GET", "/v1/invoices", token=token)).json["invoices"]
    assert invoice["period_to"] == subscription["active_until"]
    assert datetime.fromisoformat(invoice["period_from"]) == ends
    assert (await billing.api.call("GET", "/v1/invoices", token=stranger)).json["invoices"] == []
    (listed,) = (await billing.api.call("GET", "/v1/charges?state=paid", token=token)).json["charges"]
    assert listed["charge_id"] == charge["charge_id"]
    assert (await billing.api.call("GET", "/v1/charges?state=pending", token=token)).json["charges"] == []
    next_charge = await billing.charged(token)
    assert next_charge["charge_id"] != charge["charge_id"]
    page = (await billing.api.call("GET", "/v1/charges?limit=1", token=token)).json
    rest = (await billing.api.call("GET", f"/v1/charges?limit=1&cursor={page['next_cursor']}", token=token)).json
    assert [one["charges"][0]["charge_id"] for one in (page, rest)] == [next_charge["charge_id"], charge["charge_id"]]
    assert rest["next_cursor"] is None


async def test_forged_notifications_are_refused_and_others_of_no_interest_taken(billing: Billing) -> None:
    token = await billing.api.tenant("forger")
    charge = await billing.charged(token)
    billing.provider.approve(charge["payment_id"])
    calls = len(billing.provider.calls)
    assert await billing.notify(charge["payment_id"], forged=True) == 401
    path = f"/webhooks/mercadopago?data.id={charge['payment_id']}&type=payment"
    for headers in ({}, {"x-signature": "ts=1,v1=00"}, {"x-signature": "é"}, {"x-request-id": "1"}):
        answer = await billing.api.call("POST", path, {}, token=None, headers=headers)
        assert (answer.status, answer.code) == (401, "notification_not_signed")
    assert len(billing.provider.calls) == calls
    assert await billing.notify("17") == 204  # of no payment that there is
    assert await billing.notify("17", "merchant_order") == 204
    assert (await billing.subscription(token))["state"] == "trial"


async def test_a_provider_that_fails_loses_nothing(billing: Billing) -> None:
    token = await billing.api.tenant("outage")
    body = {"plan_id": "basic", "payer_email": "maria@example.com"}
    billing.provider.failures += [500, 500, 500]
    refused = await billing.api.call("POST", "/v1/charges", body, token=token)
    assert (refused.status, refused.code) == (503, "payment_provider_unavailable")
    charge = await billing.charged(token)  # the same one, made now
    billing.provider.approve(charge["payment_id"])
    billing.provider.failures += [503, 503, 503]
    assert await billing.notify(charge["payment_id"]) == 503  # it will come again, or:
    found = (await billing.api.call("POST", "/v1/payments/reconcile")).json
    assert found["settled"] >= 1
    assert (await billing.subscription(token))["state"] == "active"
    assert await billing.notify(charge["payment_id"]) == 204
    assert len((await billing.api.call("GET", "/v1/invoices", token=token)).json["invoices"]) == 1


async def test_a_charge_that_the_provider_refuses_is_no_charge(billing: Billing) -> None:
    token = await billing.api.tenant("refused")
    missing = await billing.api.call("POST", "/v1/charges", {"plan_id": "basic"}, token=token)
    assert missing.json["errors"][0]["field"] == "payer_email"
    for email in ("nobody", "a@b", "a b@c.de"):
        wrong = await billing.api.call("POST", "/v1/charges", {"plan_id": "basic", "payer_email": email}, token=token)
        assert wrong.json["errors"][0]["field"] == "payer_email"
    billing.provider.failures.append(400)
    refused = await billing.api.call("POST", "/v1/charges", {"plan_id": "basic", "payer_email": "m@e.com"}, token=token)
    assert (refused.status, refused.code) == (502, "payment_refused")
    (charge,) = (await billing.api.call("GET", "/v1/charges", token=token)).json["charges"]
    assert (charge["state"], charge["pix_code"]) == ("refused", None)
    shown = await billing.api.call(
        "GET", f"/v1/charges/{charge['charge_id']}", token=token, headers={"Accept": "image/png"}
    )
    assert shown.code == "charge_not_found"
    assert (await billing.charged(token))["charge_id"] != charge["charge_id"]


async def test_an_answer_that_was_lost_is_found_again_by_reconciling(billing: Billing) -> None:
    """The process dies after MercadoPago has made the payment request and before we know of it."""
    token = await billing.api.tenant("crash")
    charge = await billing.charged(token)
    await billing.execute(
        f"UPDATE charges SET payment_id = NULL, pix_code = NULL WHERE charge_id = '{charge['charge_id']}'"
    )
    # Something else than the first time is asked for: the same key is refused, and the search finds it.
    assert (await billing.api.call("PATCH", "/v1/plans/basic", {"name": "Basic!"})).status == 200
    assert (await billing.api.call("POST", "/v1/payments/reconcile")).status == 200
    found = (await billing.api.call("GET", f"/v1/charges/{charge['charge_id']}", token=token)).json
    assert found["pix_code"] == charge["pix_code"]


async def test_a_late_payment_counts_and_an_expired_charge_is_replaced(billing: Billing) -> None:
    token = await billing.api.tenant("late")
    charge = await billing.charged(token)
    billing.provider.change(charge["payment_id"], status="cancelled", status_detail="expired")
    assert await billing.notify(charge["payment_id"]) == 204
    path = f"/v1/charges/{charge['charge_id']}"
    assert (await billing.api.call("GET", path, token=token)).json["state"] == "expired"
    other = await billing.charged(token)
    assert other["charge_id"] != charge["charge_id"]
    await billing.execute(f"UPDATE charges SET expires_at = now() WHERE charge_id = '{other['charge_id']}'")
    assert (await billing.charged(token))["charge_id"] != other["charge_id"]
    billing.provider.approve(charge["payment_id"])
    assert await billing.notify(charge["payment_id"]) == 204
    assert (await billing.api.call("GET", path, token=token)).json["state"] == "paid"
    assert (await billing.subscription(token))["state"] == "active"


async def test_an_amount_or_a_currency_that_differs_settles_nothing_and_tells_a_person(billing: Billing) -> None:
    for tenant_id, differing, problem in (
        ("less", {"transaction_amount": 49.89}, "amount_differs"),
        ("more", {"transaction_amount": 4990}, "amount_differs"),
        ("odd", {"transaction_amount": 49.901}, "amount_differs"),
        ("pesos", {"currency_id": "ARS"}, "currency_differs"),
    ):
        token = await billing.api.tenant(tenant_id)
        charge = await billing.charged(token)
        billing.provider.approve(charge["payment_id"], **differing)
        assert await billing.notify(charge["payment_id"]) == 204
        assert await billing.notify(charge["payment_id"]) == 204
        assert (await billing.subscription(token))["state"] == "trial"
        assert await billing.kinds(token) == ["payment_problem"]
        listed = await billing.api.call("GET", f"/v1/payments?problems=true&tenant_id={tenant_id}")
        (payment,) = listed.json["payments"]
        assert (payment["payment_id"], payment["problem"]) == (charge["payment_id"], problem)
    token = await billing.api.tenant("stolen")
    charge = await billing.charged(token)
    billing.provider.approve(charge["payment_id"], external_reference="chg-00000000deadbeef")
    assert await billing.notify(charge["payment_id"]) == 204
    assert (await billing.subscription(token))["state"] == "trial"
    payment = (await billing.api.call("GET", "/v1/payments?limit=1")).json["payments"][0]
    assert (payment["tenant_id"], payment["problem"]) == (None, "unknown_reference")
    billing.provider.change(charge["payment_id"], external_reference="somebody else's")
    assert await billing.notify(charge["payment_id"]) == 204  # who sells something else through the same account
    assert (await billing.api.call("GET", "/v1/payments", token=token)).code == "scope_missing"


async def test_many_notifications_at_once_settle_a_payment_once(billing: Billing) -> None:
    token = await billing.api.tenant("at-once")
    first, second = await billing.charged(token), await billing.charged(token, "large")
    for charge in (first, second):
        billing.provider.approve(charge["payment_id"])
    ids = [first["payment_id"], second["payment_id"]] * 8
    random.shuffle(ids)
    statuses = await asyncio.gather(*(billing.notify(payment_id) for payment_id in ids))
    assert set(statuses) == {204}
    invoices = (await billing.api.call("GET", "/v1/invoices", token=token)).json["invoices"]
    assert sorted(invoice["payment_id"] for invoice in invoices) == sorted(set(ids))
    assert (await billing.kinds(token)).count("paid") == 2


async def test_money_that_goes_back_takes_its_time_back_and_is_told(billing: Billing) -> None:
    token = await billing.api.tenant("back")
    before = (await billing.subscription(token))["active_until"]
    charge = await billing.charged(token)
    billing.provider.approve(charge["payment_id"])
    assert await billing.notify(charge["payment_id"]) == 204
    after = (await billing.subscription(token))["active_until"]
    billing.provider.change(charge["payment_id"], transaction_amount_refunded=10)
    assert await billing.notify(charge["payment_id"]) == 204
    assert (await billing.subscription(token))["active_until"] == after  # a part of it: a person decides
    billing.provider.refund(charge["payment_id"])
    assert set(await asyncio.gather(*(billing.notify(charge["payment_id"]) for _ in range(4)))) == {204}
    assert (await billing.subscription(token))["active_until"] == before
    (invoice,) = (await billing.api.call("GET", "/v1/invoices", token=token)).json["invoices"]
    assert invoice["reversed_by"] == "refunded"
    assert await billing.kinds(token) == ["paid", "payment_problem", "refunded"]

    dispute = await billing.charged(token)
    billing.provider.approve(dispute["payment_id"])
    assert await billing.notify(dispute["payment_id"]) == 204
    billing.provider.change(dispute["payment_id"], status="charged_back", status_detail="in_process")
    await billing.execute("UPDATE payments SET read_at = now() - interval '2 days'")
    assert (await billing.api.call("POST", "/v1/payments/reconcile")).status == 200  # no notification came
    assert (await billing.subscription(token))["active_until"] == before
    shown = await billing.api.call("GET", f"/v1/charges/{dispute['charge_id']}", token=token)
    assert shown.json["state"] == "charged_back"
    billing.provider.change(dispute["payment_id"], status="charged_back", status_detail="reimbursed")
    assert await billing.notify(dispute["payment_id"]) == 204
    assert (await billing.subscription(token))["active_until"] > before
    assert (await billing.kinds(token))[-3:] == ["paid", "charged_back", "paid"]
    revenue = (await billing.api.call("GET", "/v1/revenue?months=2")).json["months"]
    assert len(revenue) == 2
    assert revenue[-1]["reversed_cents"] >= 4990
    assert revenue[-1]["paid_cents"] > revenue[-1]["reversed_cents"]


async def test_an_older_look_at_a_payment_changes_nothing(billing: Billing) -> None:
    """Two read the payment, it is refunded in between, and the later answer is dealt with first."""
    token = await billing.api.tenant("older")
    charge = await billing.charged(token)
    billing.provider.approve(charge["payment_id"])
    payments, settlements = billing.api.services.payments, billing.api.services.settlements
    approved = await payments._provider.payment(charge["payment_id"])
    assert approved is not None
    billing.provider.refund(charge["payment_id"])
    assert await billing.notify(charge["payment_id"]) == 204
    terms = billing.api.services.subscriptions.terms
    assert terms is not None
    assert not (await settlements.record(approved, terms)).settled
    assert (await billing.subscription(token))["state"] == "trial"
    assert await billing.kinds(token) == []


async def test_sessions_of_whoever_does_not_pay_are_paused_and_a_payment_brings_them_back(billing: Billing) -> None:
    token = await billing.api.tenant("debtor")
    assert (await billing.api.call("POST", "/v1/sessions", {"session_id": "loja"}, token=token)).status == 201
    for days, kind in ((1, "grace"), (2, None), (5, "paused"), (6, None)):
        changed = await billing.change("debtor", active_until=ago(days=days, hours=12))
        assert changed.json["state"] == ("grace" if days < 3 else "paused")
        await billing.look()
        assert (await billing.kinds(token))[-1:] == [kind or (await billing.kinds(token))[-1]]
    session = (await billing.api.call("GET", "/v1/sessions/loja", token=token)).json
    assert (session["connection_state"], session["desired_state"]) == ("paused", "running")
    assert "subscription has ended" in session["reason"]
    assert (await billing.api.call("GET", "/v1/sessions/loja/qr", token=token)).code == "payment_required"
    for path, body in (("/v1/sessions", {"session_id": "two"}), ("/v1/sessions/loja/start", {})):
        refused = await billing.api.call("POST", path, body, token=token)
        assert (refused.status, refused.code) == (402, "payment_required")
    assert "loja" not in await billing.claimable()

    charge = await billing.charged(token)
    billing.provider.approve(charge["payment_id"])
    assert await billing.notify(charge["payment_id"]) == 204
    session = (await billing.api.call("GET", "/v1/sessions/loja", token=token)).json
    assert session["connection_state"] == "starting"
    assert (await billing.kinds(token))[-2:] == ["paid", "resumed"]
    assert "loja" in await billing.claimable()
    assert (await billing.change("debtor", active_until=None)).json["state"] == "free"
    assert (await billing.api.call("POST", "/v1/charges", {"plan_id": "basic"}, token=token)).code == "nothing_to_pay"


async def test_each_reminder_is_told_once_whoever_looks(billing: Billing) -> None:
    token = await billing.api.tenant("reminded")
    assert (await billing.change("reminded", active_until=ago(days=-2.5))).status == 200
    await asyncio.gather(*(billing.look() for _ in range(5)))
    await billing.execute("UPDATE subscriptions SET look_at = now() WHERE tenant_id = 'reminded'")
    await asyncio.gather(*(billing.look() for _ in range(5)))
    kinds = await billing.kinds(token)
    assert len(kinds) == 1
    assert kinds[0] in ("ends_in_3_days", "ends_tomorrow")
    notices = (await billing.api.call("GET", "/v1/all-notices?limit=200")).json["notices"]
    numbers = [notice["notice_id"] for notice in notices]
    assert numbers == sorted(numbers)
    rest = (await billing.api.call("GET", f"/v1/all-notices?after={numbers[-2]}")).json["notices"]
    assert [notice["notice_id"] for notice in rest] == numbers[-1:]


async def test_the_admin_extends_and_changes_a_plan(billing: Billing) -> None:
    token = await billing.api.tenant("extended")
    before = datetime.fromisoformat((await billing.subscription(token))["active_until"])
    changed = await billing.change("extended", extend_days=10, plan_id="large")
    assert changed.json["sessions"] == 10
    assert datetime.fromisoformat(changed.json["active_until"]) == before + timedelta(days=10)
    assert (await billing.api.call("GET", "/v1/tenants/extended/subscription")).json == changed.json
    assert (await billing.change("extended", plan_id="none")).code == "plan_not_found"
    assert (await billing.change("nobody", extend_days=1)).code == "tenant_not_found"
    both = await billing.change("extended", extend_days=1, active_until=None)
    assert both.json["errors"][0]["field"] == "extend_days"
    assert (await billing.api.call("PATCH", "/v1/plans/large", {"sessions": 3})).status == 200
    assert await billing.sql("SELECT plan_sessions FROM tenants WHERE tenant_id = 'extended'") == [(3,)]


async def test_a_recurring_payment_pays_period_after_period(billing: Billing) -> None:
    token = await billing.api.tenant("recurring")
    body = {"plan_id": "basic", "payer_email": "maria@example.com"}
    made = await billing.api.call("POST", "/v1/subscription/recurring", body, token=token)
    assert (made.status, made.json["state"]) == (201, "pending")
    again = await billing.api.call("POST", "/v1/subscription/recurring", body, token=token)
    assert again.json == made.json
    preapproval_id = made.json["url"].partition("=")[2]
    billing.provider.preapprovals[preapproval_id]["status"] = "authorized"
    assert await billing.notify(preapproval_id, "subscription_preapproval") == 204
    assert (await billing.subscription(token))["recurring"]["state"] == "authorized"
    authorized = billing.provider.pay_recurring(preapproval_id)
    for _ in range(2):
        assert await billing.notify(authorized, "subscription_authorized_payment") == 204
    first = (await billing.subscription(token))["active_until"]
    billing.provider.pay_recurring(preapproval_id)
    found = (await billing.api.call("POST", "/v1/payments/reconcile")).json
    assert found["settled"] == 1
    subscription = await billing.subscription(token)
    assert subscription["active_until"] > first
    invoices = (await billing.api.call("GET", "/v1/invoices", token=token)).json["invoices"]
    assert [invoice["charge_id"] for invoice in invoices] == [None, None]
    assert (await billing.api.call("DELETE", "/v1/subscription/recurring", token=token)).status == 204
    assert (await billing.api.call("DELETE", "/v1/subscription/recurring", token=token)).status == 204
    assert billing.provider.preapprovals[preapproval_id]["status"] == "cancelled"
    assert (await billing.subscription(token))["recurring"] is None


async def test_nobody_is_charged_for_a_tenant_that_was_deleted(billing: Billing) -> None:
    token = await billing.api.tenant("gone")
    body = {"plan_id": "basic", "payer_email": "maria@example.com"}
    made = await billing.api.call("POST", "/v1/subscription/recurring", body, token=token)
    assert (await billing.api.call("DELETE", "/v1/tenants/gone")).status == 204
    assert (await billing.api.call("POST", "/v1/payments/reconcile")).status == 200
    assert billing.provider.preapprovals[made.json["url"].partition("=")[2]]["status"] == "cancelled"
    assert (await billing.change("gone", extend_days=1)).code == "tenant_not_found"
    await billing.execute("UPDATE subscriptions SET active_until = now() - interval '9 days', look_at = now()")
    await billing.look()
    assert await billing.sql("SELECT FROM billing_notices WHERE tenant_id = 'gone'") == []


async def test_without_a_token_of_mercadopago_everybody_may_use_everything(billing: Billing) -> None:
    token = await billing.api.tenant("freed")
    assert (await billing.api.call("POST", "/v1/sessions", {"session_id": "loja"}, token=token)).status == 201
    assert (await billing.change("freed", active_until=ago(days=9))).json["state"] == "paused"
    url = billing.api.database._url
    async with public_api(url, "b" * 32, token=billing.api.token) as off:
        await off.services.subscriptions.prepare()
        session = (await off.call("GET", "/v1/sessions/loja", token=token)).json
        assert session["connection_state"] == "starting"
        subscription = (await off.call("GET", "/v1/subscription", token=token)).json
        assert (subscription["state"], subscription["billing"]) == ("free", False)
        assert (await off.call("POST", "/v1/sessions", {"session_id": "two"}, token=token)).status == 201
        for method, path, body in (
            ("POST", "/v1/charges", {"plan_id": "basic", "payer_email": "m@e.com"}),
            ("POST", "/v1/subscription/recurring", {"plan_id": "basic", "payer_email": "m@e.com"}),
        ):
            assert (await off.call(method, path, body, token=token)).code == "billing_off"
        assert (await off.call("PATCH", "/v1/tenants/freed/subscription", {"extend_days": 1})).code == "billing_off"
        assert (await off.call("POST", "/v1/payments/reconcile")).code == "billing_off"
        assert (
            await off.call("POST", "/webhooks/mercadopago?data.id=1&type=payment", token=None)
        ).code == "billing_off"
    await billing.api.services.subscriptions.prepare()
    await billing.look()
    assert (await billing.subscription(token))["state"] == "paused"
    assert await billing.sql("SELECT FROM tenants WHERE tenant_id = 'freed' AND paused_at IS NOT NULL") == [()]
