"""Why, and why not."""

from uuid import UUID

from app.workflows.domain.draft import Settings
from app.workflows.domain.steps import Exit
from app.workflows.domain.triggers import ContactUpdated
from tests.fakes import Outside, TestClock
from tests.jobs.stage import Stage, ask
from tests.web.world import World


async def test_every_event_has_its_answer(world: World, clock: TestClock, outside: Outside) -> None:
    who = await world.person("viewer")
    stage = Stage(world, who.account_id, clock, outside)
    trigger = ContactUpdated(key="t1", fields=["city"], filter=ask("city", "is", "Oslo"))
    flow = await stage.workflow([Exit()], trigger, settings=Settings())
    person = await stage.contact()
    for name, value in (("state", "TX"), ("city", "Rome"), ("city", "Oslo"), ("city", "Oslo")):
        await stage.change(person, name, value)
        await stage.drain()
    await stage.sql(
        "delete from trigger_decisions where verdict = 'filter_false' and contact_id = $1", person
    )
    at = f"/contacts/{person}/why"
    async with world.script(who) as script:
        page = (await script.get(at, params={"workflow": str(flow)})).json()
        assert [(one["verdict"], one["worked_out"]) for one in page["items"]] == [
            ("reentry_once", False),
            ("enrolled", False),
            ("reentry_once", True),  # the kept refusal is gone, and today it would be another one
            ("", False),
        ]
        assert page["items"][1]["sentence"] == "The contact entered."
        assert "No trigger" in page["items"][3]["sentence"]
        assert (await script.get(at)).json()["items"] == []
        assert (await script.get(at, params={"workflow": str(UUID(int=5))})).status_code == 404
        assert (await script.get(at, params={"workflow": "x"})).status_code in (404, 422)
    async with world.browser(who) as browser:
        shown = await browser.get(at, params={"workflow": str(flow)})
        assert "The contact entered." in shown.text
        assert "Worked out now" in shown.text
    async with world.script(await world.person()) as stranger:
        assert (await stranger.get(at)).status_code == 404
