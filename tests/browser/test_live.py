"""A live page says when its server is gone, and comes back by itself."""

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import asyncpg
import httpx
import pytest
from playwright.async_api import Browser, Page, Request, expect

from tests.browser.site import Site, open_site
from tests.support.sample_account import Cast, cast_of
from tests.support.world import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.slow]
MISSED = 6000  # ms: an interval of two seconds, the wait for its answer, and a slow machine
BACK = 15_000
ARMED = """() => [...document.querySelectorAll("main button")]
  .filter(b => b.type === "submit" && b.form?.method === "post" && !b.disabled).length"""
FILTER = "element => getComputedStyle(element).filter"
HIDE = """hidden => {
  Object.defineProperty(document, "hidden", {get: () => hidden, configurable: true})
  document.dispatchEvent(new Event("visibilitychange"))
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("site")) as opened:
        yield opened


@dataclass
class LivePage:
    """An owner's page, and what it asks for."""

    page: Page
    site: Site
    cast: Cast
    polls: list[Request]

    async def open(self, name: str) -> None:
        """A page that is fetched again, with something to press."""
        cast, sql = self.cast, self.site.world.sql
        if name == "job":
            await sql("update jobs set status = 'queued', finished_at = null where id = $1", cast.job)
        if name == "import":
            await sql("update imports set status = 'running', finished_at = null where id = $1", cast.upload)
        paths = {
            "jobs": "/jobs",
            "job": f"/jobs/{cast.job}",
            "import": f"/imports/{cast.upload}",
            "builder": f"/workflows/{cast.workflow}/steps/s1",
        }
        await self.page.goto(paths[name])
        await self.becomes("on")

    async def becomes(self, state: str, timeout: int = MISSED) -> None:
        await expect(self.page.locator("html")).to_have_attribute("data-live", state, timeout=timeout)


@pytest.fixture
async def visit(chrome: Browser, site: Site) -> AsyncIterator[LivePage]:
    cast = await cast_of(site.world)
    context = await chrome.new_context(base_url=site.base, reduced_motion="reduce")
    page = await context.new_page()
    page.set_default_timeout(10_000)
    polls: list[Request] = []
    page.on("request", lambda request: polls.append(request) if request.headers.get("hx-source") else None)
    await sign_in(page, cast)
    yield LivePage(page, site, cast, polls)
    await context.close()


async def sign_in(page: Page, cast: Cast) -> None:
    await page.goto("/sign-in")
    await page.locator("input[name=email]").first.fill(cast.owner.email)
    await page.locator("input[name=password]").first.fill(PASSWORD)
    await page.locator("input[name=password]").first.press("Enter")
    await page.wait_for_url(lambda url: "/sign-in" not in url)


@pytest.mark.parametrize("name", ["jobs", "job", "import", "builder"])
async def test_frozen_server_is_reported_after_one_missed_poll(
    visit: LivePage, site: Site, name: str
) -> None:
    page = visit.page
    await visit.open(name)
    armed = await page.evaluate(ARMED)
    assert armed > 0
    label = page.locator(".live .stale-label")
    with site.frozen_web():
        await visit.becomes("late")
        await expect(label).to_have_text(re.compile(r"^Last update \d+ s ago$"))
        first = await label.inner_text()
        await expect(label).not_to_have_text(first)  # it counts
        assert await page.evaluate(ARMED) == 0
        assert await page.locator("main > :not(.top-bar)").first.evaluate(FILTER) == "grayscale(1)"
        count = len(visit.polls)
        await page.wait_for_timeout(2500)
        assert len(visit.polls) == count, "one request waits; another for each tick would pile up"
    await visit.becomes("on", BACK)
    assert await page.evaluate(ARMED) == armed
    await expect(label).to_have_text("")


async def test_page_recovers_when_its_web_process_restarts(visit: LivePage, site: Site) -> None:
    await visit.open("jobs")
    site.kill_web()
    try:
        await visit.becomes("late")
        assert await visit.page.evaluate(ARMED) == 0
    finally:
        await asyncio.to_thread(site.start_web)
    await visit.becomes("on", BACK)


async def test_page_paused_during_an_outage_stays_paused(visit: LivePage, site: Site) -> None:
    await visit.open("jobs")
    armed = await visit.page.evaluate(ARMED)
    with site.frozen_web():
        await visit.becomes("late")
        await visit.page.locator("[data-pause]").click()
        await visit.becomes("late")
    await visit.becomes("paused", BACK)
    assert await visit.page.evaluate(ARMED) == armed
    count = len(visit.polls)
    await visit.page.wait_for_timeout(4500)
    assert len(visit.polls) == count, "and asks for nothing more"


async def test_frozen_database_shows_503_on_page(visit: LivePage, site: Site) -> None:
    await visit.open("jobs")
    cookies = {cookie["name"]: cookie["value"] for cookie in await visit.page.context.cookies()}
    async with httpx.AsyncClient(base_url=site.base, cookies=cookies, timeout=20) as client:
        await client.get("/jobs")  # its connections are open
        with site.frozen_postgres():
            for path in ("/jobs", "/contacts", f"/workflows/{visit.cast.workflow}/counts"):
                began = time.monotonic()
                answer = await client.get(path, headers={"accept": "text/html"})
                assert answer.status_code == 503, path
                assert time.monotonic() - began < 5, path
                assert answer.headers["retry-after"] == "2"
            await visit.becomes("late")
            assert await visit.page.evaluate(ARMED) == 0
            assert (await client.get("/health/live")).status_code == 200
        await visit.becomes("on", BACK)
        assert (await client.get("/jobs")).status_code == 200


async def test_slow_query_of_a_working_database_is_not_aborted(visit: LivePage, site: Site) -> None:
    """A lock holds the page up for longer than a stalled database is given."""
    cookies = {cookie["name"]: cookie["value"] for cookie in await visit.page.context.cookies()}
    connection = await asyncpg.connect(site.world.admin_url)
    async with httpx.AsyncClient(base_url=site.base, cookies=cookies, timeout=20) as client:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("lock table tags in access exclusive mode")
        request = asyncio.create_task(client.get("/tags"))
        done, _ = await asyncio.wait({request}, timeout=4)
        assert not done
        await transaction.rollback()
        assert (await request).status_code == 200
    await connection.close()


async def test_page_recovers_after_the_database_is_killed(visit: LivePage, site: Site) -> None:
    await visit.open("jobs")
    await asyncio.to_thread(site.postgres.stop, signal.SIGQUIT)
    try:
        await visit.becomes("late")
        await expect(visit.page.locator(".live .stale-label")).to_contain_text("Last update")
        assert await visit.page.evaluate(ARMED) == 0
    finally:
        await asyncio.to_thread(site.postgres.start)
    await visit.becomes("on", BACK)


async def test_signed_out_member_sees_a_message_and_keeps_typed_text(visit: LivePage, site: Site) -> None:
    page = visit.page
    await page.goto(f"/workflows/{visit.cast.workflow}/steps/s1")
    await visit.becomes("on")
    await page.locator("[name='config.subject']").fill("Half a thought")
    owner = visit.cast.owner.user_id
    await site.world.sql("update sessions set revoked_at = now() where user_id = $1", owner)
    await visit.becomes("out")
    link = page.locator(".live a")
    await expect(link).to_have_text("Sign in")
    assert f"/sign-in?next=/workflows/{visit.cast.workflow}" in (await link.get_attribute("href") or "")
    assert await page.locator("[name='config.subject']").input_value() == "Half a thought"
    assert await page.evaluate(ARMED) == 0
    await sign_in(await page.context.new_page(), visit.cast)
    await visit.becomes("on", BACK)
    assert await page.locator("[name='config.subject']").input_value() == "Half a thought"


@pytest.mark.parametrize("name", ["jobs", "job", "import", "builder"])
async def test_hidden_page_does_not_poll(visit: LivePage, name: str) -> None:
    page = visit.page
    await visit.open(name)
    await page.evaluate(HIDE, True)
    await page.wait_for_timeout(300)
    count = len(visit.polls)
    await page.wait_for_timeout(4500)
    assert len(visit.polls) == count
    async with page.expect_request(lambda request: bool(request.headers.get("hx-source")), timeout=1000):
        await page.evaluate(HIDE, False)
    await visit.becomes("on")


async def test_finished_job_is_not_polled(visit: LivePage, site: Site) -> None:
    page = visit.page
    await visit.open("job")
    await site.world.sql("update jobs set status = 'done', finished_at = now() where id = $1", visit.cast.job)
    await expect(page.locator("#poll")).to_have_count(0, timeout=MISSED)
    await expect(page.locator(".live")).to_be_hidden()
    count = len(visit.polls)
    await page.wait_for_timeout(4500)
    assert len(visit.polls) == count


async def test_polling_moves_nothing_under_the_pointer(visit: LivePage, site: Site) -> None:
    page = visit.page
    await visit.open("jobs")
    retry = page.locator("#failing form[action$='/retry'] button").first
    place = await retry.bounding_box()
    assert place is not None
    await page.mouse.move(place["x"] + 5, place["y"] + 5)
    await site.world.sql(
        "insert into jobs (account_id, id, queue, task, status, total, due_at, error, finished_at, "
        "actor_kind, actor_id, actor_name) select account_id, gen_random_uuid(), queue, task, status, total, "
        "due_at, 'Another.', clock_timestamp(), actor_kind, actor_id, actor_name from jobs where id = $1",
        visit.cast.job,
    )
    for step in range(5):
        await page.wait_for_timeout(900)
        await page.mouse.move(place["x"] + 6 + step, place["y"] + 6)
        assert await retry.bounding_box() == place
    await visit.becomes("held")
    await page.mouse.move(5, 5)
    await expect(page.locator("#failing")).to_contain_text("Another.", timeout=MISSED)
    await visit.becomes("on")
