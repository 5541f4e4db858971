"""The pairing page in a real browser, on the real Baileys and the fake WhatsApp."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.support.browser import DESKTOP, PHONE, chromium, new_page, picture
from tests.support.fake_whatsapp import FakeWhatsApp, fake_whatsapp
from tests.support.postgres import short_folder
from tests.support.tree import Tree, tree
from tests.support.waiting import eventually

# One tree and one browser serve all of these tests; each has a session of its own.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whatsapp() -> AsyncIterator[FakeWhatsApp]:
    async with fake_whatsapp() as server:
        yield server
        assert await server.violations() == {}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def product(whatsapp: FakeWhatsApp) -> AsyncIterator[Tree]:
    with short_folder() as folder:
        async with tree(folder / "data", folder / "log", whatsapp.environ) as started:
            await started.ready()
            yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


async def link_of(product: Tree, session_id: str) -> str:
    await product.call("POST", "/v1/sessions", {"session_id": session_id})
    answer = await product.call("POST", f"/v1/sessions/{session_id}/pairing-links", {"requested_by": "Padaria da Ana"})
    assert answer.status == 201, answer.json
    return str(answer.json["url"])


async def shown_qr(product: Tree, session_id: str) -> str:
    answer = await product.call("GET", f"/v1/sessions/{session_id}/qr")
    assert answer.status == 200, answer.json
    return str(answer.json["qr"])


def part(page: Page, name: str) -> Any:
    return page.locator(f'[data-part="{name}"]')


async def test_a_phone_is_linked_by_the_qr_code_on_a_desktop(
    product: Tree, whatsapp: FakeWhatsApp, browser: Browser
) -> None:
    url = await link_of(product, "desktop")
    page = await new_page(browser, product.port, DESKTOP, "en-GB")
    await page.goto(url)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Padaria da Ana asks you to link your WhatsApp")
    await picture(page, "pairing-1-begin-desktop")
    await page.get_by_role("button", name="Begin").click()
    await expect(page.get_by_role("img", name="Scan this code")).to_be_visible()
    await expect(part(page, "seconds")).to_have_text(re.compile(r"^\d+ s$"))
    await picture(page, "pairing-2-qr-desktop")
    before = await part(page, "qr").get_attribute("src")

    # WhatsApp takes the code back: the page shows the next one by itself, and says so.
    await whatsapp.call("POST", "/refresh-qr", {"qr": await shown_qr(product, "desktop")})
    await expect(page.get_by_text("WhatsApp changed the code just now")).to_be_visible()
    assert await part(page, "qr").get_attribute("src") != before

    other = await new_page(browser, product.port, DESKTOP, "en-GB")
    answer = await other.goto(url)
    assert answer is not None
    assert answer.status == 404
    await picture(other, "pairing-5-other-browser-desktop")

    await whatsapp.scan(await shown_qr(product, "desktop"), "5511900001001")
    await expect(page.get_by_text("Done: your WhatsApp is linked.")).to_be_visible()
    await picture(page, "pairing-4-linked-desktop")
    await page.reload()
    await expect(page.get_by_text("Done: your WhatsApp is linked.")).to_be_visible()


async def test_a_phone_is_linked_by_a_code_on_the_phone_itself_in_portuguese(
    product: Tree, whatsapp: FakeWhatsApp, browser: Browser
) -> None:
    url = await link_of(product, "celular")
    page = await new_page(browser, product.port, PHONE, "pt-BR", "dark")
    await page.goto(url)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Padaria da Ana pede para conectar o seu WhatsApp")
    await page.get_by_role("button", name="Começar").click()
    await expect(page.get_by_role("img", name="Escaneie este código")).to_be_visible()
    await picture(page, "pairing-2-qr-phone")
    number = page.get_by_label("Número do celular")
    await number.fill("11 1234")
    await page.get_by_role("button", name="Mostrar um código").click()
    await expect(page.get_by_role("alert")).to_contain_text("Só dígitos")
    await number.fill("+55 (11) 90000-1002")
    await page.get_by_role("button", name="Mostrar um código").click()
    code = part(page, "code")
    await expect(code).to_have_text(re.compile(r"^[0-9A-Z]{4}-[0-9A-Z]{4}$"))
    await picture(page, "pairing-3-code-phone")
    await whatsapp.call("POST", "/enter-code", {"code": await code.inner_text(), "phone": "5511900001002"})
    await expect(page.get_by_text("Pronto: o seu WhatsApp está conectado.")).to_be_visible()
    await picture(page, "pairing-4-linked-phone")


async def test_a_passkey_ends_the_pairing_in_plain_words_and_it_can_be_started_again(
    product: Tree, whatsapp: FakeWhatsApp, browser: Browser
) -> None:
    phone = "5511900001003"
    url = await link_of(product, "passkey")
    page = await new_page(browser, product.port, PHONE, "pt-BR")
    await page.goto(url)
    await page.get_by_role("button", name="Começar").click()
    await expect(page.get_by_role("img", name="Escaneie este código")).to_be_visible()
    await whatsapp.call("POST", "/failures", {"kind": "passkey", "phone": phone})
    qr = await shown_qr(product, "passkey")
    async with whatsapp.http.post(f"{whatsapp.control_url}/scan", json={"qr": qr, "phone": phone}) as response:
        assert (await response.json())["code"] == "passkey_required"
    await expect(page.get_by_text("chave de acesso (passkey)")).to_be_visible()
    await picture(page, "pairing-6-passkey-phone")
    await page.get_by_role("link", name="English").click()
    await expect(page.get_by_text("no service like this one can link the account today")).to_be_visible()
    await page.get_by_role("button", name="Start again").click()
    await expect(page.get_by_role("img", name="Scan this code")).to_be_visible()


async def test_the_page_goes_on_when_the_service_is_restarted_under_it(
    product: Tree, whatsapp: FakeWhatsApp, browser: Browser
) -> None:
    url = await link_of(product, "restart")
    page = await new_page(browser, product.port, DESKTOP, "en-GB")
    await page.goto(url)
    await page.get_by_role("button", name="Begin").click()
    await expect(page.get_by_role("img", name="Scan this code")).to_be_visible()
    await product.kill("orchestrator")
    await expect(page.get_by_text("The service does not answer")).to_be_visible()
    await product.ready()
    await expect(page.get_by_text("The service does not answer")).to_be_hidden()

    async def qr_is_shown_again() -> bool:
        return (await product.call("GET", "/v1/sessions/restart/qr")).status == 200

    await eventually(qr_is_shown_again, 30, "a QR code after the restart")
    await expect(page.get_by_role("img", name="Scan this code")).to_be_visible()
