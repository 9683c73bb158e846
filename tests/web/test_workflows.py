"""The list of workflows, names, pausing, versions, and what seeds call."""

from app.engine.core.draft import Draft
from app.engine.core.steps import Exit, Step
from app.engine.core.triggers import Manual
from app.work import SYSTEM, open_work
from app.workflows.schemas.publication import PublishForm
from app.workflows.use_cases import create_workflow, publish, save_draft
from tests.support.builder_kit import build, insert, new_workflow
from tests.support.world import World


async def test_the_list(world: World) -> None:
    owner = await world.person()
    async with world.browser(owner) as client:
        assert "No workflows yet" in (await client.get("/workflows")).text
        assert (await client.get("/workflows/new")).status_code == 200
        refused = await client.post("/workflows", data={"name": ""})
        assert (refused.status_code, "Fill this in." in refused.text) == (422, True)
    async with world.script(owner) as client:
        for number in range(51):
            await new_workflow(client, f"Number {number}")
        first = (await client.get("/workflows")).json()
        assert [first["items"][0]["name"], len(first["items"])] == ["Number 50", 50]
        rest = (await client.get(first["next"])).json()
        assert ([row["name"] for row in rest["items"]], rest["next"]) == (["Number 0"], "")
    async with world.browser(owner) as client:
        page = await client.get("/workflows")
        assert "Number 50" in page.text
        assert f'href="{first["next"]}"' in page.text


async def test_rename_pause_resume_archive(world: World) -> None:
    owner = await world.person()
    async with world.script(owner) as client:
        at = await new_workflow(client)
        renamed = await client.post(at, json={"name": "Hello", "description": "For new ones"})
        assert (renamed.status_code, renamed.json()["workflow"]["name"]) == (200, "Hello")
        assert (await client.post(at, json={"name": " "})).status_code == 422
        assert (await client.post(f"{at}/pause")).status_code == 409, "a draft is not live"
        rev = await build(client, at)
        await client.post(f"{at}/publication", json={"rev": rev})
        assert (await client.post(f"{at}/pause")).status_code == 204
        page = (await client.get(f"{at}/settings")).json()
        names = [action["name"] for action in page["actions"]]
        assert (page["workflow"]["status"], "resume" in names, "pause" in names) == ("paused", True, False)
        assert (await client.post(f"{at}/pause/deletion")).status_code == 204
        assert (await client.post(f"{at}/archival")).status_code == 204
        assert (await client.get(at)).json()["workflow"]["status"] == "archived"
        back = await client.post(f"{at}/publication", json={"rev": rev})
        assert (back.status_code, back.json()["version"]) == (201, 1), "the same version goes live again"
        form = {"rev": rev, "reentry": "after_exit", "cooldown": 3}
        assert (await client.post(f"{at}/settings", json=form)).status_code == 200
        wrong = await client.post(f"{at}/settings", json={"rev": rev + 1, "reentry": "concurrent_per_key"})
        assert (wrong.status_code, list(wrong.json()["errors"])) == (422, ["key_field"])
    audit = [action for action, _ in await world.audit(owner.account_id)]
    for action in ("workflow.renamed", "workflow.paused", "workflow.resumed", "workflow.archived"):
        assert action in audit


async def test_audit_tells_a_new_description_from_a_new_name(world: World) -> None:
    owner = await world.person()
    async with world.script(owner) as client:
        at = await new_workflow(client)
        assert (await client.post(at, json={"description": "For new ones"})).status_code == 200
        described = [action for action, _ in await world.audit(owner.account_id)]
        assert (await client.post(at, json={"name": "Hello"})).status_code == 200
        named = [action for action, _ in await world.audit(owner.account_id)]
    assert ("workflow.updated" in described, "workflow.renamed" in described) == (True, False)
    assert (named.count("workflow.updated"), named.count("workflow.renamed")) == (1, 1)


async def test_publishing_names_every_problem_and_its_place(world: World) -> None:
    owner = await world.person()
    async with world.script(owner) as client:
        at = await new_workflow(client)
        await insert(client, at, 0, "send_email")
        refused = await client.post(f"{at}/publication", json={"rev": 1})
        assert refused.status_code == 422
        assert "s1.subject#1" in refused.json()["errors"]
        plan = (await client.get(f"{at}/publication")).json()
        assert plan["problems"][1]["href"] == f"{at}/steps/s1"
        assert plan["actions"] == []
        assert [(change["change"], change["key"]) for change in plan["plan"]] == [("added", "s1")]
    async with world.browser(owner) as client:
        page = await client.post(f"{at}/publication", data={"rev": "1"})
        assert (page.status_code, "The email has no subject." in page.text) == (422, True)
        assert f'href="{at}/steps/s1"' in page.text


async def test_an_old_version_is_copied_into_the_draft(world: World) -> None:
    owner = await world.person()
    async with world.script(owner) as client:
        at = await new_workflow(client)
        rev = await build(client, at)
        await client.post(f"{at}/publication", json={"rev": rev})
        moved = {"rev": rev, "dir": "up"}
        assert (await client.post(f"{at}/steps/s3/position", json=moved)).status_code == 200
        plan = (await client.get(f"{at}/publication")).json()["plan"]
        assert {(change["change"], change["key"]) for change in plan} >= {("moved", "s3")}
        gone = await client.post(f"{at}/steps/s4/deletion", json={"rev": rev + 1})
        assert [step["key"] for step in gone.json()["steps"]] == ["s3", "s2", "s5"]
        second = await client.post(f"{at}/publication", json={"rev": rev + 2})
        assert second.json()["version"] == 2
        restored = await client.post(f"{at}/versions/1/restoration", json={"rev": rev + 2})
        assert [step["key"] for step in restored.json()["steps"]] == ["s2", "s3", "s4", "s5"]
        assert (await client.get(f"{at}/versions/99999999999")).status_code == 404
    async with world.browser(owner) as client:
        for path in ("/versions", "/versions/1", "/publication", "/settings"):
            assert (await client.get(at + path)).status_code == 200, path
        back = {"accept": "*/*", "hx-history-restore-request": "true", "hx-request-type": "full"}
        assert "<!doctype html>" in (await client.get(at, headers=back)).text, "htmx going back"


async def test_unreadable_drafts_are_reported(world: World) -> None:
    owner = await world.person()
    async with world.script(owner) as client:
        at = await new_workflow(client)
        deep = {"type": "predicate", "field": "state", "op": "is", "value": "CA"}
        for _ in range(300):
            deep = {"type": "group", "match": "all", "items": [deep]}  # type: ignore[dict-item]  # nested
        refused = await client.post(f"{at}/entry", json={"rev": 0, "filter": deep})
        assert refused.status_code in (400, 422), refused.text
        for path, body in (
            ("/steps", {"kind": "nonsense", "rev": 0}),
            ("/steps", {"kind": "exit", "rev": 0, "config": {"kind": "wait"}}),
            ("/steps", {"kind": "wait", "rev": 0, "config": {"kind": "wait", "amount": 0}}),
            (
                "/steps",
                {"kind": "add_tag", "rev": 0, "config": {"kind": "add_tag", "tag": str(owner.user_id)}},
            ),
            ("/steps", {"kind": "exit", "rev": 0, "config": {"kind": "exit", "reason": "a\0b"}}),
            ("/triggers", {"kind": "manual", "rev": 0, "config": {"kind": "manual", "sources": []}}),
        ):
            answer = await client.post(at + path, json=body)
            assert answer.status_code == 422, (body, answer.text)
        missing = {"kind": "exit", "rev": 0, "list": "s9.b1"}
        assert (await client.post(f"{at}/steps", json=missing)).status_code == 404
        assert (await client.get(at)).json()["workflow"]["rev"] == 0


async def test_seeds_save_and_publish_a_whole_draft(world: World) -> None:
    owner = await world.person()
    async with open_work(world.runtime, owner.account_id, SYSTEM) as work:
        workflow_id = await create_workflow(work, "Seeded")
        draft = Draft(triggers=[Manual(key="t1")], steps=[Step("s2", Exit(reason="Done"))])
        rev = await save_draft(work, workflow_id, draft)
        assert (await publish(work, workflow_id, PublishForm(rev))).version == 1
    async with world.script(owner) as client:
        page = (await client.get(f"/workflows/{workflow_id}")).json()
        assert (page["workflow"]["status"], page["steps"][0]["title"]) == ("active", "Exit")
        step_key = await insert(client, f"/workflows/{workflow_id}", rev, "exit")
        assert step_key["sheet"]["key"] == "s3"


async def test_plan_warns_about_a_missing_provider(world: World) -> None:
    owner = await world.person()
    async with world.script(owner) as client:
        at = await new_workflow(client)
        rev = await build(client, at)
        assert (await client.get(f"{at}/publication")).json()["warnings"] == []
        await insert(client, at, rev, "send_sms")
        [warning] = (await client.get(f"{at}/publication")).json()["warnings"]
        assert "SMS_URL" in warning
    async with world.browser(owner) as client:
        assert "SMS_URL" in (await client.get(f"{at}/publication")).text
