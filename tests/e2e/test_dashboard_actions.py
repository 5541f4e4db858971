"""Everything that can be done in the dashboard, done by a person in a real browser: fields, buttons, questions, outcomes.

On the real Baileys and the fake WhatsApp, Telegram and Mercado Pago. The last test holds what was done against what there is.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from orchestrator.bot.texts import TEXTS
from orchestrator.domain.language import Language
from orchestrator.pages.dashboard.routes import PAGES
from orchestrator.pages.dashboard.texts import DASHBOARD
from tests.support import fake_mercadopago, fake_telegram
from tests.support.browser import DESKTOP, check_access, chromium, logged_in, new_page
from tests.support.fake_mercadopago import FakeMercadoPago
from tests.support.fake_telegram import FakeTelegram
from tests.support.fake_whatsapp import FakeWhatsApp, fake_whatsapp
from tests.support.postgres import short_folder
from tests.support.tree import Tree, tree
from tests.support.waiting import eventually
from tests.support.webhook_receiver import receiver

# One tree and one browser serve all of these tests, which follow one another: what one made is there in the others.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

EN, BOT = DASHBOARD[Language.EN], TEXTS[Language.EN]
OPERATOR = "/tenants/operator"
SHOP = f"{OPERATOR}/sessions/loja"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whatsapp() -> AsyncIterator[FakeWhatsApp]:
    async with fake_whatsapp() as server:
        yield server
        assert await server.violations() == {}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def telegram() -> AsyncIterator[FakeTelegram]:
    async with fake_telegram.fake_telegram() as fake:
        yield fake


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[FakeMercadoPago]:
    async with fake_mercadopago.fake_mercadopago() as fake:
        yield fake


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def product(whatsapp: FakeWhatsApp, telegram: FakeTelegram, provider: FakeMercadoPago) -> AsyncIterator[Tree]:
    settings = {
        **whatsapp.environ,
        "BOT_TOKEN": fake_telegram.TOKEN,
        "TELEGRAM_API_URL": telegram.url,
        "MERCADOPAGO_ACCESS_TOKEN": fake_mercadopago.ACCESS_TOKEN,
        "MERCADOPAGO_WEBHOOK_SECRET": fake_mercadopago.WEBHOOK_SECRET,
        "MERCADOPAGO_API_URL": provider.url,
        "PUBLIC_URL": "https://wa.example.com",
        "OUTBOUND_ALLOWED_NETWORKS": "127.0.0.0/8",
    }
    with short_folder() as folder:
        async with tree(folder / "data", folder / "log", settings) as started:
            await started.ready()
            yield started


@dataclass(frozen=True)
class Desk:
    """The operator at the dashboard. ``posted``: the paths of all forms that were sent."""

    page: Page
    posted: set[str]

    async def at(self, path: str, title: str) -> None:
        await self.page.goto(path)
        await expect(self.page.get_by_role("heading", level=1)).to_have_text(title)

    def form(self, action: str, holding: str = "") -> Locator:
        """The first form that is sent to this action, and that has this text beside it."""
        main = self.page.locator("main")
        place = main.locator("tr, li", has_text=holding) if holding else main
        return place.locator(f"form[action$='/{action}']").first

    async def does(
        self,
        action: str,
        button: str,
        *,
        note: str = "",
        sure: bool = False,
        stays: bool = False,
        holding: str = "",
        **typed: str | bool,
    ) -> None:
        """Fill in a form, press its button, say that it is meant, and read what was done: one of ``Texts.notes``.

        ``stays``: the form leads to no other page, but to a file.
        """
        form = self.form(action, holding)
        for name, value in typed.items():
            field = form.locator(f"[name='{name}']")
            if isinstance(value, bool):
                await field.set_checked(value)
            elif await field.evaluate("field => field.tagName") == "SELECT":
                await field.select_option(value)
            else:
                await field.fill(value)
        pressed = form.get_by_role("button", name=button, exact=True)
        if sure:
            await pressed.click()
            pressed = self.page.get_by_role("button", name=EN.yes)
            await expect(pressed).to_be_visible()
        await self.page.evaluate("window.isBefore = true")
        await pressed.click()
        if not stays:  # what comes next is done to the page that the form leads to
            await self.page.wait_for_function("!window.isBefore")
        if note:
            await expect(self.page.locator(".notice.good")).to_have_text(EN.notes[note])

    async def is_in_state(self, state: str) -> None:
        await expect(self.page.locator("#live-state .state").first).to_have_text(BOT.states[state])  # type: ignore[index] # its value


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(product: Tree) -> AsyncIterator[Desk]:
    async with chromium() as browser:
        page = await logged_in(await new_page(browser, product.port, DESKTOP, "en-GB"), product.token)
        made = Desk(page, set())
        page.on("request", lambda request: _note(made.posted, request.method, request.url))
        yield made


def _note(posted: set[str], method: str, url: str) -> None:
    if method == "POST":
        posted.add(re.sub(r"^https?://[^/]+", "", url).partition("?")[0])


async def test_a_session_that_nobody_links_is_offered_by_code_and_by_link_and_is_deleted(desk: Desk) -> None:
    await desk.at("/", EN.sessions)
    await desk.does("create", EN.create, note="created", session_id="filial")
    await desk.does("link", EN.make_link, requested_by="Ana")
    await expect(desk.page.get_by_text("https://wa.example.com/pair/")).to_be_visible()
    await desk.does("revoke-link", EN.revoke, note="revoked", sure=True)
    await expect(desk.page.get_by_role("img", name=EN.qr_alt)).to_be_visible()
    await desk.does("code", EN.show_code, phone="5511900003001")
    await expect(desk.page.locator("main .code").first).to_have_text(re.compile(r"^[A-Z0-9]{4}-?[A-Z0-9]{4}$"))
    await check_access(desk.page)
    await desk.does("stop", EN.stop, note="stopped", sure=True)
    await desk.is_in_state("stopped")
    await desk.does("start", EN.start, note="started")
    await desk.does("delete", EN.delete, note="deleted", sure=True)


async def test_a_session_is_linked_set_taken_along_and_stopped(
    product: Tree, whatsapp: FakeWhatsApp, desk: Desk
) -> None:
    await desk.at("/", EN.sessions)
    await desk.does("create", EN.create, note="created", session_id="loja")
    await expect(desk.page.get_by_role("img", name=EN.qr_alt)).to_be_visible()
    shown = await product.call("GET", "/v1/sessions/loja/qr")
    await whatsapp.scan(shown.json["qr"], "5511900003002")
    await desk.is_in_state("open")
    await desk.page.reload()
    await desk.page.get_by_text(EN.show_settings).click()
    await desk.does("settings", EN.save, note="saved", ignore_groups=True, retention_days="7")
    kept = (await product.call("GET", "/v1/sessions/loja/settings")).json
    assert (kept["ignore_groups"], kept["retention_days"]) == (True, 7)
    async with desk.page.expect_download() as taken:
        await desk.does("export", EN.export, stays=True, passphrase="a passphrase for the test")
    assert (await (await taken.value).path()).stat().st_size > 1000
    await desk.does("restart", EN.restart, note="restarted", sure=True)
    await desk.is_in_state("open")
    await desk.does("stop", EN.stop, note="stopped", sure=True)
    await desk.is_in_state("stopped")
    await desk.does("start", EN.start, note="started")
    await desk.is_in_state("open")


async def test_messages_to_many_are_sent_at_a_pace_and_cancelled(
    product: Tree, whatsapp: FakeWhatsApp, desk: Desk
) -> None:
    numbers = [(await whatsapp.contact()).partition("@")[0] for _ in range(3)]
    await desk.at(f"{SHOP}/bulks", EN.bulks)
    await desk.does("create", EN.send_bulk, note="created", text="Olá {{name}}", recipients=f"{numbers[0]}, Ana")
    await expect(desk.page.locator("#live-bulk")).to_contain_text(EN.bulk_done)
    await desk.at(f"{SHOP}/bulks", EN.bulks)
    await desk.does("pace", EN.save, note="saved", applies_to="all", pace="0.1", jitter="0")
    await desk.does("create", EN.send_bulk, note="created", text="Never mind", recipients="\n".join(numbers))
    progress = desk.page.url
    await desk.at(f"{OPERATOR}/outbox?session=loja", EN.outbox)
    await desk.does("cancel", EN.cancel_message, note="cancelled", sure=True)
    await desk.page.goto(progress)
    await desk.does("cancel", EN.cancel_bulk, note="cancelled", sure=True)
    await expect(desk.page.locator("#live-bulk")).to_contain_text(EN.bulk_done)
    waiting = await product.call("GET", "/v1/sessions/loja/outbox?state=queued")
    assert waiting.json["messages"] == []


async def test_customers_are_added_changed_paid_brought_and_taken_as_a_sheet(desk: Desk) -> None:
    contacts = f"{OPERATOR}/contacts"
    await desk.at(contacts, EN.contacts)
    await desk.does(
        "create",
        EN.create,
        note="created",
        name="Maria Silva",
        phone="5511988887777",
        amount="R$ 150,00",
        due_date="2099-12-10",
        recurrence="monthly",
    )
    await expect(desk.page.get_by_role("heading", level=1)).to_have_text("Maria Silva")
    await desk.does("change", EN.save, note="saved", name="Maria Souza")
    await desk.does("paid", EN.mark_paid, note="paid")
    await expect(desk.page.get_by_text(EN.paid_last)).to_be_visible()
    await desk.at(contacts, EN.contacts)
    sheet = "nome;telefone;valor;vencimento\nJoão;5511977776666;10,00;10/12/2099\n".encode()
    chosen = {"name": "clientes.csv", "mimeType": "text/csv", "buffer": sheet}
    await desk.form("import").locator("[name='sheet']").set_input_files(chosen)  # type: ignore[arg-type]
    await desk.does("import", EN.import_now)
    await expect(desk.page.get_by_role("link", name="João")).to_be_visible()
    async with desk.page.expect_download() as taken:
        await desk.does("download", EN.download, stays=True)
    written = await asyncio.to_thread((await (await taken.value).path()).read_text)
    assert "Maria Souza" in written
    await desk.page.get_by_role("link", name="João").click()
    await desk.does("delete", EN.delete, note="deleted", sure=True)
    await expect(desk.page.get_by_role("link", name="João")).to_have_count(0)


async def test_reminders_are_scheduled_worded_and_given_up(desk: Desk) -> None:
    reminders = f"{OPERATOR}/reminders"
    await desk.at(reminders, EN.reminders)
    await desk.does("create", EN.create, note="created", session_id="loja", time_of_day="09:30", days_before="3, 1")
    await desk.page.locator("main").get_by_role("link", name="loja").click()
    await desk.does("change", EN.save, note="saved", time_of_day="10:15", welcome=True)
    await expect(desk.form("change").locator("[name='time_of_day']")).to_have_value("10:15")
    await desk.does("delete", EN.delete, note="deleted", sure=True)
    await desk.page.get_by_role("link", name=BOT.reminder_kinds["due"], exact=True).first.click()  # type: ignore[index] # its value
    await desk.does("change", EN.save, note="saved", text="{{name}}, today is the day: {{amount}}")
    await expect(desk.page.get_by_text(EN.own_text)).to_be_visible()
    await desk.does("reset", EN.back_to_usual, note="text_reset", sure=True)
    await expect(desk.form("reset")).to_have_count(0)


async def test_a_webhook_is_made_tried_and_given_a_new_secret(product: Tree, desk: Desk) -> None:
    async with receiver() as program:
        await desk.at(f"{OPERATOR}/webhooks", EN.webhooks)
        await desk.does("create", EN.create, url=program.url("shop"), events="message.received")
        secret = await desk.page.locator("[data-copy]").inner_text()
        program.secrets.append(secret)
        await desk.page.get_by_role("link", name=program.url("shop")).click()
        await desk.does("test", EN.test)
        await expect(desk.page.get_by_role("status")).to_contain_text(EN.succeeded)
        assert program.posted[-1].signed_by == {secret}
        await desk.does("rotate", EN.rotate, sure=True)
        assert await desk.page.locator("[data-copy]").inner_text() != secret
        await desk.does("change", EN.save, note="saved", events="message.received session.alert")
        await desk.does("replay", EN.replay_all, note="replayed")
        await desk.does("change", EN.save, note="saved", enabled=False)
        await expect(desk.page.locator(".card .notice.bad")).to_contain_text(EN.switched_off)
        await desk.does("delete", EN.delete, note="deleted", sure=True)
    assert (await product.call("GET", "/v1/webhooks")).json["webhooks"] == []


async def test_a_token_is_made_and_revoked(product: Tree, desk: Desk) -> None:
    await desk.at(f"{OPERATOR}/tokens", EN.tokens)
    await desk.does("create", EN.make_token, name="Shop", days="30", manage=True)
    token = await desk.page.locator("[data-copy]").inner_text()

    async def opens() -> bool:
        headers = {"Authorization": f"Bearer {token}"}
        async with product.http.get(f"http://127.0.0.1:{product.port}/v1/sessions", headers=headers) as answer:
            return answer.status == 200

    assert await opens()
    await desk.does("revoke", EN.revoke, note="revoked", sure=True, holding="Shop")
    assert not await opens()


async def test_plans_are_offered_and_a_tenant_is_made_charged_blocked_and_deleted(
    product: Tree, provider: FakeMercadoPago, desk: Desk
) -> None:
    await desk.at("/payments", EN.payments)
    await desk.does("create-plan", EN.create, note="created", plan_id="basic", name="Básico", price="49,90")
    await desk.does("change-plan", EN.plan_withdraw)
    await expect(desk.page.get_by_text(EN.plan_withdrawn)).to_be_visible()
    await desk.does("change-plan", EN.plan_offer)
    await desk.does("reconcile", EN.reconcile)
    await expect(desk.page.get_by_role("status")).to_be_visible()

    await desk.at("/tenants", EN.tenants)
    await desk.does("create", EN.create, note="created", name="Padaria da Ana", tenant_id="padaria")
    await desk.does("change", EN.save, note="saved", name="Padaria", sessions="3")
    await expect(desk.page.get_by_role("heading", level=1)).to_have_text("Padaria")
    await desk.does("extend", EN.extend, note="extended", extend_days="10")
    await desk.does("plan", EN.choose, note="saved", plan_id="basic")

    await desk.at("/tenants/padaria/subscription", EN.subscription)
    await desk.does("pay", EN.pay_by_pix, payer_email="ana@example.com")
    await expect(desk.page.get_by_role("img", name=EN.pix_alt)).to_be_visible()
    await desk.page.reload()
    await expect(desk.page.get_by_role("img", name=EN.pix_alt)).to_be_visible()
    await check_access(desk.page)
    (payment_id,) = provider.payments
    provider.approve(payment_id)
    assert await provider.notify(f"http://127.0.0.1:{product.port}", payment_id) == 204
    await expect(desk.page.get_by_role("img", name=EN.pix_alt)).to_have_count(0)
    await expect(desk.page.locator("#live-subscription")).to_contain_text(BOT.subscription_states["active"])
    await desk.does("pay", EN.pay_always, payer_email="ana@example.com")
    await expect(desk.page.get_by_role("link", name=EN.recurring_agree)).to_be_visible()
    await desk.does("cancel-recurring", EN.recurring_cancel, note="recurring_cancelled", sure=True)

    await desk.at("/tenants/padaria", "Padaria")
    await desk.does("block", EN.block, note="blocked", sure=True, reason="They asked for it")
    await expect(desk.page.get_by_text("They asked for it")).to_be_visible()
    await desk.does("unblock", EN.unblock, note="unblocked")
    await desk.does("delete", EN.delete, note="deleted", sure=True)
    await expect(desk.page.get_by_role("link", name="Padaria")).to_have_count(0)


async def test_alerts_are_muted_and_all_tenants_are_written_to(telegram: FakeTelegram, desk: Desk) -> None:
    memory = BOT.alert_kinds["memory"]  # type: ignore[index] # its value
    await desk.at("/alerts", EN.alerts)
    await desk.does("mute", EN.mute, note="muted", holding=memory)
    await desk.does("unmute", EN.unmute, note="unmuted", holding=memory)

    person = telegram.person("Davi", "en")
    await person.types("/start")
    await person.sees("Welcome, Davi!")
    await desk.at("/broadcasts", EN.broadcasts)
    await desk.does("create", EN.send_broadcast, note="broadcast_begun", sure=True, text="We move\nto new premises")
    await person.sees("We move\nto new premises")
    counts = EN.broadcast_counts.format(told=1, recipients=1, failed=0)
    await expect(desk.page.locator("#live-broadcasts")).to_contain_text(counts)
    await expect(desk.page.locator("#live-broadcasts")).to_contain_text(EN.broadcast_states["done"])

    telegram.will_answer("sendMessage", 429, "Too Many Requests: retry after 300", retry_after=300)
    await desk.does("create", EN.send_broadcast, note="broadcast_begun", sure=True, text="Never mind")
    await desk.does("cancel", EN.cancel_broadcast, note="cancelled", sure=True)
    await expect(desk.page.locator("#live-broadcasts")).to_contain_text(EN.broadcast_states["cancelled"])


async def test_a_link_logs_another_browser_in_once(product: Tree, desk: Desk) -> None:
    made = (await product.call("POST", "/v1/login-links")).json["url"].replace("https://wa.example.com", "")
    browser = desk.page.context.browser
    assert browser is not None
    page = await new_page(browser, product.port, DESKTOP, "en-GB")
    await page.goto(made)
    await page.get_by_role("button").first.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(EN.sessions)
    await page.get_by_role("button", name=EN.log_out_here).click()
    await page.goto(made)
    if await page.get_by_role("button").count():
        await page.get_by_role("button").first.click()
    await expect(page.get_by_text(EN.login_link_over)).to_be_visible()
    await page.context.close()


async def test_a_pairing_is_set_aside_brought_back_logged_out_and_the_process_restarted(
    product: Tree, desk: Desk
) -> None:
    await desk.at(SHOP, "loja")
    await desk.is_in_state("open")
    await desk.does("link-again", EN.link_again, sure=True)
    await expect(desk.page.get_by_role("img", name=EN.qr_alt)).to_be_visible()
    await desk.does("restore", EN.restore, note="restored", sure=True)
    await desk.is_in_state("open")

    await desk.at("/processes", EN.processes)
    opened = (await product.session("loja"))["last_open_at"]
    await desk.does("restart", EN.restart, note="process_restarted", sure=True, holding="baileys")
    await product.open("loja", after=opened)

    await desk.at(SHOP, "loja")
    await desk.is_in_state("open")
    await desk.does("logout", EN.log_out, note="logged_out", sure=True)
    await desk.is_in_state("stopped")
    await desk.does("delete", EN.delete, note="deleted", sure=True)

    async def gone() -> bool:
        return (await product.call("GET", "/v1/sessions/loja")).status == 404

    await eventually(gone)


async def test_nothing_that_can_be_done_was_left_out(desk: Desk) -> None:
    there = [f"{path.rstrip('/')}/{action.name}" for path, _, actions in PAGES for action in actions]
    patterns = {path: re.sub(r"\{\w+\}", "[^/]+", path) for path in there}
    left_out = [path for path, pattern in patterns.items() if not any(re.fullmatch(pattern, p) for p in desk.posted)]
    assert left_out == []
