"""The dashboard in a real browser, on the real Baileys and the fake WhatsApp."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.support.browser import DESKTOP, PHONE, check_access, chromium, logged_in, new_page, picture
from tests.support.fake_whatsapp import FakeWhatsApp, fake_whatsapp
from tests.support.postgres import migrated_database, short_folder
from tests.support.tree import Tree, tree

# One tree and one browser serve all of these tests, which follow one another: the session of the first is there in the others.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

SESSION = "/tenants/operator/sessions/loja-centro"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whatsapp() -> AsyncIterator[FakeWhatsApp]:
    async with fake_whatsapp() as server:
        yield server
        assert await server.violations() == {}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(postgres_server: str) -> AsyncIterator[str]:
    with migrated_database(postgres_server) as url:
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def product(whatsapp: FakeWhatsApp, database: str) -> AsyncIterator[Tree]:
    with short_folder() as folder:
        settings = {**whatsapp.environ, "DATABASE_URL": database}
        async with tree(folder / "data", folder / "log", settings) as started:
            await started.ready()
            yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(product: Tree, browser: Browser) -> Page:
    """The admin's, logged in with the token."""
    return await logged_in(await new_page(browser, product.port, DESKTOP, "en-GB"), product.token)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def phone(product: Tree, browser: Browser, desk: Page) -> Page:
    """The same person's, at night, in Portuguese."""
    page = await new_page(browser, product.port, PHONE, "pt-BR", "dark")
    (login,) = [cookie for cookie in await desk.context.cookies() if cookie.get("name") == "login"]
    await page.context.add_cookies([{"name": "login", "value": login["value"], "domain": "127.0.0.1", "path": "/"}])
    return page


def state(page: Page) -> Any:
    return page.locator("#live-state .state").first


async def test_a_session_is_added_linked_and_seen_open_without_a_reload(
    product: Tree, whatsapp: FakeWhatsApp, desk: Page, phone: Page
) -> None:
    await desk.get_by_label("Name of the session").fill("loja-centro")
    await desk.get_by_role("button", name="Create").click()
    await expect(desk.get_by_role("heading", level=1)).to_have_text("loja-centro")
    await desk.evaluate("window.sameDocument = true")
    qr = desk.get_by_role("img", name="QR code to be scanned")
    await expect(qr).to_be_visible()
    await expect(desk.get_by_text(re.compile(r"Counts for \d+ s"))).to_be_visible()
    await picture(desk, "dashboard-qr-desktop")
    before = await qr.get_attribute("src")

    # WhatsApp takes the code back: the page shows the next one by itself, and says so as long as that one counts.
    shown = await product.call("GET", "/v1/sessions/loja-centro/qr")
    await whatsapp.call("POST", "/refresh-qr", {"qr": shown.json["qr"]})
    await expect(desk.get_by_text("WhatsApp changed the code just now")).to_be_visible()
    assert await qr.get_attribute("src") != before

    await check_access(desk)
    await phone.goto(SESSION)
    await expect(phone.get_by_role("img", name="Código QR")).to_be_visible()
    await check_access(phone)
    shown = await product.call("GET", "/v1/sessions/loja-centro/qr")
    await whatsapp.scan(shown.json["qr"], "5511900002001")
    await expect(state(desk)).to_have_text("connected")
    await expect(state(phone)).to_have_text("conectado")
    await expect(qr).to_have_count(0)
    await expect(desk.locator("#live-state")).to_contain_text("+5511900002001")
    assert await desk.evaluate("window.sameDocument")


async def test_a_killed_sidecar_is_seen_to_come_back_without_a_reload(product: Tree, desk: Page, phone: Page) -> None:
    for page in (desk, phone):
        await page.goto(SESSION)
        await expect(state(page)).to_have_text(re.compile("connected|conectado"))
        await page.evaluate(
            """() => {
                window.seen = []
                new MutationObserver(() => {
                    window.seen.push(document.querySelector('#live-state .state').textContent)
                }).observe(document.querySelector('main'), { childList: true, subtree: true })
            }"""
        )
    opened = (await product.session("loja-centro"))["last_open_at"]
    await product.kill("baileys")
    await product.open("loja-centro", after=opened)
    for page, connected in ((desk, "connected"), (phone, "conectado")):
        await expect(state(page)).to_have_text(connected)
        await page.wait_for_function(f"window.seen.some(said => said !== '{connected}')")
    assert (await product.session("loja-centro"))["jid"].startswith("5511900002001")


async def test_the_page_tells_when_the_service_is_away_and_goes_on_when_it_is_back(product: Tree, desk: Page) -> None:
    await desk.goto(SESSION)
    await expect(state(desk)).to_have_text("connected")
    await product.kill("orchestrator")
    await expect(desk.get_by_text("The connection to the service is interrupted")).to_be_visible()
    await product.ready()
    await expect(desk.get_by_text("The connection to the service is interrupted")).to_be_hidden()
    await product.open("loja-centro")
    await expect(state(desk)).to_have_text("connected")


async def test_a_search_narrows_the_list_while_it_is_typed(product: Tree, desk: Page) -> None:
    assert (await product.call("POST", "/v1/sessions", {"session_id": "filial-2"})).status == 201
    await desk.goto("/")
    await expect(desk.get_by_role("link", name="filial-2")).to_be_visible()
    await desk.get_by_role("searchbox", name="Search").fill("loja")
    await expect(desk.get_by_role("link", name="filial-2")).to_have_count(0)
    await expect(desk.get_by_role("link", name="loja-centro")).to_be_visible()
    assert "search=loja" in desk.url
    await desk.reload()
    await expect(desk.get_by_role("link", name="filial-2")).to_have_count(0)


async def test_what_somebody_is_pressing_is_not_replaced_under_the_pointer(product: Tree, desk: Page) -> None:
    await desk.goto("/")
    number = desk.locator("#live-overview .number").first
    before = int(await number.inner_text())
    await desk.locator("#live-list .state").first.hover()
    await desk.mouse.down()
    assert (await product.call("POST", "/v1/sessions", {"session_id": "filial-3"})).status == 201
    await expect(number).to_have_text(str(before + 1))  # what is elsewhere is new at once
    await expect(desk.get_by_role("link", name="filial-3")).to_have_count(0)
    await desk.mouse.up()
    await expect(desk.get_by_role("link", name="filial-3")).to_be_visible()
    assert (await product.call("DELETE", "/v1/sessions/filial-3?confirm=filial-3")).status == 204


async def test_every_page_is_open_to_everybody_on_a_desktop_and_on_a_phone_in_both_languages(
    product: Tree, database: str, desk: Page, phone: Page
) -> None:
    await _fill(product)
    _a_week_passed(database)
    paths = [
        "/",
        SESSION,
        "/backups",
        "/tenants",
        "/tenants/padaria",
        "/tenants/padaria/tokens",
        "/tenants/padaria/subscription",
        "/tenants/operator/webhooks",
        await _webhook(product),
        "/tenants/operator/outbox",
        "/tenants/operator/contacts",
        f"/tenants/operator{await _contact(product)}",
        "/tenants/operator/reminders",
        f"/tenants/operator/reminders{await _schedule(product)}",
        "/tenants/operator/reminders/texts/due.en",
        f"{SESSION}/bulks",
        f"{SESSION}/bulks/{await _bulk(product)}",
        "/payments",
        "/alerts",
        _broadcasts(database),
        "/processes",
        "/processes/baileys",
        "/audit",
        "/tenants/nobody",
    ]
    for path in paths:
        await desk.goto(path)
        assert desk.url.endswith(path)
        await check_access(desk)
    for path in paths:
        await phone.goto(path)
        assert phone.url.endswith(path)
        assert await phone.locator("html").get_attribute("lang") == "pt-BR"
        await check_access(phone)
    for name, page, path in (
        ("dashboard-sessions-desktop", desk, "/"),
        ("dashboard-session-desktop", desk, SESSION),
        ("dashboard-sessions-phone", phone, "/"),
        ("dashboard-session-phone", phone, SESSION),
        ("dashboard-processes-phone", phone, "/processes"),
    ):
        await page.goto(path)
        await picture(page, name)
    await phone.get_by_role("link", name="English").click()
    await expect(phone.locator("html")).to_have_attribute("lang", "en")


async def test_who_logs_out_is_out(desk: Page) -> None:
    await desk.goto("/")
    await desk.get_by_role("button", name="Leave").click()
    await expect(desk.get_by_role("heading", level=1)).to_have_text("Log in")
    await desk.goto(SESSION)
    await expect(desk.get_by_role("heading", level=1)).to_have_text("Log in")


async def _fill(product: Tree) -> None:
    """Something in each list."""
    body = {"tenant_id": "padaria", "name": "Padaria da Ana"}
    assert (await product.call("POST", "/v1/tenants", body)).status == 201
    made = await product.call("POST", "/v1/tenants/padaria/tokens", {"name": "Their shop", "scopes": ["read"]})
    assert made.status == 201
    message = {"to": "5511988887777", "type": "text", "text": "Olá", "queue": True}
    assert (await product.call("POST", "/v1/sessions/filial-2/messages", message)).status == 202


def _a_week_passed(url: str) -> None:
    """As if the sessions had run for a week, with a bad night, and backups for two hours."""
    statements = (
        """
        INSERT INTO session_hours (session_ref, hour, samples, open_samples, sent, received)
        SELECT session_ref, date_trunc('hour', now()) - n * interval '1 hour', 60,
            CASE WHEN n BETWEEN 30 AND 33 THEN (n - 30) * 20 WHEN n % 41 = 7 THEN 56 ELSE 60 END,
            (12 + 10 * sin(n * 0.26))::int + n % 3, (30 + 25 * sin(n * 0.26 + 0.5))::int + n % 7
        FROM sessions, generate_series(1, 160) n ON CONFLICT DO NOTHING
        """,
        """
        INSERT INTO backup_minutes (minute, replica_id, writes, slow_seconds, journal_bytes)
        SELECT date_trunc('minute', now()) - n * interval '1 minute', 'before', 300, (ARRAY[0.002, 0.005, 0.002, 0.01])[1 + (n * 7 % 23) / 6], 0
        FROM generate_series(1, 119) n
        """,
    )
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement)


async def _webhook(product: Tree) -> str:
    body = {"url": "https://receiver.example.com/hook", "events": ["message.received"]}
    made = await product.call("POST", "/v1/webhooks", body)
    assert made.status == 201, made.body
    return f"/tenants/operator/webhooks/{made.json['webhook_id']}"


async def _contact(product: Tree) -> str:
    body = {"name": "Maria Silva", "phone": "5511988887777", "amount_cents": 15000, "due_date": "2099-12-10"}
    made = await product.call("POST", "/v1/contacts", body)
    assert made.status == 201, made.body
    return f"/contacts/{made.json['contact_id']}"


async def _schedule(product: Tree) -> str:
    made = await product.call("POST", "/v1/schedules", {"session_id": "loja-centro"})
    assert made.status == 201, made.body
    return f"/schedules/{made.json['schedule_id']}"


def _broadcasts(database: str) -> str:
    """One is under way, as far as the database says: there is no bot here."""
    made = "INSERT INTO broadcasts (text, recipients, told, failed) VALUES (%s, 40, 12, 1)"
    with psycopg.connect(database) as connection:
        connection.execute(made, ("Hoje à noite há manutenção.\nVolta às 22h.",))
    return "/broadcasts"


async def _bulk(product: Tree) -> str:
    """Tomorrow's: nothing of it is sent."""
    at = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    body = {"template": {"type": "text", "text": "Olá"}, "messages": [{"to": "5511988887777"}], "send_at": at}
    made = await product.call("POST", "/v1/sessions/loja-centro/bulk", body)
    assert made.status == 202, made.body
    return str(made.json["bulk_id"])
