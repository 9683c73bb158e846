"""Why, and why not."""

import json
from uuid import UUID

from app.engine.core.draft import Audience, WorkflowSettings
from app.engine.core.steps import Exit
from app.engine.core.triggers import ContactUpdated
from app.filters.ast import Group
from app.web.paging import USUAL_PAGE
from db.ids import uuid7
from tests.support.fakes import Outside, TestClock
from tests.support.scenario import Stage, ask
from tests.support.world import World


async def test_every_event_has_an_explanation(world: World, clock: TestClock, outside: Outside) -> None:
    who = await world.person("viewer")
    stage = Stage(world, who.account_id, clock, outside)
    trigger = ContactUpdated(key="t1", fields=["city"], filter=ask("city", "is", "Oslo"))
    flow = await stage.workflow([Exit()], trigger, settings=WorkflowSettings())
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
        assert [(item["verdict"], item["evaluated_now"]) for item in page["items"]] == [
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
        assert "Based on current values" in shown.text
    async with world.script(await world.person()) as stranger:
        assert (await stranger.get(at)).status_code == 404


async def test_values_seen_are_shown_by_name(world: World, clock: TestClock, outside: Outside) -> None:
    who = await world.person("viewer")
    stage = Stage(world, who.account_id, clock, outside)
    texans, vip = await stage.segment(ask("state", "is", "TX")), await stage.tag("vip")
    await stage.sql("update segments set name = 'Texans' where id = $1", texans)
    other = await stage.workflow([Exit()], ContactUpdated(key="t1", fields=["state"]))
    conditions = [
        ask("segments", "any_of", [str(texans)]),
        ask("workflows", "active_in", [str(other)]),
        ask("history", "happened", ["tag.added", 2, "1 day"]),
        ask("tags", "none_of", [str(vip)]),
        ask("owner", "is", str(who.user_id)),
    ]
    trigger = ContactUpdated(key="t1", fields=["city"], filter=Group("all", [*conditions]))
    flow = await stage.workflow([Exit()], trigger)
    person = await stage.contact(owner_id=str(who.user_id))
    await stage.add_tag(person, vip)
    await stage.change(person, "city", "Oslo")
    await stage.drain()
    at = f"/contacts/{person}/why?workflow={flow}"
    words = {
        "Segments": "not in Texans",
        "Workflows": "never in Welcome",
        "History": "Tag added once in the last 1 day",
        "Tags": "vip",
        "Owner": who.name,
    }
    async with world.script(who) as script:
        line = (await script.get(at)).json()["items"][0]
        assert (line["verdict"], line["evaluated_now"]) == ("filter_false", False)
        assert {seen_value["label"]: seen_value["words"] for seen_value in line["values"]} == words
        [segments] = [seen_value for seen_value in line["values"] if seen_value["field"] == "segments"]
        assert (
            segments["value"] == line["detail"]["values"]["segments"] == {"in": [], "not_in": [str(texans)]}
        )
        assert segments["names"] == {str(texans): "Texans"}
    async with world.browser(who) as browser:
        shown = (await browser.get(at)).text
        assert all(f"{label}: {sentence}" in shown for label, sentence in words.items())
        assert str(texans) not in shown


async def test_older_events_are_on_the_next_page(world: World, clock: TestClock, outside: Outside) -> None:
    who = await world.person("viewer")
    stage = Stage(world, who.account_id, clock, outside)
    flow = await stage.workflow([Exit()], ContactUpdated(key="t1", fields=["city"]))
    person = await stage.contact()
    event_ids = [str(await stage.emit("note.added", person)) for _ in range(USUAL_PAGE + 2)]
    async with world.script(who) as script:
        first = (await script.get(f"/contacts/{person}/why", params={"workflow": str(flow)})).json()
        assert [item["event_id"] for item in first["items"]] == event_ids[:1:-1]
        assert first["previous"] == ""
        last = (await script.get(first["next"])).json()
        assert [item["event_id"] for item in last["items"]] == [event_ids[1], event_ids[0]]
        assert last["next"] == ""
        back = (await script.get(last["previous"])).json()
        assert (back["items"], back["previous"]) == (first["items"], "")
        assert (await script.get(back["next"])).json()["items"] == last["items"]
    async with world.browser(who) as browser:
        shown = (await browser.get(f"/contacts/{person}/why", params={"workflow": str(flow)})).text
        assert 'rel="next"' in shown
        assert 'rel="next"' not in (await browser.get(first["next"])).text


async def test_events_without_a_decision_are_explained(
    world: World, clock: TestClock, outside: Outside
) -> None:
    who = await world.person("viewer")
    stage = Stage(world, who.account_id, clock, outside)
    trigger = ContactUpdated(key="t1", fields=["city"])
    closed = WorkflowSettings(audience=Audience.CURRENT_ONLY)
    entry = ask(f"custom.{UUID(int=7)}", "is", "x")
    flows = {
        "archived": await stage.workflow([Exit()], trigger, status="archived"),
        "isn't published": await stage.workflow([Exit()], trigger, status="draft"),
        "can't run": await stage.workflow([Exit()], trigger, entry=entry),
        "matched when it was published": await stage.workflow([Exit()], trigger, settings=closed),
    }
    await stage.sql("update workflows set live_version = null where id = $1", flows["isn't published"])
    person = await stage.contact()
    at = f"/contacts/{person}/why"
    await stage.change(person, "city", "Oslo")
    async with world.script(who) as script:

        async def explanation(flow: UUID) -> str:
            [line] = (await script.get(at, params={"workflow": str(flow)})).json()["items"]
            assert (line["verdict"], line["evaluated_now"]) == ("", False)
            return str(line["sentence"])

        assert "Not checked yet" in await explanation(flows["can't run"])
        await stage.drain()
        for expected, flow in flows.items():
            assert expected in await explanation(flow)
        # As the matcher notes what it cannot decide on: one workflow alone, then the event as a whole.
        [event] = await stage.sql("select id from events where subject_id = $1", person)
        for reason, over in (
            (f"could not start workflow {flows['archived']}", 1),
            ("could not be matched", 4),
        ):
            await stage.sql(
                "insert into audit_logs (account_id, id, occurred_at, actor_kind, actor_id, actor_name, "
                "action,"
                " subject_kind, subject_id, changes) values ($1, $2, now(), 'system', '', 'Engine',"
                " 'event.skipped', 'contact', $3, $4::jsonb)",
                who.account_id, uuid7(), str(person),
                json.dumps({"event": [str(event["id"]), f"contact.updated {reason}: Boom"]}),
            )  # fmt: skip
            assert sum(["Skipped because" in await explanation(flow) for flow in flows.values()]) == over
    async with world.browser(who) as browser:
        assert "Skipped because" in (await browser.get(at, params={"workflow": str(flow)})).text
        assert f'href="{at}"' in (await browser.get(f"/contacts/{person}")).text
