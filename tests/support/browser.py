"""A real browser: Debian's Chromium, driven by Playwright."""

import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

#: Where the pictures of the pages go; `make pictures` puts them into docs/images.
PICTURES = Path(os.environ.get("PICTURES", "data/pictures"))

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}

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
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    assert executable is not None, "Chromium is missing; `make browser` installs Debian's"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=_FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


async def picture(page: Page, name: str) -> None:
    """Keep a picture of the page as it is now. Playwright makes the folder."""
    await page.screenshot(path=PICTURES / f"{name}.png", full_page=True, animations="disabled")
