"""Presses buttons and waits, in Chromium."""

import asyncio
from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Locator, Page, expect

from tests.support.crawler import ID, Walk
from tests.support.world import AccountMember, World

JSON = {"accept": "application/json"}


async def click_and_wait(page: Page, button: Locator) -> None:
    """Click something that posts, wait for its answer and for htmx to have drawn it."""
    async with page.expect_response(lambda answer: answer.request.method == "POST") as waiting:
        await button.click()
    answer = await waiting.value
    assert answer.status < 400, f"{answer.url}: {answer.status} {await answer.text()}"
    await page.wait_for_load_state("networkidle")
    # Not wait_for_function: it evaluates text again and again, which the page's policy forbids.
    await expect(page.locator(".htmx-request")).to_have_count(0)


async def json_of(page: Page, path: str) -> Any:
    answer = await page.request.get(path, headers=JSON)
    assert answer.ok, await answer.text()
    return await answer.json()


async def until(page: Page, path: str, done: Callable[[Any], bool], seconds: float = 40) -> Any:
    document: Any = None
    for _ in range(int(seconds * 5)):
        document = await json_of(page, path)
        if done(document):
            return document
        await asyncio.sleep(0.2)
    raise AssertionError(f"{path} did not get there: {str(document)[:1500]}")


WIDTHS = (1280, 390)

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


async def screens(world: World, who: AccountMember) -> list[str]:
    """One page of each kind that links lead to."""
    walk = Walk()
    async with world.browser(who) as page, world.script(who) as script:
        await walk.all(page, script)
        paths: dict[str, str] = {}
        for path in walk.visited:
            answer: httpx.Response = await page.get(path)
            if answer.headers["content-type"].startswith("text/html") and answer.status_code == 200:
                paths.setdefault(ID.sub("{id}", urlsplit(path).path), path)
    return sorted(paths.values())


# What may differ between light and dark; everything else is looked at once, in light.
COLORS: dict[str, Any] = {"runOnly": ["color-contrast", "link-in-text-block"], "resultTypes": ["violations"]}

TOO_WIDE = """() => {
  const over = document.documentElement.scrollWidth - innerWidth
  if (over <= 0) return ""
  const far = [...document.querySelectorAll("main *")]
    .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
  return over + " pixels too wide: " + far.slice(0, 3).map(e => e.tagName + "." + e.className).join(" ")
}"""


async def violations(page: Page, path: str) -> list[str]:
    violations_found = []
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 900})
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            options = COLORS if scheme == "dark" else {"resultTypes": ["violations"]}
            result: Any = (await Axe().run(page, options=options)).response
            for violation in result["violations"]:
                where = "; ".join(str(node["target"]) for node in violation["nodes"][:3])
                violations_found.append(f"{path} {scheme} {width}: {violation['id']} at {where}")
        wide = await page.evaluate(TOO_WIDE)
        violations_found += [f"{path} {width}: {wide}"] if wide else []
    return violations_found
