"""axe finds nothing on any screen: light and dark, wide and narrow."""

from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import Opening
from tests.support.browser_kit import click_and_wait, screens, until, violations
from tests.support.sample_account import cast_of
from tests.support.world import World

pytestmark = [pytest.mark.browser, pytest.mark.slow]
BEFORE = ("/sign-in", "/password-reset", "/password-reset/no-such-link", "/sign-in?next=/contacts")


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
    await click_and_wait(page, page.get_by_role("button", name="Upload and map columns"))
    wrong += await violations(page, "an import's columns")
    place = urlsplit(page.url).path
    await click_and_wait(page, page.get_by_role("button", name="Check file"))
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
