"""A real server on a real port, a worker and a mail catcher beside it, and a headless Chromium."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import uvicorn
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from app.mailbox.catcher import serve
from app.main import create_app
from app.runtime import Runtime, open_runtime
from app.sessions.throttle import Throttle
from app.settings import Settings
from jobs.worker import WorkerProcess
from scripts._lib.dev import chromium
from tests.conftest import running
from tests.support.fakes import TestClock
from tests.support.world import PASSWORD, AccountMember

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
)


class Quiet(uvicorn.Server):
    """Signals are pytest's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass
class Live:
    """`base` is its address; the clock moves for the server and the worker alike."""

    base: str
    runtime: Runtime
    clock: TestClock


@pytest.fixture(scope="module")  # its worker would also serve the accounts of later tests
async def live(
    settings: Settings, clock: TestClock, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Live]:
    host = "127.0.0.1"
    listener = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    base = f"http://{host}:{port}"
    ours = msgspec.structs.replace(
        settings, base_url=base, demo=True, database_pool_size=5, worker_concurrency=2
    )
    mailbox_runtime = open_runtime(ours, clock=clock, pool_size=2)
    catcher = await serve(mailbox_runtime, 0)
    ours = msgspec.structs.replace(ours, smtp_url=f"smtp://{host}:{catcher.sockets[0].getsockname()[1]}")
    runtime, of_worker = open_runtime(ours, clock=clock), open_runtime(ours, clock=clock)
    app = create_app(ours, runtime)
    app.state.throttle = Throttle(None)
    worker = WorkerProcess(of_worker)
    server = Quiet(
        uvicorn.Config(
            app, host=host, port=port, lifespan="off", log_config=None, access_log=False, server_header=False
        )
    )
    async with running(app):
        serving = asyncio.create_task(server.serve())
        working = asyncio.create_task(worker.run())
        while not server.started:
            await asyncio.wait({serving}, timeout=0.02)
        yield Live(base, runtime, clock)
        worker.stop.set()
        server.should_exit = True
        await asyncio.gather(serving, working)
        await worker.saq.close()
        catcher.close()
        await of_worker.close()
        await mailbox_runtime.close()


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
