"""Messages cover the page and move nothing; delete buttons are apart from save buttons."""

from collections import Counter
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import Opening
from tests.browser.geometry import DROP_MESSAGES, TOO_CLOSE, controls, overlap
from tests.support.browser_kit import click_and_wait, screens
from tests.support.sample_account import Cast, cast_of
from tests.support.world import World

pytestmark = [pytest.mark.browser, pytest.mark.slow]
WIDTHS = (1280, 390)
GAP = 32  # pixels
SCRIPT = pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])


async def box(locator: Locator) -> Any:
    bounding_box = await locator.bounding_box()
    assert bounding_box is not None
    return bounding_box


async def trigger_sheet(page: Page, cast: Cast) -> Locator:
    """The sheet of the tag trigger; returns its Save button."""
    await page.goto(f"/workflows/{cast.workflow}/triggers/t1")
    save = page.get_by_role("button", name="Save trigger")
    await save.wait_for()
    return save


@SCRIPT
@pytest.mark.parametrize("width", WIDTHS)
async def test_saving_twice_in_place_saves_twice(
    world: World, opening: Opening, script: bool, width: int
) -> None:
    cast = await cast_of(world)
    page = await opening.signed_in(cast.owner, script=script)
    await page.set_viewport_size({"width": width, "height": 800})
    save = await trigger_sheet(page, cast)
    before, place = {tuple(control) for control in await controls(page)}, await box(save)
    names = Counter(control[0] for control in before)
    await click_and_wait(page, save)
    toast = page.locator("#notes .toast")
    await expect(toast).to_contain_text("Saved")
    assert await box(save) == place
    after = [tuple(control) for control in await controls(page) if names[control[0]] == 1]
    assert not [control for control in after if control not in before]
    assert not overlap(await box(toast), place)
    async with page.expect_response(lambda answer: answer.request.method == "POST") as waiting:
        await page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    assert (await waiting.value).url.endswith("/triggers/t1")


@SCRIPT
async def test_every_screen_is_stable_and_keeps_delete_buttons_apart(
    world: World, opening: Opening, script: bool
) -> None:
    cast = await cast_of(world)
    page = await opening.signed_in(cast.owner, script=script)
    sheets = ("triggers/t1", "steps/s1", "steps/s3", "entry", "settings")
    paths = {*await screens(world, cast.owner), "/sign-in", "/password-reset"}
    paths |= {f"/workflows/{cast.workflow}/{sheet}" for sheet in sheets}
    wrong = []
    for path in sorted(paths):
        for width in WIDTHS:
            await page.set_viewport_size({"width": width, "height": 800})
            note: Any = {"name": "note", "value": "It%20was%20saved.", "url": opening.live.base}
            await page.context.add_cookies([note])
            await page.goto(path)
            assert await page.locator("#notes .toast").count() == 1, path
            if script:  # the counts of segments replace links
                await expect(page.locator("#count")).to_have_count(0)
            shown = await controls(page)
            await page.evaluate(DROP_MESSAGES)
            if shown != await controls(page):
                wrong.append(f"{path} at {width}: the message moves controls")
            wrong += [f"{path} at {width}: {pair} too close" for pair in await page.evaluate(TOO_CLOSE, GAP)]
    assert not wrong, "\n".join(wrong)


@SCRIPT
async def test_message_disappears_unless_the_pointer_is_on_it(
    world: World, opening: Opening, script: bool
) -> None:
    cast = await cast_of(world)
    page = await opening.signed_in(cast.owner, script=script)
    await click_and_wait(page, await trigger_sheet(page, cast))
    toast = page.locator("#notes .toast")
    await toast.hover()
    await page.wait_for_timeout(7000)
    await expect(toast).to_be_visible()
    await page.mouse.move(700, 300)
    await expect(toast).to_be_hidden(timeout=8000)


@SCRIPT
async def test_error_message_stays_until_dismissed(world: World, opening: Opening, script: bool) -> None:
    """Another member saved in between: the builder says so and moves nothing."""
    cast = await cast_of(world)
    page = await opening.signed_in(cast.owner, script=script)
    await page.goto(f"/workflows/{cast.workflow}/steps/s2")
    delete = page.get_by_role("button", name="Delete step")
    place = await box(delete)
    await world.sql("update workflows set rev = rev + 1 where id = $1", cast.workflow)
    await delete.click()
    toast = page.locator("#notes .toast.bad")
    await expect(toast).to_be_visible()
    canvas = page.locator("#canvas .notice")
    assert await canvas.count() == 0, "a message inside the page would move it"
    assert not overlap(await box(toast), place)
    await page.wait_for_timeout(7000)
    await expect(toast).to_be_visible()
    await toast.locator("button:visible, label:visible").last.click()
    await expect(toast).to_be_hidden()


async def test_message_does_not_cover_the_control_just_used(world: World, opening: Opening) -> None:
    """Where that control lies at the usual place of messages, the message goes to the other edge."""
    cast = await cast_of(world)
    page = await opening.signed_in(cast.owner)
    await page.set_viewport_size({"width": 1280, "height": 420})
    await page.goto(f"/tags/{cast.tag}")
    rename = page.get_by_role("button", name="Rename")
    await page.locator(".page").evaluate("page => page.scrollTo(0, 9999)")
    await page.locator("main input[name=name]").fill("gold")
    place = await box(rename)
    assert place["y"] > 330
    await rename.click()
    toast = page.locator("#notes .toast")
    await expect(toast).to_be_visible()
    assert not overlap(await box(toast), place)


async def test_refused_form_puts_no_delete_button_under_the_pointer(world: World, opening: Opening) -> None:
    cast = await cast_of(world)
    page = await opening.signed_in(cast.owner)
    save = await trigger_sheet(page, cast)
    place = await box(save)
    await page.locator("[name='config.tag']").fill("")
    await save.click()
    await expect(page.locator("#sheet [aria-invalid=true]").first).to_be_visible()
    assert await box(save) == place
    fields = {
        f"/tags/{cast.tag}": "name",
        f"/fields/{cast.field}": "label",
        f"/segments/{cast.segment}": "name",
    }
    for path, field in fields.items():
        await page.goto(path)
        await page.locator(f"main [name={field}]").fill("")
        button = page.locator(f"main form:has([name={field}]) button.primary")
        place = await box(button)
        await button.evaluate("button => { button.form.noValidate = true }")
        async with page.expect_response(lambda answer: answer.request.method == "POST") as waiting:
            await button.click()
        assert (await waiting.value).status == 422, path
        await page.wait_for_load_state()
        middle = [place["x"] + place["width"] / 2, place["y"] + place["height"] / 2]
        under = await page.evaluate("([x, y]) => document.elementFromPoint(x, y).textContent", middle)
        assert "Delete" not in under[:40], path
