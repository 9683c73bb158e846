"""The main job in a browser: import, build, publish, tag 50, one message each, the right step, the goal."""

import csv
import io
from typing import Any

import pytest
from playwright.async_api import Page

from tests.browser.conftest import Opening
from tests.support.browser_kit import click_and_wait, json_of, until
from tests.support.world import World

pytestmark = [pytest.mark.browser, pytest.mark.slow]
HEADER = "first_name,last_name,company_name,address,city,county,state,zip,phone1,phone2,email,web"
STATES = ("LA", "CA", "NY", "TX", "MI")


def people(count: int = 500) -> bytes:
    """A file like those that members have: quoted commas, phone numbers, zip codes that begin with a zero."""
    text = io.StringIO()
    text.write(HEADER + "\n")
    rows = csv.writer(text)
    for n in range(count):
        rows.writerow(
            [f"First{n}", f"Last{n}", f"Company {n}, Inc", f"{n} Main St", "New Orleans", "Orleans",
             STATES[n % len(STATES)], f"{n:05}", f"504-621-{n:04}", f"504-845-{n:04}",
             f"person{n}@example.com", f"http://www.example{n}.com"]
        )  # fmt: skip
    return text.getvalue().encode()


async def do_import(page: Page) -> None:
    await page.goto("/imports/new")
    file: Any = {"name": "people.csv", "mimeType": "text/csv", "buffer": people()}
    await page.set_input_files("main input[type=file]", file)
    await click_and_wait(page, page.get_by_role("button", name="Upload and map columns"))
    place = page.url.split("?", maxsplit=1)[0].removeprefix(page.url.split("/imports")[0])
    await click_and_wait(page, page.get_by_role("button", name="Check file"))
    document = await until(page, place, lambda now: now["item"]["status"] == "ready")
    assert (document["item"]["new"], document["item"]["bad"]) == (500, 0)
    await page.reload()
    await click_and_wait(page, page.locator(f"main form[action='{place}/run'] button").first)
    document = await until(page, place, lambda now: now["item"]["status"] == "done")
    assert document["item"]["written"] == 500


async def add_step(page: Page, kind: str) -> None:
    """At the end of the flow; its sheet is open afterwards."""
    await page.locator("li.insert-slot[data-list=main] a").last.click()
    await click_and_wait(page, page.locator("#sheet button.choice", has_text=kind).first)
    await page.locator("#sheet [name='config.kind']").wait_for(state="attached")


async def condition(page: Page, name: str, field: str, value: str) -> None:
    await page.locator(f"[name='{name}.rows.0.field']").select_option(field)
    update = page.locator(f"[name=show][value='{name}.rows.0']").first
    if await update.is_visible():  # without a script
        await click_and_wait(page, update)
    await page.locator(f"[name='{name}.rows.0.op']").select_option("is")
    await page.locator(f"[name='{name}.rows.0.values']").fill(value)


async def save(page: Page) -> None:
    await click_and_wait(page, page.locator("#sheet footer button.primary"))


async def build(page: Page) -> str:
    """Tag added `vip` → email → wait 1 minute → branch on state → goal; its address."""
    await page.goto("/workflows/new")
    await page.locator("main input[name=name]").fill("Welcome")
    await click_and_wait(page, page.get_by_role("button", name="Create"))
    place = "/workflows/" + page.url.split("/workflows/")[1].split("/")[0].split("?")[0]
    await page.locator("#li-add-trigger a").click()
    await click_and_wait(page, page.locator("#sheet button.choice", has_text="Tag added").first)
    await page.locator("#sheet [name='config.tag']").fill("vip")
    await save(page)
    await add_step(page, "Send email")
    await page.locator("[name='config.subject']").fill("Welcome {{ contact.first_name }}")
    await page.locator("[name='config.body']").fill("Good to have you in {{ contact.city }}.")
    await save(page)
    await add_step(page, "Wait")
    await page.locator("[name='config.amount']").fill("1")
    await page.locator("[name='config.unit']").select_option("minutes")
    await save(page)
    await add_step(page, "Branch")
    await page.locator("[name='config.branches.0.name']").fill("California")
    await condition(page, "config.branches.0.filter", "state", "CA")
    await save(page)
    await add_step(page, "Goal")
    await condition(page, "config.filter", "city", "Paris")
    await page.locator("[name='config.on_unmet'][value=wait]").check()
    await save(page)
    await page.goto(f"{place}/publication")
    await click_and_wait(page, page.get_by_role("button", name="Publish version 1"))
    return place


def at(page: Any, kind: str) -> Any:
    return next(step["count"] for step in page["steps"] if step["kind"] == kind)


async def mails(page: Page) -> list[str]:
    recipients, path = [], "/mailbox"
    while path:
        listed = await json_of(page, path)
        recipients += [mail["recipient"] for mail in listed["items"]]
        path = listed["next"]
    return recipients


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])
async def test_main_job_from_import_to_goal(world: World, opening: Opening, script: bool) -> None:
    page = await opening.signed_in(await world.person("owner"), script=script)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    await do_import(page)
    place = await build(page)

    await page.goto("/contacts?limit=50")
    if script:
        await page.locator("input[data-all]").check()
    else:
        for box in await page.locator("input[name=id]").all():
            await box.check()
    bar = page.locator(".bulk-bar")
    await click_and_wait(
        page, bar.get_by_role("button", name="Tag 50 contacts") if script else bar.get_by_text("Tag")
    )
    await page.locator("main [name=tag]").fill("vip")
    await click_and_wait(page, page.get_by_role("button", name="Tag 50 contacts", exact=True))
    listed = (await json_of(page, "/contacts?limit=50"))["items"]
    document = await until(page, place, lambda now: at(now, "send_email")["completed"] == 50)
    assert at(document, "wait")["current"] == 50
    assert sorted(await mails(page)) == sorted(contact["email"] for contact in listed)

    opening.live.clock.forward(minutes=1, seconds=5)
    document = await until(page, place, lambda now: at(now, "goal")["current"] == 50)
    lanes = at(document, "branch")["lanes"]
    west = sum(contact["state"] == "CA" for contact in listed)
    assert 0 < west < 50
    assert sorted(lanes.values()) == sorted([west, 50 - west])

    contact = listed[0]["id"]
    await page.goto(f"/contacts/{contact}/edit")
    await page.locator("main [name=city]").fill("Paris")
    await click_and_wait(page, page.locator("main form").get_by_role("button", name="Save").first)
    await until(page, place, lambda now: now["totals"]["completed"] == 1)
    people_in = await json_of(page, f"{place}/enrollments?status=completed")
    assert [item["contact_id"] for item in people_in["items"]] == [contact]
    await page.goto(people_in["items"][0]["href"])
    assert "ompleted" in await page.locator("main").inner_text()
    assert len(await mails(page)) == 50
    assert errors == []
