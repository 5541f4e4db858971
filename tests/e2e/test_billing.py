"""Money on the whole product: a storm of notifications under kill -9, and a session that is paused until its tenant pays."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.support.event_stream import listening
from tests.support.fake_mercadopago import ACCESS_TOKEN, WEBHOOK_SECRET, FakeMercadoPago, fake_mercadopago
from tests.support.fake_whatsapp import FakeWhatsApp, fake_whatsapp
from tests.support.longer import longer
from tests.support.postgres import short_folder
from tests.support.processes import PATIENCE
from tests.support.tree import Tree, tree
from tests.support.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(longer(180, 900))]

TENANTS, PLANS = longer(4, 10), longer(5, 10)
DELIVERIES = longer(100, 1000)
KILLS = longer(2, 12)
#: Deliveries at the same time.
SENDERS = 8


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whatsapp() -> AsyncIterator[FakeWhatsApp]:
    async with fake_whatsapp() as server:
        yield server
        assert await server.violations() == {}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[FakeMercadoPago]:
    async with fake_mercadopago() as fake:
        yield fake


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def product(whatsapp: FakeWhatsApp, provider: FakeMercadoPago) -> AsyncIterator[Tree]:
    with short_folder() as folder:
        environ = {
            **whatsapp.environ,
            "MERCADOPAGO_ACCESS_TOKEN": ACCESS_TOKEN,
            "MERCADOPAGO_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "MERCADOPAGO_API_URL": provider.url,
            "MERCADOPAGO_PAYER_EMAIL": "operator@example.com",
        }
        async with tree(folder / "data", folder / "log", environ) as started:
            await started.ready()
            yield started
            assert ACCESS_TOKEN not in started.child.output
            assert WEBHOOK_SECRET not in started.child.output
            assert await started.terminate() == 0


async def tenant(product: Tree, tenant_id: str) -> Tree:
    """A new tenant; the product as its token sees it."""
    assert (await product.call("POST", "/v1/tenants", {"tenant_id": tenant_id, "name": tenant_id})).status == 201
    body = {"name": "for a test", "scopes": ["read", "send", "manage"]}
    made = await product.call("POST", f"/v1/tenants/{tenant_id}/tokens", body)
    return replace(product, token=made.json["token"])


async def plan(product: Tree, plan_id: str, price_cents: int) -> None:
    body = {"plan_id": plan_id, "name": plan_id, "price_cents": price_cents, "sessions": 2}
    assert (await product.call("POST", "/v1/plans", body)).status == 201


async def charge(owner: Tree, provider: FakeMercadoPago, plan_id: str) -> str:
    """A new charge; the id of MercadoPago's payment."""
    made = await owner.call("POST", "/v1/charges", {"plan_id": plan_id})
    assert made.status == 201, made.body
    return str(provider.of(made.json["charge_id"])["id"])


@dataclass
class Storm:
    """Notifications in random order, each again and again until it is answered; ``answers`` counts (forged, status)."""

    product: Tree
    provider: FakeMercadoPago
    waiting: list[tuple[str, bool]] = field(default_factory=list)
    answers: Counter[tuple[bool, int]] = field(default_factory=Counter)

    def add(self, deliveries: Iterable[tuple[str, bool]]) -> None:
        self.waiting += deliveries
        random.shuffle(self.waiting)

    async def deliver(self) -> None:
        url = f"http://127.0.0.1:{self.product.port}"
        while self.waiting:
            payment_id, forged = self.waiting.pop()
            try:
                milliseconds = random.random() < 0.5
                status = await self.provider.notify(url, payment_id, forged=forged, milliseconds=milliseconds)
            except aiohttp.ClientError:
                status = 0  # killed: MercadoPago comes again
            self.answers[forged, status] += 1
            if status in (0, 503):
                self.waiting.append((payment_id, forged))
                await asyncio.sleep(0.1)

    async def kill(self) -> None:
        """In the midst of it: whenever a part of the deliveries has been answered."""
        for number in range(1, KILLS + 1):

            async def reached(goal: int = DELIVERIES * number // (KILLS + 1)) -> bool:
                return self.answers[False, 204] + self.answers[True, 401] >= goal

            await eventually(reached, 120, "deliveries")
            await self.product.kill("orchestrator")


async def test_each_payment_settles_once_whatever_is_notified_and_killed(
    product: Tree, provider: FakeMercadoPago
) -> None:
    for number in range(PLANS):
        await plan(product, f"plan-{number}", 1000 + number)
    owners = {f"storm-{number}": await tenant(product, f"storm-{number}") for number in range(TENANTS)}
    payments: dict[str, str] = {}
    for (tenant_id, owner), number in itertools.product(owners.items(), range(PLANS)):
        payments[await charge(owner, provider, f"plan-{number}")] = tenant_id
    for payment_id in payments:
        provider.approve(payment_id)

    forged = DELIVERIES // 10
    told = [*payments, *random.choices(list(payments), k=DELIVERIES - forged - len(payments))]
    storm = Storm(product, provider)
    storm.add((payment_id, False) for payment_id in told)
    storm.add((payment_id, True) for payment_id in random.choices(list(payments), k=forged))
    await asyncio.gather(storm.kill(), *(storm.deliver() for _ in range(SENDERS)))
    await product.ready()

    answers = storm.answers
    assert set(answers) <= {(False, 204), (False, 0), (False, 503), (True, 401), (True, 0), (True, 503)}
    assert answers[False, 204] == DELIVERIES - forged
    assert answers[True, 401] == forged
    settled: dict[str, str] = {}
    for tenant_id, owner in owners.items():
        invoices = (await owner.call("GET", "/v1/invoices?limit=200")).json["invoices"]
        assert len({invoice["payment_id"] for invoice in invoices}) == len(invoices)
        settled |= {invoice["payment_id"]: tenant_id for invoice in invoices}
        notices = await all_notices(owner)
        assert len([notice for notice in notices if notice["kind"] == "paid"]) == PLANS
        assert (await owner.call("GET", "/v1/subscription")).json["state"] == "active"
    assert settled == payments
    month = (await product.call("GET", "/v1/revenue?months=1")).json["months"][0]
    assert month["invoices"] == len(payments)
    assert month["paid_cents"] == sum(round(provider.payments[p]["transaction_amount"] * 100) for p in payments)


async def all_notices(owner: Tree) -> list[dict[str, Any]]:
    notices = (await owner.call("GET", "/v1/notices?limit=200")).json["notices"]
    return list(notices)


async def test_a_session_is_paused_and_a_payment_opens_it_without_a_qr_code(
    product: Tree, provider: FakeMercadoPago, whatsapp: FakeWhatsApp
) -> None:
    await plan(product, "shop", 4990)
    owner = await tenant(product, "shop")
    jid = await owner.pair("loja", "5511987650001", whatsapp)
    opened_at = (await owner.session("loja"))["last_open_at"]
    async with listening(owner) as heard:
        soon = datetime.now(UTC) - timedelta(days=3) + timedelta(seconds=3 * PATIENCE)
        changed = await product.call(
            "PATCH", "/v1/tenants/shop/subscription", {"active_until": soon.isoformat(), "plan_id": "shop"}
        )
        assert changed.json["state"] == "grace"
        await heard.wait_for("billing.notice", 30, kind="paused")
        await heard.wait_for("session.state", 15, connection_state="paused")
        paused = await owner.session("loja")
        assert (paused["connection_state"], paused["desired_state"]) == ("paused", "running")
        assert "subscription has ended" in paused["reason"]
        assert await product.sidecar_sessions() == []
        assert (await owner.send("loja", await whatsapp.contact(), "oi")).code == "session_not_open"
        assert heard.of("session.state")[-1]["connection_state"] == "paused"

        payment_id = await charge(owner, provider, "shop")
        provider.approve(payment_id)
        assert await provider.notify(f"http://127.0.0.1:{product.port}", payment_id) == 204
        await owner.open("loja", after=opened_at)
        session = await owner.session("loja")
        assert (session["generation"], session["jid"]) == (1, jid)
        assert (await owner.send("loja", await whatsapp.contact(), "oi")).status == 201
        assert heard.of("session.qr") == []
    assert [notice["kind"] for notice in await all_notices(owner)] == ["grace", "paused", "paid", "resumed"]
