"""The page at /docs in a real browser, under its own security policy."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from orchestrator.api.public import OPERATIONS
from tests.support.browser import DESKTOP, PHONE, chromium
from tests.support.public_api import PublicApi

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@pytest.mark.parametrize(("viewport", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"])
async def test_the_page_shows_every_operation_and_asks_nobody_else(
    shared_api: PublicApi, browser: Browser, viewport: dict[str, int], scheme: str
) -> None:
    options: dict[str, Any] = {"viewport": viewport, "color_scheme": scheme}
    page = await browser.new_page(**options)
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(f"{shared_api.url}/docs")
    await page.wait_for_selector("article")
    assert await page.locator("article").count() == len(OPERATIONS)
    text = await page.inner_text("main")
    assert "[object" not in text
    assert "undefined" not in text
    assert [text for text in complaints if "favicon" not in text and "404" not in text] == []
    assert {url.removeprefix(shared_api.url) for url in asked} <= {"/docs", "/openapi.json", "/favicon.ico"}
    assert await page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    await page.fill("nav input", "audit")
    assert 1 <= await page.locator("nav li:visible").count() < len(OPERATIONS)
    await page.close()
