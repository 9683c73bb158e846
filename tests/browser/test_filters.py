"""Filters by hand: in the contact list and in the builder, with and without JavaScript."""

import re

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import Opening
from tests.support.browser_kit import click_and_wait, json_of, violations
from tests.support.world import World

pytestmark = [pytest.mark.browser, pytest.mark.slow]


async def choose(row: Locator, label: str, option: str, script: bool) -> None:
    """Chooses a field or an operator; without a script the button beside it draws the row again."""
    page, control = row.page, row.get_by_label(label)
    if not script:
        await control.select_option(label=option)
        await click_and_wait(page, row.get_by_role("button", name="Update"))
        return
    await control.focus()
    async with page.expect_response(lambda answer: answer.request.method == "POST"):
        await control.select_option(label=option)
    await expect(page.locator(".htmx-request")).to_have_count(0)
    await expect(control).to_be_focused()


async def search(row: Locator, text: str, script: bool) -> None:
    box = row.get_by_role("searchbox")
    if not script:
        await box.fill(text)
        await click_and_wait(row.page, row.get_by_role("button", name="Search"))
        return
    async with row.page.expect_response(lambda answer: answer.request.method == "POST"):
        await box.press_sequentially(text)
    await expect(row.page.locator(".htmx-request")).to_have_count(0)
    await expect(box).to_be_focused()
    await expect(box).to_have_value(text)


async def check(page: Page, what: str, script: bool) -> None:
    """What is open has no violation; with a script, because axe is one."""
    if script:
        assert await violations(page, what) == []
        await page.set_viewport_size({"width": 1280, "height": 900})


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])
async def test_conditions_are_chosen_and_never_typed_wrongly(
    world: World, opening: Opening, script: bool
) -> None:
    who = await world.person("operator")
    page = await opening.signed_in(who, script=script)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    await world.sql(
        "insert into contacts (account_id, id, first_name, state) select $1, gen_random_uuid(), state, state"
        " from unnest(array['CA', 'TX', 'NY']) state", who.account_id,
    )  # fmt: skip
    await page.goto("/contacts")
    await page.get_by_role("link", name="Filter", exact=True).click()
    row = page.get_by_role("group", name="Condition 1", exact=True)
    await choose(row, "Field of condition 1", "State", script)
    await choose(row, "Operator of condition 1", "is one of", script)
    await row.get_by_label("Values, one in each line").fill("CA\nTX")
    await check(page, "a condition of the list", script)
    await page.get_by_role("button", name="Apply filter").click()
    await page.wait_for_url(re.compile(r"/contacts\?f=state%3Ain%3ACA%2CTX$"))
    await expect(page.locator("tbody tr")).to_have_count(2)

    await page.get_by_role("link", name="State is one of CA, TX").click()
    await expect(page.get_by_label("Values, one in each line")).to_have_value("CA\nTX")
    await choose(row, "Field of condition 1", "Tags", script)
    await search(row, "fish", script)
    await click_and_wait(page, row.get_by_role("button", name="Create tag fish"))
    await expect(row.get_by_role("checkbox", name="fish")).to_be_checked()
    await check(page, "a picker", script)
    await page.get_by_role("button", name="Apply filter").click()
    await expect(page.get_by_role("link", name="Tags include any of fish")).to_be_visible()
    await page.get_by_role("link", name="Remove filter Tags").click()
    await expect(page.locator("tbody tr")).to_have_count(3)
    await in_builder(page, script)
    assert errors == []


async def in_builder(page: Page, script: bool) -> None:
    """A group in the entry condition, with a mistake in it."""
    await page.goto("/workflows/new")
    await page.locator("main input[name=name]").fill("Fish")
    await click_and_wait(page, page.get_by_role("button", name="Create"))
    place = re.sub(r"[?#].*", "", page.url)
    await page.goto(f"{place}/entry")
    await click_and_wait(page, page.get_by_role("button", name="Add group"))
    row = page.get_by_role("group", name="Condition 2.1", exact=True)
    await choose(row, "Field of condition 2.1", "Created", script)
    await page.get_by_role("button", name="Save condition").click()
    await expect(page.locator("#sheet .filter-group")).to_contain_text("Enter a value.")
    await check(page, "a condition of the builder", script)
    await row.get_by_label("Value of condition 2.1", exact=True).fill("2026-03-31")
    await click_and_wait(page, page.get_by_role("button", name="Save condition"))
    stored = (await json_of(page, place))["entry"]
    assert stored == "Created is on 2026-03-31"
