"""What is paid in the chat: the bot, the API and MercadoPago's SDK for real, Telegram and MercadoPago faked at the wire."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from orchestrator.bot import process as bot_process
from orchestrator.bot.texts import TEXTS
from orchestrator.domain.language import Language
from tests.support.billing import PLAN, SETTINGS, Billing
from tests.support.bot import OPERATOR, bot
from tests.support.fake_mercadopago import fake_mercadopago
from tests.support.fake_telegram import FakeTelegram, Person, fake_telegram
from tests.support.postgres import migrated_database
from tests.support.public_api import public_api
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

EN, PT = TEXTS[Language.EN], TEXTS[Language.PT_BR]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def telegram() -> AsyncIterator[FakeTelegram]:
    async with fake_telegram() as fake:
        yield fake


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def billing(postgres_server: str, telegram: FakeTelegram) -> AsyncIterator[Billing]:
    """With a bot at work that looks for notices all the time."""
    patch = pytest.MonkeyPatch()
    patch.setattr(bot_process, "_NOTICES_SECONDS", 0.2)
    with migrated_database(postgres_server) as database_url:
        async with (
            fake_mercadopago() as provider,
            public_api(database_url, mercadopago_api_url=provider.url, **SETTINGS) as api,
        ):
            assert (await api.call("POST", "/v1/plans", PLAN)).status == 201
            async with bot(api, telegram):
                yield Billing(api, provider)
    patch.undo()


async def test_a_tenant_tries_pays_by_pix_and_sees_the_invoice(billing: Billing, telegram: FakeTelegram) -> None:
    operator = telegram.person("Olga", "en", chat_id=OPERATOR, user_id=OPERATOR)
    await operator.types("/start")
    await operator.sees("Baileys Orchestrator")
    maria = telegram.person("Maria", "pt-br")
    await maria.types("/start")
    await maria.sees("Você pode experimentar tudo até")
    await maria.presses(PT.subscription)
    await maria.sees("em teste")
    await maria.presses("Basic: R$ 49,90 por PIX")
    await maria.sees(PT.email_ask)
    await maria.types("not an address")
    await maria.sees(PT.email_wrong)
    await maria.types("maria@example.com")
    code = await maria.sees("PIX Copia e Cola")
    assert any(message.photo for message in maria.messages)
    tenant = {"X-Tenant": f"tg-{maria.chat_id}"}
    (charge,) = (await billing.api.call("GET", "/v1/charges", headers=tenant)).json["charges"]
    assert charge["pix_code"] in code.text
    payment_id = str(billing.provider.of(charge["charge_id"])["id"])
    billing.provider.approve(payment_id)
    assert await billing.notify(payment_id) == 204
    await maria.sees("Recebemos R$ 49,90. Obrigado!")
    told = await operator.sees(EN.alert_begun["payment"])  # type: ignore[index] # a kind is its word
    assert "R$ 49,90" in told.text
    await maria.presses(PT.home)
    await maria.presses(PT.invoices)
    await maria.sees("R$ 49,90 · basic")
    assert len([m for m in maria.messages if "Obrigado!" in m.text]) == 1


async def test_the_operator_extends_and_reconciles_and_sees_the_revenue_as_a_picture(
    billing: Billing, telegram: FakeTelegram
) -> None:
    operator = telegram.person("Olga", "en", chat_id=OPERATOR, user_id=OPERATOR)
    assert (await billing.api.call("POST", "/v1/tenants", {"tenant_id": "acme", "name": "Acme"})).status == 201

    async def takes_payments() -> bool:
        await operator.types("/start")
        return (await operator.sees("Baileys Orchestrator")).button(EN.revenue) is not None

    await eventually(takes_payments)
    await operator.presses(EN.tenants)
    await operator.presses("Acme (0)")
    await operator.presses("30 days")
    await operator.sees("Extended by 30 days")
    await operator.presses(EN.plan)
    await operator.presses("Basic")
    await operator.sees("plan basic")
    await _shows_revenue(operator)


async def _shows_revenue(operator: Person) -> None:
    await operator.presses(EN.payments)
    await operator.sees("Last payments")
    await operator.presses(EN.payments_reconcile)
    await operator.sees("Read again:")
    await operator.presses(EN.revenue)
    picture = await operator.sees("Revenue by month")
    assert picture.photo is not None


async def test_a_subscription_that_ended_is_told_with_a_button_to_pay(billing: Billing, telegram: FakeTelegram) -> None:
    paul = telegram.person("Paul", "en")
    await paul.types("/start")
    await paul.sees("Welcome, Paul!")
    ended = await billing.change(f"tg-{paul.chat_id}", active_until="2026-01-01T00:00:00Z")
    assert ended.status == 200
    await billing.look()
    told = await paul.sees("subscription has ended")
    assert told.button(EN.subscription)
    await paul.presses(EN.home)
    await paul.presses(EN.connect)
    await paul.sees(EN.errors["payment_required"])
