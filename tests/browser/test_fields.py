"""Custom fields in a browser: inputs that fit the type, rows that are dragged, and the forms of a contact."""

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Opening
from tests.support.browser_kit import violations
from tests.support.crm_kit import create_field
from tests.support.world import World

pytestmark = [pytest.mark.browser, pytest.mark.slow]
FIELDS = (
    {"label": "Budget", "type": "money", "currency": "EUR", "group": "Deal", "required": True},
    {"label": "Likes", "type": "multi_select", "options": "Tea\nCake", "group": "Deal"},
    {"label": "Next call", "type": "datetime"},
    {"label": "Story", "type": "long_text", "default": "Once"},
)


async def labels(page: Page) -> list[str]:
    return await page.locator("tbody a.strong").all_inner_texts()


async def test_fields_are_made_dragged_and_filled_in(opening: Opening, world: World) -> None:
    who = await world.person()
    async with world.script(who) as client:
        for field in FIELDS:
            await create_field(client, **field)
    page = await opening.signed_in(who)
    await page.goto("/fields")
    form = page.locator("#create form")
    await expect(form.get_by_label("Currency")).not_to_be_visible()
    await form.get_by_label("Type").select_option("money")
    await expect(form.get_by_label("Currency")).to_be_visible()
    await form.get_by_label("Type").select_option("select")
    await expect(form.get_by_label("Options")).to_be_visible()
    assert await violations(page, "/fields") == []
    assert await labels(page) == ["Budget", "Likes", "Next call", "Story"]
    rows = page.locator("tr[data-order]")
    async with page.expect_response(lambda answer: answer.request.method == "POST"):
        await rows.nth(3).drag_to(rows.nth(0))
    await expect(page.locator("tbody a.strong").first).to_have_text("Story")
    await page.get_by_role("button", name="Move Story down").click()
    await expect(page.locator("tbody a.strong").first).to_have_text("Budget")
    await page.goto("/contacts/new")
    await expect(page.get_by_role("heading", name="Deal")).to_be_visible()
    await expect(page.get_by_label("Story")).to_have_value("Once")
    await page.get_by_label("First name").fill("Ann")
    await page.get_by_label("Budget (EUR)").fill("1.234,50")
    await page.get_by_label("Cake").check()
    await page.get_by_label("Next call").fill("2026-07-01T09:30")
    assert await violations(page, "/contacts/new") == []
    await page.get_by_role("button", name="Create contact").click()
    await expect(page.get_by_role("heading", name="Deal")).to_be_visible()
    await expect(page.locator("main")).to_contain_text("1,234.50 EUR")
    assert await violations(page, "the page of a contact") == []
