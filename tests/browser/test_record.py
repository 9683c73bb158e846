"""Editing in place on the record: Esc leaves at once, the focus stays, the timeline shows the change."""

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Opening
from tests.support.sample_account import cast_of
from tests.support.world import World

pytestmark = [pytest.mark.browser, pytest.mark.slow]


async def test_escape_and_enter_keep_the_focus_on_the_cell(world: World, opening: Opening) -> None:
    cast = await cast_of(world)
    page = await opening.signed_in(cast.owner)
    await page.goto(f"/contacts/{cast.contact}")
    cell = page.locator("#v-city")
    edit, field = cell.get_by_role("link", name="Edit City"), cell.locator("input[name=value]")
    for _ in range(2):  # the link that comes back works again
        await edit.focus()
        await edit.press("Enter")
        await field.fill("Nowhere")
        await page.context.set_offline(True)  # Esc asks nothing of the server
        await field.press("Escape")
        await expect(edit).to_be_focused()
        await expect(cell).to_contain_text("London")
        await page.context.set_offline(False)
    await edit.press("Enter")
    await field.fill("Bergen")
    await field.press("Enter")
    await expect(edit).to_be_focused()
    await expect(cell).to_contain_text("Bergen")
    await expect(page.locator("#timeline")).to_contain_text("Bergen")


async def test_on_a_phone_empty_fields_come_last(world: World, opening: Opening) -> None:
    cast = await cast_of(world)
    for script in (True, False):
        page = await opening.signed_in(cast.owner, script=script)
        await page.set_viewport_size({"width": 390, "height": 800})
        await page.goto(f"/contacts/{cast.contact}")
        places = [
            (await page.get_by_role("heading", name=name, exact=True).bounding_box() or {"y": -1})["y"]
            for name in ("Details", "Tags", "Tasks", "Timeline", "Empty fields")
        ]
        assert places == sorted(places)
        assert places[0] > 0
