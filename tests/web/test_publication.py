"""The plan of a publication and the moves of enrollments; pause and hold: pages, JSON, viewers, other
accounts."""

from typing import Any

import httpx

from db.ids import uuid7
from tests.support.pages import Page
from tests.support.sample_account import Cast, cast_of
from tests.support.world import World


async def ready(world: World, effect: str = "sent") -> Cast:
    """A contact waits at s2 of version 1, and the draft has one step more."""
    cast = await cast_of(world)
    await world.sql("update contacts set city = 'Paris' where id = $1", cast.contact)
    await world.sql("update effects set status = $2 where id = $1", cast.effect, effect)
    return cast


async def edited(client: httpx.AsyncClient, at: str) -> int:
    """A longer wait and a note at the end; the revision."""
    wait = {"kind": "wait", "amount": 3, "unit": "hours"}
    first = await client.post(f"{at}/steps/s2", json={"rev": 1, "config": wait})
    assert first.status_code == 200, first.text
    note = {"kind": "add_note", "text": "Done"}
    last = {"rev": 2, "kind": "add_note", "list": "main", "position": 9, "config": note}
    second = await client.post(f"{at}/steps", json=last)
    assert second.status_code == 201, second.text
    rev: int = second.json()["workflow"]["rev"]
    return rev


async def test_plan_shows_changes_and_enrollments_by_step(world: World) -> None:
    cast = await ready(world)
    at = f"/workflows/{cast.workflow}"
    async with world.script(cast.owner) as client:
        await edited(client, at)
        plan = (await client.get(f"{at}/publication")).json()
        assert plan["audience"] == {"audience": "future_only", "contacts": None}
        lines = {(line["change"], line["key"]): line for line in plan["plan"]}
        assert set(lines) == {("changed", "s2"), ("added", "s5")}
        assert (lines["changed", "s2"]["before"], lines["changed", "s2"]["after"]) == (
            "Wait 1 minute", "Wait 3 hours",
        )  # fmt: skip
        [group] = plan["standing"]
        assert (group["version"], group["step"], group["enrollments"], group["under_way"]) == (1, "s2", 1, 0)
        assert (group["wait_unchanged"], group["new_first"] > group["due_first"]) == (False, True)
        values = [option["value"] for option in group["options"]]
        assert values == ["finish", "s2", "s1", "s3", "s4", "s5", "exit"]
    async with world.browser(cast.owner) as client:
        page = await client.get(f"{at}/publication")
        assert page.status_code == 200
        for sentence in (
            "Wait 1 minute → Wait 3 hours",
            "Finish on version 1",
            "if moved along, it ends",
            '<span class="badge ok">Added</span>',
            "Publish version 2",
        ):
            assert sentence in page.text, sentence
        [form] = [form for form in Page(page.text, at).forms if form.action == f"{at}/publication"]
        assert {"choices.0.to", "choices.0.enrollments", "choices.0.version", "choices.0.step"} <= set(
            form.names
        )


async def test_publication_form_moves_enrollments(world: World) -> None:
    cast = await ready(world)
    at = f"/workflows/{cast.workflow}"
    async with world.script(cast.owner) as client:
        rev = await edited(client, at)
    form: dict[str, Any] = {
        "account": str(cast.account), "rev": rev, "choices.0.version": "1", "choices.0.step": "s2",
        "choices.0.enrollments": "1", "choices.0.to": "s2",
    }  # fmt: skip
    async with world.browser(cast.owner) as client:
        stale = await client.post(f"{at}/publication", data=form | {"choices.0.enrollments": "7"})
        assert (stale.status_code, "have moved since you opened" in stale.text) == (409, True)
        assert '<option value="s2" selected>' in stale.text, "what was chosen is still chosen"
        old = await client.post(f"{at}/publication", data=form | {"rev": rev - 1})
        assert old.status_code == 409
        done = await client.post(f"{at}/publication", data=form)
        assert (done.status_code, done.headers["location"]) == (303, at)
    async with world.script(cast.owner) as client:
        page = (await client.get(f"/enrollments/{cast.enrollment}")).json()
        assert (page["version"], page["step_key"], page["wait_reason"]) == (2, "s2", "timer")
        assert [(move["from_version"], move["to_version"]) for move in page["moves"]][1:] == [(1, 2)]
        plan = (await client.get(f"{at}/publication")).json()
        assert (plan["standing"], plan["plan"], plan["actions"]) == ([], [], [])
    async with world.browser(cast.owner) as client:
        shown = await client.get(f"/enrollments/{cast.enrollment}")
        assert "Version 1 → 2" in shown.text
    assert ("workflow.published", "workflow") in await world.audit(cast.account)


async def test_enrollments_can_be_moved_later_without_a_new_version(world: World) -> None:
    cast = await ready(world)
    at = f"/workflows/{cast.workflow}"
    async with world.script(cast.owner) as client:
        rev = await edited(client, at)
        first = await client.post(f"{at}/publication", json={"rev": rev})
        assert (first.status_code, first.json()["version"], first.json()["moved"]) == (201, 2, 0)
        choice = {"version": 1, "step": "s2", "enrollments": 1, "to": "exit"}
        again = await client.post(f"{at}/publication", json={"rev": rev, "choices": [choice]})
        assert (again.status_code, again.json()["version"], again.json()["exited"]) == (201, 2, 1)
        nothing = await client.post(f"{at}/publication", json={"rev": rev})
        assert nothing.status_code == 409
        page = (await client.get(f"/enrollments/{cast.enrollment}")).json()
        assert (page["status"], page["exit_reason"]) == ("exited", "removed_by_user")


async def test_plan_shows_effects_in_flight(world: World) -> None:
    cast = await ready(world, "unknown")
    at = f"/workflows/{cast.workflow}"
    async with world.script(cast.owner) as client:
        rev = await edited(client, at)
        [group] = (await client.get(f"{at}/publication")).json()["standing"]
        assert group["under_way"] == 1
        choice = {"version": 1, "step": "s2", "enrollments": 1, "to": "s2"}
        done = await client.post(f"{at}/publication", json={"rev": rev, "choices": [choice]})
        assert (done.json()["moved"], done.json()["under_way"]) == (0, 1)
    async with world.browser(cast.owner) as client:
        page = await client.get(f"{at}/publication")
        assert "be moved: a message may be going out" in page.text


async def test_the_audience_is_counted_first(world: World) -> None:
    cast = await ready(world)
    at = f"/workflows/{cast.workflow}"
    async with world.script(cast.owner) as client:
        settings = {"rev": 1, "audience": "current_and_future"}
        saved = await client.post(f"{at}/settings", json=settings)
        assert saved.status_code == 200, saved.text
        plan = (await client.get(f"{at}/publication")).json()
        assert plan["audience"] == {"audience": "current_and_future", "contacts": 1}
        assert [line["title"] for line in plan["plan"]] == ["Enroll on publishing"]
        rev = plan["workflow"]["rev"]
        assert (await client.post(f"{at}/publication", json={"rev": rev})).status_code == 201
    [job] = await world.sql(
        "select task, total from jobs where task = 'workflow.audience' and account_id = $1", cast.account
    )
    assert tuple(job) == ("workflow.audience", 1)


async def test_publishing_keeps_a_pause_and_reports_it(world: World) -> None:
    cast = await ready(world)
    at = f"/workflows/{cast.workflow}"
    async with world.script(cast.owner) as client:
        assert (await client.post(f"{at}/pause")).status_code == 204
        rev = await edited(client, at)
        [warning] = (await client.get(f"{at}/publication")).json()["warnings"]
        assert "stays paused" in warning
        done = await client.post(f"{at}/publication", json={"rev": rev})
        assert (done.status_code, done.json()["version"], done.json()["paused"]) == (201, 2, True)
        header = (await client.get(at)).json()["workflow"]
        assert (header["status"], header["live_version"]) == ("paused", 2)
        again = await client.post(f"{at}/publication", json={"rev": rev})
        assert (again.status_code, "Resume it" in again.text) == (409, True), "publishing is no resume"
        assert (await client.post(f"{at}/settings", json={"rev": rev, "audience": "current_only"})).is_success
    async with world.browser(cast.owner) as client:
        page = await client.get(f"{at}/publication")
        assert ("stays paused" in page.text, "be rejected" in page.text) == (True, True)
        form = {"account": str(cast.account), "rev": str(rev + 1)}
        assert (await client.post(f"{at}/publication", data=form)).status_code == 303
        shown = (await client.get(at)).text
        assert ("still paused" in shown, "Paused: no new contacts enter." in shown) == (True, True)
    async with world.script(cast.owner) as client:
        assert (await client.post(f"{at}/pause/deletion")).status_code == 204
        header = (await client.get(at)).json()["workflow"]
        assert (header["status"], header["live_version"]) == ("active", 3)


async def test_plan_shows_what_imports_and_bulk_edits_start(world: World) -> None:
    owner = await world.person()
    async with world.script(owner) as client:
        at = f"/workflows/{(await client.post('/workflows', json={'name': 'New'})).json()['workflow']['id']}"
        config = {"kind": "contact_created", "sources": ["user", "bulk"]}
        bodies: list[dict[str, Any]] = [
            {"kind": "contact_created"},
            {"kind": "contact_created", "config": config},
            {"kind": "schedule"},
            {"kind": "manual"},
        ]
        for body in bodies:
            rev = (await client.get(at)).json()["workflow"]["rev"]
            response = await client.post(f"{at}/triggers", json=body | {"rev": rev})
            assert response.status_code == 201, response.text
        plan = (await client.get(f"{at}/publication")).json()
        assert plan["workflow"]["live_version"] is None, "the first publication says it too"
        shown = [
            (trigger["imports"], trigger["bulk_edits"], trigger["sentence"][:7])
            for trigger in plan["triggers"]
        ]
        assert shown == [(True, True, "Imports"), (False, True, "Bulk ed"), (False, False, "It star"),
                         (False, True, "Contact")]  # fmt: skip
        assert plan["triggers"][1]["sources"] == ["members", "bulk edits"]
        assert "imports" not in plan["triggers"][3]["sources"]
    async with world.browser(owner) as client:
        page = (await client.get(f"{at}/publication")).text
        assert "Imports, bulk edits and single changes all start it" in page
        assert "Starts on changes by members, bulk edits. <strong>Bulk edits start it; imports don" in page
        assert "Listens to Switchyard itself" not in page, "a clock is not listened to"
        [clocked, changed] = [(await client.get(f"{at}/triggers/{key}")).text for key in ("t3", "t1")]
        assert ("Start on changes" in clocked, "Start on changes" in changed) == (False, True)
        assert '<input type="hidden" name="config.sources" value="system">' in clocked
    async with world.script(owner) as client:
        rev = (await client.get(at)).json()["workflow"]["rev"]
        await client.post(f"{at}/settings", json={"rev": rev, "audience": "current_only"})
        triggers = (await client.get(f"{at}/publication")).json()["triggers"]
        assert [trigger["imports"] for trigger in triggers] == [False] * 4


async def test_out_of_range_numbers_are_refused(world: World) -> None:
    cast = await ready(world)
    at = f"/workflows/{cast.workflow}"
    async with world.script(cast.owner) as client:
        rev = await edited(client, at)
        choice = {"version": 3_000_000_000, "step": "s2", "enrollments": 1, "to": "exit"}
        beyond = await client.post(f"{at}/publication", json={"rev": rev, "choices": [choice]})
        assert (beyond.status_code, "choices.0.version" in beyond.json()["errors"]) == (422, True), (
            beyond.text
        )
        moved = await client.post(f"{at}/steps/s1/position", json={"rev": rev, "to": f"main:{'9' * 20}"})
        assert moved.status_code == 200, moved.text
        assert [step["key"] for step in (await client.get(at)).json()["steps"]][-1] == "s1"
    async with world.browser(cast.owner) as client:
        form = {
            "account": str(cast.account), "rev": rev + 1, "choices.0.version": "3000000000",
            "choices.0.step": "s2", "choices.0.enrollments": "1", "choices.0.to": "exit",
        }  # fmt: skip
        assert (await client.post(f"{at}/publication", data=form)).status_code == 422


async def test_step_with_different_wait_reasons_shows_none(world: World) -> None:
    cast = await ready(world)
    at = f"/workflows/{cast.workflow}"
    contact, another = uuid7(), uuid7()
    await world.sql("insert into contacts (account_id, id) values ($1, $2)", cast.account, contact)
    await world.sql(
        "insert into enrollments select (jsonb_populate_record(e, jsonb_build_object("
        "'id', $2::uuid, 'contact_id', $3::uuid, 'wait_reason', null, 'wait_until', null))).* "
        "from enrollments e where id = $1",
        cast.enrollment, another, contact,
    )  # fmt: skip
    async with world.script(cast.owner) as client:
        await edited(client, at)
        [group] = (await client.get(f"{at}/publication")).json()["standing"]
    assert (group["enrollments"], group["reason"], group["new_first"]) == (2, None, None)


async def test_every_offered_merge_tag_is_accepted(world: World) -> None:
    cast = await ready(world)
    at = f"/workflows/{cast.workflow}"
    async with world.script(cast.owner) as client:
        sheet = (await client.get(f"{at}/steps/s1")).json()["sheet"]
        config = {"kind": "add_note", "text": " ".join(sheet["merge_tags"])}
        body = {"rev": 1, "kind": "add_note", "list": "main", "position": 9, "config": config}
        response = await client.post(f"{at}/steps", json=body)
    assert response.status_code == 201, response.text
    assert "{{ contact.first_name }}" in sheet["merge_tags"]


async def test_hold_and_release(world: World) -> None:
    cast = await ready(world)
    at = f"/workflows/{cast.workflow}"
    viewer, stranger = await world.person("viewer", cast.account), await world.person()
    async with world.script(viewer) as client:
        assert (await client.post(f"{at}/hold")).status_code == 403
    async with world.script(stranger) as client:
        for path in ("hold", "hold/deletion"):
            assert (await client.post(f"{at}/{path}")).status_code == 404
    async with world.browser(cast.owner) as client:
        done = await client.post(f"{at}/hold", data={"account": str(cast.account)})
        assert done.headers["location"] == f"{at}/settings"
        page = await client.get(f"{at}/settings")
        assert "On hold: enrollments" in page.text
        assert f'action="{at}/hold/deletion"' in page.text
        person = await client.get(f"/enrollments/{cast.enrollment}")
        assert '<span class="badge warn">Held</span>' in person.text
    async with world.script(cast.owner) as client:
        shown = (await client.get(f"/enrollments/{cast.enrollment}")).json()
        assert (shown["wait_reason"], shown["held"]) == ("paused_workflow", True)
        names = {action["name"] for action in (await client.get(f"{at}/settings")).json()["actions"]}
        assert ("release" in names, "hold" in names, "pause" in names) == (True, False, True)
        assert (await client.post(f"{at}/hold/deletion")).status_code == 204
        shown = (await client.get(f"/enrollments/{cast.enrollment}")).json()
        assert shown["wait_reason"] == "timer"
    audit = set(await world.audit(cast.account))
    assert {("workflow.held", "workflow"), ("workflow.released", "workflow")} <= audit


async def test_a_viewer_sees_the_plan_and_changes_nothing(world: World) -> None:
    cast = await ready(world)
    at = f"/workflows/{cast.workflow}"
    viewer, stranger = await world.person("viewer", cast.account), await world.person()
    async with world.script(viewer) as client:
        plan = (await client.get(f"{at}/publication")).json()
        assert (len(plan["standing"]), plan["actions"]) == (0, [])
        assert (await client.post(f"{at}/publication", json={"rev": 1})).status_code == 403
    async with world.script(stranger) as client:
        assert (await client.get(f"{at}/publication")).status_code == 404
        assert (await client.post(f"{at}/publication", json={"rev": 1})).status_code == 404


async def test_restoring_a_version_lists_missing_references(world: World) -> None:
    cast = await ready(world)
    at = f"/workflows/{cast.workflow}"
    async with world.script(cast.owner) as client:
        rev = await edited(client, at)
        assert (await client.post(f"{at}/publication", json={"rev": rev})).status_code == 201
        await world.sql("delete from tags where id = $1", cast.tag)  # one that a trigger of version 1 names
        stale = await client.post(f"{at}/versions/1/restoration", json={"rev": rev - 1})
        assert stale.status_code == 409
        done = await client.post(f"{at}/versions/1/restoration", json={"rev": rev})
        assert done.status_code == 200
        draft = done.json()
        assert [step["key"] for step in draft["steps"]] == ["s1", "s2", "s3", "s4"]
        assert draft["steps"][1]["config"]["unit"] == "minutes"
        assert (draft["workflow"]["rev"], draft["workflow"]["live_version"]) == (rev + 1, 2), (
            "nothing went live"
        )
        assert any(problem["step"] == "t1" for problem in draft["problems"]), draft["problems"]
        refused = await client.post(f"{at}/publication", json={"rev": rev + 1})
        assert refused.status_code == 422
        back = (await client.post(f"{at}/undo", json={"rev": rev + 1})).json()
        assert [step["key"] for step in back["steps"]] == ["s1", "s2", "s3", "s4", "s5"]
        exit_step = {"rev": rev + 2, "kind": "exit", "list": "main", "position": 9}
        fresh = (await client.post(f"{at}/steps", json=exit_step)).json()
        assert fresh["sheet"]["key"] == "s6", "keys are never used twice"
    viewer = await world.person("viewer", cast.account)
    async with world.script(viewer) as client:
        assert (await client.post(f"{at}/versions/1/restoration", json={"rev": 1})).status_code == 403
