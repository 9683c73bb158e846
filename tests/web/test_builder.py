"""The builder: by forms, by htmx and by JSON, on the real app."""

import re
from typing import Any

from tests.support.builder_kit import STAGE, STATE, build, insert, new_workflow
from tests.support.web_kit import HTML, JSON
from tests.support.world import World

PARTIAL = {**HTML, "hx-request": "true", "hx-request-type": "partial"}


async def test_json_client_builds_and_publishes_a_workflow(world: World) -> None:
    owner = await world.person()
    async with world.script(owner) as client:
        at = await new_workflow(client)
        rev = await build(client, at)
        page = (await client.get(at)).json()
        assert [step["kind"] for step in page["steps"]] == ["send_email", "wait", "branch", "goal"]
        assert [lane["label"] for lane in page["steps"][2]["lanes"]] == ["California", "Else"]
        plan = (await client.get(f"{at}/publication")).json()
        assert (plan["problems"], [action["name"] for action in plan["actions"]]) == ([], ["publish"])
        answer = await client.post(f"{at}/publication", json={"rev": rev})
        assert (answer.status_code, answer.json()["version"]) == (201, 1)
        again = await client.post(f"{at}/publication", json={"rev": rev})
        assert (again.status_code, "Nothing has changed" in again.json()["detail"]) == (409, True)
        page = (await client.get(at)).json()
        assert (page["workflow"]["status"], page["workflow"]["live_version"]) == ("active", 1)
        assert not page["workflow"]["changed"]
        rows = (await client.get(f"{at}/versions")).json()["items"]
        assert [(row["number"], row["current"]) for row in rows] == [(1, True)]
        assert (await client.get(f"{at}/versions/1")).json()["document"]["number"] == 1
        assert (await client.get(f"{at}/versions/2")).status_code == 404
    versions = await world.sql(
        "select kind, count(*) from workflow_references where account_id = $1 group by 1 order by 1",
        owner.account_id,
    )
    assert [tuple(row) for row in versions] == [("field", 3), ("tag", 2)]
    actions = [action for action, _ in await world.audit(owner.account_id)]
    assert (actions.count("workflow.created"), actions.count("workflow.updated")) == (1, 6)
    assert actions[-1] == "workflow.published"


async def test_builder_works_without_javascript(world: World) -> None:
    owner = await world.person()
    async with world.browser(owner) as client:
        account = {"account": str(owner.account_id)}
        response = await client.post("/workflows", data=account | {"name": "By hand"})
        at = response.headers["location"]
        assert response.status_code == 303
        assert "Nothing starts" in (await client.get(f"{at}/publication")).text
        assert "Tag added" in (await client.get(f"{at}/triggers/new")).text
        added = await client.post(f"{at}/triggers", data=account | {"rev": "0", "kind": "tag_added"})
        assert added.headers["location"] == f"{at}/triggers/t1"
        form = account | {
            "rev": "1",
            "config.kind": "tag_added",
            "config.tag": "vip",
            "config.sources": "user",
        }
        assert (await client.post(f"{at}/triggers/t1", data=form)).status_code == 303
        picker = await client.get(f"{at}/steps/new?list=main&position=0")
        assert (picker.status_code, 'name="kind" value="send_email"' in picker.text) == (200, True)
        place = {"list": "main", "position": "0"}
        answer = await client.post(f"{at}/steps", data=account | place | {"rev": "2", "kind": "send_email"})
        assert answer.headers["location"] == f"{at}/steps/s2"
        assert "The email has no subject." in (await client.get(f"{at}/steps/s2")).text
        mail = account | {
            "rev": "3",
            "config.kind": "send_email",
            "config.subject": "Hi {{ contact.first_nam }}",
        }
        refused = await client.post(f"{at}/steps/s2", data=mail | {"config.body": "Text"})
        assert refused.status_code == 422
        assert "first_name" in refused.text
        assert "Hi {{ contact.first_nam }}" in refused.text
        right = mail | {"config.subject": "Hi {{ contact.first_name }}", "config.body": "Text"}
        saved = await client.post(f"{at}/steps/s2", data=right)
        assert (saved.status_code, saved.headers["location"]) == (303, f"{at}/steps/s2")
        done = await client.post(f"{at}/publication", data=account | {"rev": "4"})
        assert (done.status_code, done.headers["location"]) == (303, at)
        assert "Live v1" in (await client.get(at)).text


async def test_a_filter_is_edited_in_rows(world: World) -> None:
    owner = await world.person()
    async with world.browser(owner) as client:
        account = {"account": str(owner.account_id)}
        at = (await client.post("/workflows", data=account | {"name": "Rows"})).headers["location"]
        row = account | {"rev": "0", "filter.type": "rows", "filter.match": "any"}
        row |= {"filter.rows.0.field": "state", "filter.rows.0.op": "is", "filter.rows.0.values": "CA"}
        more = await client.post(f"{at}/entry", data=row | {"more": "filter.rows"})
        assert (more.status_code, "filter.rows.1.field" in more.text) == (200, True)
        assert 'value="CA"' in more.text
        less = await client.post(f"{at}/entry", data=row | {"less": "filter.rows.0"})
        assert 'value="CA"' not in less.text
        for nowhere in ("filter.match.rows.more", "filter.rows.x.y", "filter.rows.9.z"):
            for button in ("more", "less"):
                same = await client.post(f"{at}/entry", data=row | {button: nowhere})
                assert (same.status_code, 'value="CA"' in same.text) == (200, True)
        two = row | {
            "filter.rows.2.field": "tags",
            "filter.rows.2.op": "any_of",
            "filter.rows.2.search": "vop",
        }
        wrong = await client.post(f"{at}/entry", data=two)
        assert (wrong.status_code, "There is no tag “vop”." in wrong.text) == (422, True)
        typo = await client.post(f"{at}/entry", data=row | {"filter.rows.0.field": "stat"})
        assert (typo.status_code, "Did you mean “state”?" in typo.text) == (422, True)
        assert (await client.post(f"{at}/entry", data=row)).status_code == 303
        assert "Only if State is CA" in (await client.get(at)).text
        assert (await client.post(f"{at}/entry", data=account | {"rev": "1"})).status_code == 303
        assert "Only if State is CA" in (await client.get(at)).text, "what was not sent stays"
        none = account | {"rev": "2", "filter.type": "rows", "filter.rows.0.field": ""}
        assert (await client.post(f"{at}/entry", data=none)).status_code == 303
        assert "No entry condition" in (await client.get(at)).text


async def test_rows_of_a_filter_follow_their_field(world: World) -> None:
    owner = await world.person()
    async with world.browser(owner) as client:
        account = {"account": str(owner.account_id)}
        at = (await client.post("/workflows", data=account | {"name": "Rows"})).headers["location"]
        await client.post(f"{at}/steps", data=account | {"rev": "0", "kind": "branch"})
        lane = "config.branches.0.filter"
        row = account | {"rev": "1", "config.kind": "branch", "config.branches.0.name": "Fans"}
        row |= {f"{lane}.type": "rows", f"{lane}.rows.0.field": "tags", f"{lane}.rows.0.was": "state",
                f"{lane}.rows.0.op": "is", f"{lane}.rows.0.values": "CA"}  # fmt: skip
        hurried = await client.post(f"{at}/steps/s1", data=row)
        assert (hurried.status_code, "Complete the condition on Tags." in hurried.text) == (422, True)
        shown = await client.post(f"{at}/steps/s1", data=row | {"show": f"{lane}.rows.0"}, headers=PARTIAL)
        assert shown.headers["hx-retarget"] == "#row-config-branches-0-filter-rows-0"
        assert ("include any of" in shown.text, 'value="Fans"' in shown.text) == (True, True)
        row |= {f"{lane}.rows.0.was": "tags", f"{lane}.rows.0.op": "any_of", f"{lane}.rows.0.values": "",
                f"{lane}.rows.0.search": "fan"}  # fmt: skip
        answer = await client.post(f"{at}/steps/s1", data=row | {"make": f"{lane}.rows.0"}, headers=PARTIAL)
        [tag] = await world.sql("select id, name from tags where account_id = $1", owner.account_id)
        assert (answer.status_code, tag["name"]) == (200, "fan")
        assert f'value="{tag["id"]}" checked' in answer.text
        row |= {f"{lane}.rows.0.values": str(tag["id"]), f"{lane}.rows.1.match": "any"}
        for number, city in enumerate(("Rome", "Oslo")):
            row |= {f"{lane}.rows.1.rows.{number}.{name}": text for name, text in
                    (("field", "city"), ("op", "is"), ("values", city))}  # fmt: skip
        saved = await client.post(f"{at}/steps/s1", data=row)
        assert saved.status_code == 303, saved.text
        page = (await client.get(f"{at}/steps/s1", headers=JSON)).json()
        [stored] = [lane["filter"] for lane in page["steps"][0]["config"]["branches"]]
        assert [item["type"] for item in stored["items"]] == ["predicate", "group"]
        assert [item["value"] for item in stored["items"][1]["items"]] == ["Rome", "Oslo"]
        form = (await client.get(f"{at}/steps/s1")).text
        assert f'name="{lane}.rows.1.rows.1.values" value="Oslo"' in form
        viewer = await world.person("viewer", owner.account_id)
        async with world.browser(viewer) as other:
            refused = await other.post(f"{at}/steps/s1", data=row | {"make": f"{lane}.rows.0"})
            assert refused.status_code == 403


async def test_a_branch_gains_and_loses_lanes(world: World) -> None:
    owner = await world.person()
    async with world.script(owner) as client:
        at = await new_workflow(client)
        two = [{"name": "A", "filter": STATE}, {"name": "B", "filter": STAGE}]
        page = await insert(client, at, 0, "branch", config={"kind": "branch", "branches": two})
        assert [lane["list_id"] for lane in page["steps"][0]["lanes"]] == ["s1.b1", "s1.b2", "s1.else"]
        await insert(client, at, 1, "exit", list="s1.b2")
        one_lane = {"kind": "branch", "branches": [{"key": "b1", "name": "A", "filter": STATE}]}
        refused = await client.post(f"{at}/steps/s1", json={"rev": 2, "config": one_lane})
        assert (refused.status_code, "still has steps" in refused.text) == (422, True)
        moved = await client.post(f"{at}/steps/s2/position", json={"rev": 2, "to": "main:1"})
        assert [step["key"] for step in moved.json()["steps"]] == ["s1", "s2"]
        fewer = await client.post(f"{at}/steps/s1", json={"rev": 3, "config": one_lane})
        assert [lane["key"] for lane in fewer.json()["steps"][0]["lanes"]] == ["b1", "else"]
        up = await client.post(f"{at}/steps/s2/position", json={"rev": 4, "dir": "up"})
        assert [step["key"] for step in up.json()["steps"]] == ["s2", "s1"]
        inside = {"rev": 5, "list": "s1.b1", "position": 0}
        assert (await client.post(f"{at}/steps/s1/position", json=inside)).status_code == 422


async def test_undo_and_redo(world: World) -> None:
    owner = await world.person()
    async with world.script(owner) as client:
        at = await new_workflow(client)
        await insert(client, at, 0, "exit")
        await insert(client, at, 1, "wait")

        async def go(way: str, rev: int) -> list[str]:
            answer = await client.post(f"{at}/{way}", json={"rev": rev})
            assert answer.status_code == 200, answer.text
            return [step["kind"] for step in answer.json()["steps"]]

        assert await go("undo", 2) == ["exit"]
        assert await go("undo", 3) == []
        assert (await client.post(f"{at}/undo", json={"rev": 4})).status_code == 409
        assert await go("redo", 4) == ["exit"]
        assert await go("redo", 5) == ["exit", "wait"]
        assert (await client.post(f"{at}/redo", json={"rev": 6})).status_code == 409
        assert await go("undo", 6) == ["exit"]
        page = await insert(client, at, 7, "exit")
        assert page["sheet"]["key"] == "s3", "a key is never used twice"
        assert page["redo"] == ""


async def test_stale_revision_is_refused_with_the_current_draft(world: World) -> None:
    owner = await world.person()
    async with world.script(owner) as client:
        at = await new_workflow(client)
        await insert(client, at, 0, "exit")
        stale = await client.post(f"{at}/steps", json={"kind": "wait", "rev": 0})
        assert (stale.status_code, stale.json()["current"]["rev"]) == (409, 1)
        assert stale.json()["current"]["draft"]["steps"][0]["key"] == "s1"
    async with world.browser(owner) as client:
        form = {"account": str(owner.account_id), "rev": "0", "kind": "wait"}
        page = await client.post(f"{at}/steps", data=form)
        assert (page.status_code, "changed in the meantime by Owner" in page.text) == (409, True)
        assert 'id="li-s1"' in page.text
        answer = await client.post(f"{at}/steps", data=form, headers=PARTIAL)
        assert (answer.status_code, "<html" in answer.text) == (409, False)


async def test_stale_step_form_shows_typed_and_saved_values(world: World) -> None:
    owner = await world.person()
    async with world.script(owner) as client:
        at = await new_workflow(client)
        await insert(client, at, 0, "send_email")
        config = {"kind": "send_email", "subject": "Theirs", "body": "Hello"}
        saved = await client.post(f"{at}/steps/s1", json={"rev": 1, "config": config})
        assert saved.json()["undo"] == "Edited “Email: Theirs”"
    async with world.browser(owner) as client:
        form = {"account": str(owner.account_id), "rev": "1", "config.kind": "send_email"}
        form |= {"config.subject": "Mine", "config.body": "Hello"}
        for headers in ({}, PARTIAL):
            page = await client.post(f"{at}/steps/s1", data=form, headers=headers)
            assert page.status_code == 409
            assert "Your changes are kept below. Saving again replaces the version below." in page.text
            assert "Currently saved: <b>Email: Theirs · Hello</b>" in page.text
            assert ('value="Mine"' in page.text, 'name="rev" value="2"' in page.text) == (True, True)
        page = await client.get(f"{at}/steps/s1")
        assert ("Your changes are kept" in page.text, 'value="Theirs"' in page.text) == (False, True)


async def test_htmx_gets_the_workbench_and_its_updates(world: World) -> None:
    owner = await world.person()
    async with world.browser(owner) as client:
        account = {"account": str(owner.account_id)}
        at = (await client.post("/workflows", data=account | {"name": "Live"})).headers["location"]
        plan = await client.get(f"{at}/publication")
        assert "The draft has no steps yet." in plan.text
        sheet = await client.get(f"{at}/steps/new?list=main&position=0", headers=PARTIAL)
        assert ('id="sheet"' in sheet.text, "<html" in sheet.text) == (True, False)
        form = account | {"rev": "0", "kind": "wait", "list": "main", "position": "0"}
        response = await client.post(f"{at}/steps", data=form, headers=PARTIAL)
        assert (response.status_code, response.headers["hx-push-url"]) == (200, f"{at}/steps/s1")
        assert 'hx-target="#workflow-tools"' in response.text
        counts = await client.get(f"{at}/counts", headers=PARTIAL)
        assert '<hx-partial hx-target="#n-s1" hx-swap="innerHTML">0 waiting</hx-partial>' in counts.text


async def test_forms_and_json_actions_match(world: World) -> None:
    owner = await world.person()
    async with world.script(owner) as client:
        at = await new_workflow(client)
        rev = await build(client, at)
        await client.post(f"{at}/publication", json={"rev": rev})
        await insert(client, at, rev, "webhook")
        paths = ["", "/steps/new", "/triggers/new", "/triggers/t1", "/entry", "/settings", "/publication"]
        paths += [f"/steps/s{number}" for number in range(2, 8)] + ["/versions", "/versions/1"]
        offered = {
            path: {action["form_href"] for action in (await client.get(at + path)).json()["actions"]}
            for path in paths
        }
    async with world.browser(owner) as client:
        for path in paths:
            page = await client.get(at + path)
            assert page.status_code == 200, path
            main = page.text.split("<main")[1].split("</main")[0]
            drawn = set(re.findall(r'method="post" action="([^"]+)"', main))
            assert drawn == offered[path], path


async def test_a_jump_names_steps_by_their_titles(world: World) -> None:
    owner = await world.person()
    async with world.script(owner) as client:
        at = await new_workflow(client)
        page: dict[str, Any] = {"workflow": {"rev": 0}}
        configs: list[dict[str, Any]] = [{"kind": "wait"}, {"kind": "wait"}, {"kind": "go_to", "step": "s1"}]
        for config in configs:
            page = await insert(client, at, page["workflow"]["rev"], config["kind"], config=config)
        assert page["sheet"]["steps"] == [["s1", "Wait 1 day"], ["s2", "Wait 1 day (2)"]]
        assert {step["kind"]: step["title"] for step in page["steps"]}["go_to"] == "Go to “Wait 1 day”"


async def test_builder_permissions(world: World) -> None:
    owner = await world.person()
    viewer = await world.person("viewer", owner.account_id)
    operator = await world.person("operator", owner.account_id)
    stranger = await world.person()
    async with world.script(owner) as client:
        at = await new_workflow(client)
        rev = await build(client, at)
    async with world.browser(viewer) as client:
        for path in ("", "/steps/s2", "/triggers/t1", "/entry", "/settings", "/publication", "/versions"):
            page = await client.get(at + path)
            assert page.status_code == 200, path
            assert 'method="post"' not in page.text.split("<main")[1].split("</main")[0], path
        settings = (await client.get(f"{at}/settings")).text
        assert ("<dd>Once</dd>" in settings, "once ever" in settings) == (True, False)
        assert (await client.get(f"{at}/steps/new")).status_code == 403
        assert (await client.post(f"{at}/undo", data={"rev": str(rev)})).status_code == 403
    async with world.script(operator) as client:
        assert (await client.post(f"{at}/publication", json={"rev": rev})).status_code == 403
        assert (await client.post(f"{at}/undo", json={"rev": rev})).status_code == 200
    async with world.script(stranger) as client:
        for path in ("", "/steps/s2", "/counts", "/publication", "/versions", "/versions/1", "/entry"):
            assert (await client.get(at + path)).status_code == 404, path
        for path, body in bodies().items():
            assert (await client.post(at + path, json=body)).status_code == 404, path
        assert (await client.get("/workflows")).json()["items"] == []


def bodies() -> dict[str, dict[str, Any]]:
    step = {"rev": 0, "config": {"kind": "exit"}}
    return {
        "": {"name": "Mine"},
        "/steps": {"kind": "exit", "rev": 0},
        "/steps/s2": step,
        "/steps/s2/position": {"rev": 0, "dir": "up"},
        "/steps/s2/deletion": {"rev": 0},
        "/triggers": {"kind": "manual", "rev": 0},
        "/triggers/t1": {"rev": 0, "config": {"kind": "manual"}},
        "/triggers/t1/deletion": {"rev": 0},
        "/entry": {"rev": 0},
        "/settings": {"rev": 0},
        "/undo": {"rev": 0},
        "/redo": {"rev": 0},
        "/publication": {"rev": 0},
        "/pause": {},
        "/pause/deletion": {},
        "/archival": {},
        "/versions/1/restoration": {"rev": 0},
    }
