"""axe finds nothing on any screen: light and dark, wide and narrow."""

from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

from tests.browser.conftest import Opening
from tests.browser.test_main_job import press, until
from tests.support.sample_account import cast_of
from tests.support.world import AccountMember, World
from tests.web.test_crawl import ID, Walk

pytestmark = [pytest.mark.browser, pytest.mark.slow]
WIDTHS = (1280, 390)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
BEFORE = ("/sign-in", "/password-reset", "/password-reset/no-such-link", "/sign-in?next=/contacts")


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


async def test_no_screen_has_a_violation(world: World, opening: Opening) -> None:
    cast = await cast_of(world)
    paths = await screens(world, cast.owner)
    page = await opening.signed_in(cast.owner)
    wrong: list[str] = []
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: messages.append(str(error)))
    for path in paths:
        answer = await page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        wrong += await violations(page, path)
        wrong += [f"{path}: the browser said {text}" for text in messages]
        messages.clear()
    assert not wrong, "\n".join(wrong)
    assert len(paths) >= 5


async def test_screens_before_signing_in_and_errors(world: World, opening: Opening) -> None:
    page = await (await opening.context()).new_page()
    wrong: list[str] = []
    for path in BEFORE:
        await page.goto(path)
        wrong += await violations(page, path)
    page = await opening.signed_in(await world.person("viewer"))
    for path in ("/nothing-here", "/audit"):  # 404, 403
        await page.goto(path)
        wrong += await violations(page, path)
    assert not wrong, "\n".join(wrong)


async def test_screens_with_open_forms_and_running_jobs(world: World, opening: Opening) -> None:
    """Columns and preview of an import, and forms with mistakes in them."""
    page = await opening.signed_in(await world.person("owner"))
    wrong: list[str] = []
    file: Any = {
        "name": "few.csv",
        "mimeType": "text/csv",
        "buffer": b"email,city\na@example.com,Rome\nnobody,Bonn\n",
    }
    await page.goto("/imports/new")
    await page.set_input_files("main input[type=file]", file)
    await press(page, page.get_by_role("button", name="Upload and map columns"))
    wrong += await violations(page, "an import's columns")
    place = urlsplit(page.url).path
    await press(page, page.get_by_role("button", name="Check file"))
    await until(page, place, lambda now: now["item"]["status"] == "ready")
    await page.goto(place)
    wrong += await violations(page, "an import's preview")
    for path, fields in MISTAKES.items():
        await page.goto(path)
        for name, value in fields.items():
            await page.locator(f"main [name={name}]").first.fill(value)
        form = page.locator(f"main form[method=post]:has([name={next(iter(fields))}])").first
        async with page.expect_response(lambda answer: answer.request.method == "POST") as waiting:
            await form.evaluate("form => { form.noValidate = true; form.requestSubmit() }")
        assert (await waiting.value).status == 422, path
        await page.wait_for_load_state("networkidle")
        wrong += await violations(page, f"{path} with a mistake")
    assert not wrong, "\n".join(wrong)


MISTAKES = {
    "/contacts/new": {"email": "nobody", "phone": "what"},
    "/workflows/new": {"name": ""},
    "/members": {"email": "nobody"},
}
