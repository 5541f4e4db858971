"""A real browser: Debian's Chromium, driven by Playwright. Without the parts for a window it needs a third of the CPU."""

import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.support import processes

#: Where the pictures of the pages go; `make pictures` puts them into docs/images.
PICTURES = Path(os.environ.get("PICTURES", "data/pictures"))

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}

#: Milliseconds that anything in a page may take.
_TIMEOUT = 30_000 * processes.PATIENCE
expect.set_options(timeout=_TIMEOUT)

#: Looks for what keeps people out: https://github.com/dequelabs/axe-core
_AXE = Path(__file__).resolve().parents[2] / "baileys-server" / "node_modules" / "axe-core" / "axe.min.js"

#: Nothing of the browser's own goes out, and it runs in a container as root.
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    executables = (shutil.which(name) for name in ("chromium-headless-shell", "chromium", "chromium-browser"))
    executable = next(filter(None, executables), None)
    assert executable is not None, "Chromium is missing; `make browser` installs Debian's"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=_FLAGS, timeout=_TIMEOUT)
        try:
            yield browser
        finally:
            await browser.close()


async def picture(page: Page, name: str) -> None:
    """Keep a picture of the page as it is now. Playwright makes the folder."""
    await page.screenshot(path=PICTURES / f"{name}.png", full_page=True, animations="disabled")


async def new_page(
    browser: Browser,
    port: int,
    viewport: dict[str, int],
    locale: str,
    scheme: str = "light",
) -> Page:
    """A page of a browser of its own, in which no script or style may fail."""
    options: dict[str, Any] = {"viewport": viewport, "locale": locale, "color_scheme": scheme}
    context = await browser.new_context(base_url=f"http://127.0.0.1:{port}", **options)
    page = await context.new_page()
    page.set_default_timeout(_TIMEOUT)
    page.on("pageerror", lambda error: pytest.fail(f"the page's script failed: {error}"))
    page.on("console", lambda message: _no_refusal(message.text))
    return page


def _no_refusal(text: str) -> None:
    assert "Content Security Policy" not in text, text


async def logged_in(page: Page, token: str) -> Page:
    """At the dashboard's first page, with a token."""
    await page.goto("/")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    await check_access(page)
    await page.get_by_label("Token").fill(token)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Sessions")
    return page


async def check_access(page: Page) -> None:
    """Nothing keeps people with a screen reader, a keyboard or weak eyes out, as far as axe sees."""
    await page.evaluate(_AXE.read_text())
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    told = [
        f"{one['impact']}: {one['id']}: {node['html'][:200]} {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
    assert told == [], page.url
    too_wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert too_wide <= 0, f"{page.url} is wider than the window"
