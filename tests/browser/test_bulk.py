"""The bulk bar with and without a script, and lists that fill their page."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Opening
from tests.support.browser_kit import violations
from tests.support.bulk_kit import fill
from tests.support.world import AccountMember, World


async def has_layout(page: Page) -> None:
    """The table fills what the tabs and filters leave, scrolls by itself, and ends above the foot."""
    viewport = page.viewport_size
    table = await page.locator(".list .scroll").bounding_box()
    foot = await page.locator(".pager").bounding_box()
    assert viewport
    assert table
    assert foot
    assert table["height"] > viewport["height"] / 2
    assert table["y"] + table["height"] <= foot["y"] + 1
    assert foot["y"] + foot["height"] <= viewport["height"] + 1
    scrolls = "element => element.scrollHeight > element.clientHeight"
    assert await page.locator(".list .scroll").evaluate(scrolls)


@pytest.mark.parametrize("script", [True, False])
async def test_bulk_bar_shows_the_count_and_the_job_can_be_undone(
    opening: Opening, world: World, who: AccountMember, script: bool
) -> None:
    await fill(world, who, 101)
    page = await opening.signed_in(who, script=script)
    await page.goto("/contacts")
    await has_layout(page)
    boxes, bar = page.locator("input[name=id]"), page.locator(".bulk-bar")
    for number in (1, 4):
        await boxes.nth(number).check()
    if script:
        await expect(bar.get_by_role("button", name="Delete 2 contacts")).to_be_visible()
        await expect(bar.get_by_role("button", name="Tag 2 contacts")).to_be_visible()
    await bar.get_by_label("All 101 matching").check()
    if script:
        assert await boxes.evaluate_all("boxes => boxes.every(box => box.checked)")
        await boxes.nth(3).uncheck()
        await expect(bar.get_by_label("All 101 matching")).not_to_be_checked()
        await bar.get_by_label("All 101 matching").check()
    await bar.get_by_role("button", name=re.compile("Delete 101 contacts")).click()
    if script:
        await expect(page.get_by_role("heading", level=1)).to_have_text("Delete 101 contacts")
        assert await violations(page, "the confirmation") == []
    await page.get_by_role("button", name="Delete 101 contacts").click()
    await page.wait_for_url("**/jobs/*")
    for _ in range(100):
        await page.reload()
        if await page.get_by_role("button", name="Undo").count():
            break
    await page.goto("/contacts?deleted=true")
    await has_layout(page)
    await page.go_back()
    await page.get_by_role("button", name="Undo").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Restore 101 contacts")


async def test_a_list_without_check_boxes_fills_its_page(
    opening: Opening, world: World, who: AccountMember
) -> None:
    await fill(world, who, 101)
    await world.sql(
        "update contacts set deleted_at = now() where account_id = $1 and id in"
        " (select id from contacts where account_id = $1 limit 50)",
        who.account_id,
    )
    page = await opening.signed_in(await world.person("viewer", who.account_id))
    for path in ("/contacts", "/contacts?deleted=true"):
        await page.goto(path)
        await expect(page.locator("input[name=id]")).to_have_count(0)
        await has_layout(page)


@pytest.fixture
async def who(world: World) -> AccountMember:
    return await world.person()
