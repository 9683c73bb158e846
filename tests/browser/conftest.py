"""A real server with a worker and a mail catcher (`live`), and a headless Chromium."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from scripts._lib.dev import chromium
from tests.support.live_app import Live, live
from tests.support.world import PASSWORD, AccountMember

__all__ = ["live"]

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
)


@pytest.fixture(scope="session")
async def chrome() -> AsyncIterator[Browser]:
    executable = os.environ.get(chromium.VARIABLE)
    program = Path(executable) if executable else chromium.find_chromium()
    if program is None:
        pytest.skip("no Chromium here; scripts/test gets one where it can")
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=program, args=FLAGS.split())
        yield opened
        await opened.close()


@dataclass
class Opening:
    """Opens browser contexts, signed in."""

    chrome: Browser
    live: Live

    async def context(self, *, script: bool = True, width: int = 1280) -> BrowserContext:
        context = await self.chrome.new_context(
            base_url=self.live.base,
            java_script_enabled=script,
            viewport={"width": width, "height": 900},
            reduced_motion="reduce",
        )
        context.set_default_timeout(10_000)
        return context

    async def signed_in(self, who: AccountMember, *, script: bool = True) -> Page:
        page = await (await self.context(script=script)).new_page()
        await page.goto("/sign-in")
        await page.locator("main input[name=email], form input[name=email]").first.fill(who.email)
        await page.locator("input[name=password]").first.fill(PASSWORD)
        await page.locator("input[name=password]").first.press("Enter")
        await page.wait_for_url(lambda url: "/sign-in" not in url)
        return page


@pytest.fixture
async def opening(chrome: Browser, live: Live) -> AsyncIterator[Opening]:
    live.clock.reset()
    yield Opening(chrome, live)
    for context in chrome.contexts:
        await context.close()
