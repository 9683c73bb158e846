"""Notes, tasks, owner and consents on the real app."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest

from tests.support.crm_kit import MISSING_ID
from tests.support.web_kit import HTML, JSON, PARTIAL
from tests.support.world import AccountMember, World


async def ann(client: httpx.AsyncClient, **values: Any) -> str:
    body = {"first_name": "Ann", **values}
    response = await client.post("/contacts", json=body, headers=JSON)
    assert response.status_code == 201, response.text
    return str(response.json()["contact"]["id"])


async def events(world: World, who: AccountMember) -> list[str]:
    rows = await world.sql("select kind from events where account_id = $1 order by id", who.account_id)
    return [row["kind"] for row in rows if row["kind"] != "contact.created"]


async def test_notes_are_written_and_deleted_by_their_authors(world: World) -> None:
    who = await world.person("operator")
    other = await world.person("owner", who.account_id)
    async with world.browser(who) as client, world.script(other) as script:
        contact = await ann(client)
        assert "No notes yet" in (await client.get(f"/contacts/{contact}")).text
        response = await client.post(
            f"/contacts/{contact}/notes", data={"body": " Likes tea.\r\nNot coffee. "}
        )
        assert (response.status_code, response.headers["location"]) == (303, f"/contacts/{contact}")
        page = await client.get(f"/contacts/{contact}")
        assert "Likes tea.<br>\nNot coffee." in page.text
        empty = await client.post(f"/contacts/{contact}/notes", data={"body": "  "})
        assert (empty.status_code, "Enter a note" in empty.text) == (422, True)
        second = await script.post(f"/contacts/{contact}/notes", json={"body": "Second"})
        assert second.status_code == 201
        notes = (await script.get(f"/contacts/{contact}")).json()["notes"]
        assert [(entry["body"], entry["own"]) for entry in notes] == [
            ("Second", True), ("Likes tea.\nNot coffee.", False),
        ]  # fmt: skip
        assert (await script.post(f"/notes/{notes[1]['id']}/deletion")).status_code == 403
        assert (await script.post(f"/notes/{notes[0]['id']}/deletion")).status_code == 200
        gone = await client.post(f"/notes/{notes[1]['id']}/deletion", data={}, headers=PARTIAL)
        assert gone.status_code in (200, 303)
        assert (await script.get(f"/contacts/{contact}")).json()["notes"] == []
    assert await events(world, who) == ["note.added", "note.added"]
    actions = [entry for entry, _ in await world.audit(who.account_id)]
    assert [entry for entry in actions if entry.startswith("note")] == [
        "note.created", "note.created", "note.deleted", "note.deleted",
    ]  # fmt: skip


async def test_task_is_created_completed_and_reopened(world: World) -> None:
    who = await world.person("operator")
    await world.sql("update accounts set time_zone = 'America/New_York' where id = $1", who.account_id)
    async with world.browser(who) as client:
        contact = await ann(client)
        body = {
            "title": "Call back",
            "due": "2030-07-01T09:00",
            "assignee": str(who.user_id),
            "body": "Twice",
        }
        response = await client.post(f"/contacts/{contact}/tasks", data=body)
        assert (response.status_code, response.headers["location"]) == (303, f"/contacts/{contact}")
        task = (await client.get("/tasks", headers=JSON)).json()["items"][0]
        assert (task["title"], task["contact"], task["overdue"]) == ("Call back", "Ann", False)
        due = datetime.fromisoformat(task["due_at"])
        assert due == datetime(2030, 7, 1, 13, 0, tzinfo=UTC)
        for path in ("/tasks", f"/contacts/{contact}"):
            assert "Call back" in (await client.get(path)).text
        done = await client.post(f"/tasks/{task['id']}/completion", data={"back": "tasks"})
        assert (done.status_code, done.headers["location"]) == (303, "/tasks")
        again = await client.post(f"/tasks/{task['id']}/completion", json={}, headers=JSON)
        assert (again.status_code, again.json()["completed_by"]) == (200, who.name)
        assert (await client.get("/tasks", headers=JSON)).json()["items"] == []
        shown = (await client.get("/tasks", params={"view": "done"}, headers=JSON)).json()
        assert [entry["title"] for entry in shown["items"]] == ["Call back"]
        names = {entry["name"].partition(":")[0] for entry in shown["actions"]}
        assert names == {"new", "reopen", "delete_task"}
        back = await client.post(f"/tasks/{task['id']}/completion/deletion", data={}, headers=PARTIAL)
        assert back.status_code in (200, 303)
        part = await client.get("/tasks", headers=PARTIAL)
        assert "<html" not in part.text
        assert "Call back" in part.text
        assert (await client.post(f"/tasks/{task['id']}/deletion", data={})).status_code == 303
        assert (await client.get("/tasks", headers=JSON)).json()["items"] == []
    assert await events(world, who) == ["task.added", "task.completed"]
    actions = [entry for entry, _ in await world.audit(who.account_id) if entry.startswith("task")]
    assert actions == ["task.created", "task.completed", "task.reopened", "task.deleted"]


async def test_a_task_is_changed_by_form_and_by_script(world: World) -> None:
    who = await world.person("operator")
    viewer = await world.person("viewer", who.account_id)
    stranger = await world.person("owner")
    await world.sql("update accounts set time_zone = 'America/New_York' where id = $1", who.account_id)
    async with world.browser(who) as client, world.script(who) as script:
        contact = await ann(client)
        body = {"title": "Call", "due": "2030-07-01T09:00", "assignee": str(who.user_id)}
        href = "/tasks/" + (await script.post(f"/contacts/{contact}/tasks", json=body)).json()["id"]
        page = await client.get(href)
        assert 'value="2030-07-01T09:00"' in page.text
        await world.sql(
            "update tasks set due_at = due_at + interval '7 seconds' where contact_id = $1", contact
        )
        form = {"title": "Call back", "due": "2030-07-01T09:00", "assignee": "", "body": "Twice"}
        saved = await client.post(href, data=form)
        assert (saved.status_code, saved.headers["location"]) == (303, "/tasks")
        task = (await script.post(href, json={"due": ""})).json()["task"]
        assert (task["title"], task["body"], task["assignee_id"], task["due_at"]) == (
            "Call back", "Twice", None, None,
        )  # fmt: skip
        bad = await client.post(href, data=form | {"title": " ", "due": "soon"}, headers=PARTIAL)
        assert (bad.status_code, "Enter a task of 1 to 200 characters" in bad.text) == (422, True)
        assert (await script.post(href, json={"assignee": str(stranger.user_id)})).status_code == 422
        assert (await script.get(href)).json()["task"] == task
    async with world.script(viewer) as looks, world.script(stranger) as other:
        assert (await looks.get(href)).status_code == 200
        assert (await looks.post(href, json={"title": "Mine"})).status_code == 403
        assert (await other.get(href)).status_code == 404
        assert (await other.post(href, json={"title": "Mine"})).status_code == 404
    rows = await world.sql(
        "select changes from audit_logs where account_id = $1 and action = 'task.updated' order by id",
        who.account_id,
    )
    assert [sorted(msgspec.json.decode(row["changes"])) for row in rows] == [
        ["assignee_id", "body", "task", "title"], ["due_at", "task"],
    ]  # fmt: skip


async def test_task_views_and_their_order(world: World) -> None:
    who = await world.person()
    async with world.script(who) as client:
        contact = await ann(client)
        me = str(who.user_id)
        for title, due, assignee in (
            ("later", "2040-01-02", me),
            ("late", "2020-01-02", me),
            ("never", "", None),
            ("soon", "2040-01-01", None),
        ):
            body = {"title": title, "due": due, "assignee": assignee}
            assert (await client.post(f"/contacts/{contact}/tasks", json=body)).status_code == 201
        for view, titles in {
            "mine": ["late", "later"],
            "all": ["late", "soon", "later", "never"],
            "overdue": ["late"],
            "done": [],
        }.items():
            page = (await client.get("/tasks", params={"view": view})).json()
            assert [item["title"] for item in page["items"]] == titles
            counts = {view[0]: view[3] for view in page["views"]}
            assert counts == {"Mine": 2, "All open": 4, "Overdue": 1, "Done": 0}
        first = (await client.get("/tasks", params={"view": "all"})).json()["items"]
        rest = await client.get("/tasks", params={"view": "all", "after": first[1]["id"]})
        assert [item["title"] for item in rest.json()["items"]] == ["later", "never"]
        assert (await client.get("/tasks", params={"view": "yours"})).status_code == 422
        await client.post(f"/contacts/{contact}/deletion")
        assert (await client.get("/tasks", params={"view": "all"})).json()["items"] == []
        refused = await client.post(f"/contacts/{contact}/tasks", json={"title": "x"})
        assert refused.status_code == 409


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"title": ""}, "title"),
        ({"title": "x", "due": "tomorrow"}, "due"),
        ({"title": "x", "due": "2026-02-30"}, "due"),
        ({"title": "x", "assignee": MISSING_ID}, "assignee"),
        ({"title": "x" * 201}, "title"),
    ],
)
async def test_an_invalid_task_is_refused(world: World, body: dict[str, Any], field: str) -> None:
    async with world.browser(await world.person()) as client:
        contact = await ann(client)
        refused = await client.post(f"/contacts/{contact}/tasks", json=body, headers=JSON)
        assert (refused.status_code, list(refused.json()["errors"])) == (422, [field])
        page = await client.post(f"/contacts/{contact}/tasks", data=body)
        assert (page.status_code, refused.json()["errors"][field] in page.text) == (422, True)


async def test_owner_and_consents_are_fields_of_the_contact(world: World) -> None:
    who = await world.person("operator")
    viewer = await world.person("viewer", who.account_id)
    async with world.browser(who) as client:
        contact = await ann(client)
        href = f"/contacts/{contact}"
        form = await client.get(f"{href}/fields/owner")
        assert (form.status_code, "Unassigned" in form.text, viewer.name in form.text) == (200, True, True)
        set_owner = await client.post(
            f"{href}/fields/owner", data={"value": str(viewer.user_id)}, headers=PARTIAL
        )
        assert (set_owner.status_code, "Viewer" in set_owner.text) == (200, True)
        assert (
            await client.post(f"{href}/fields/email_consent", data={"value": "granted"})
        ).status_code == 303
        saved = await client.post(href, json={"sms_consent": "denied"}, headers=JSON)
        saved_contact = saved.json()["contact"]
        assert (saved_contact["owner"], saved_contact["owner_name"]) == (str(viewer.user_id), "Viewer")
        assert (saved_contact["email_consent"], saved_contact["sms_consent"]) == ("granted", "denied")
        page = (await client.get(href)).text
        assert "Viewer" in page.partition("<h2>Tags</h2>")[0]
        for key, value in (("owner", MISSING_ID), ("owner", "x"), ("sms_consent", "maybe")):
            refused = await client.post(f"{href}/fields/{key}", json={"value": value}, headers=JSON)
            assert refused.status_code == 422, (key, value)
        listed = await client.get("/contacts", params={"columns": "owner,sms_consent"}, headers=HTML)
        assert "Viewer" in listed.text
        cleared = await client.post(href, json={"owner": None, "sms_consent": None}, headers=JSON)
        saved_contact = cleared.json()["contact"]
        assert (saved_contact["owner"], saved_contact["owner_name"], saved_contact["sms_consent"]) == (
            None,
            "",
            "unknown",
        )
        contact_id = await ann(client, owner=str(who.user_id), email_consent="denied")
        saved_contact = (await client.get(f"/contacts/{contact_id}", headers=JSON)).json()["contact"]
        assert (saved_contact["owner"], saved_contact["email_consent"]) == (str(who.user_id), "denied")
    rows = await world.sql(
        "select data -> 'changes' as changes from events where account_id = $1 and kind = 'contact.updated'"
        " order by id", who.account_id,
    )  # fmt: skip
    assert [row["changes"] for row in rows][:1] == [f'{{"owner": [null, "{viewer.user_id}"]}}']
    rows = await world.sql(
        "select changes from audit_logs where account_id = $1 and action = 'contact.updated' order by id",
        who.account_id,
    )
    assert rows[0]["changes"] == '{"owner": [null, "Viewer"]}'


async def test_viewers_read_only_and_other_accounts_find_nothing(world: World) -> None:
    owner, stranger = await world.person(), await world.person()
    viewer = await world.person("viewer", owner.account_id)
    async with world.script(owner) as client:
        contact = await ann(client)
        note = (await client.post(f"/contacts/{contact}/notes", json={"body": "x"})).json()["id"]
        task = (await client.post(f"/contacts/{contact}/tasks", json={"title": "x"})).json()["id"]
    ways = {
        f"/contacts/{contact}/notes": {"body": "x"},
        f"/contacts/{contact}/tasks": {"title": "x"},
        f"/notes/{note}/deletion": {},
        f"/tasks/{task}/completion": {},
        f"/tasks/{task}/completion/deletion": {},
        f"/tasks/{task}/deletion": {},
    }
    async with world.browser(viewer) as client:
        for path, body in ways.items():
            assert (await client.post(path, data=body)).status_code == 403
        for path in ("/tasks?view=all", f"/contacts/{contact}"):
            page = await client.get(path)
            assert (page.status_code, 'method="post"' in page.text.partition("<main")[2]) == (200, False)
    async with world.script(stranger) as client:
        assert (await client.get("/tasks", params={"view": "all"})).json()["items"] == []
        for path, body in ways.items():
            assert (await client.post(path, json=body)).status_code == 404, path


@pytest.mark.parametrize("kind", ["note", "task"])
async def test_deleted_note_or_task_is_restored_from_the_message(world: World, kind: str) -> None:
    who = await world.person("operator")
    async with world.browser(who) as client:
        contact = await ann(client)
        body = {"note": {"body": "Likes tea"}, "task": {"title": "Likes tea", "due": "2030-07-01"}}[kind]
        thing = (await client.post(f"/contacts/{contact}/{kind}s", json=body, headers=JSON)).json()
        href = f"/{kind}s/{thing['id']}"
        assert (await client.post(f"{href}/restoration", json={}, headers=JSON)).status_code == 404
        gone = await client.post(f"{href}/deletion", data={})
        assert (gone.status_code, gone.headers["location"]) == (303, f"/contacts/{contact}")
        page = await client.get(f"/contacts/{contact}")
        message = page.text.partition('id="notes"')[2]
        assert (f'action="{href}/restoration"' in message, "Undo</button>" in message) == (True, True)
        assert f"{href}/deletion" not in page.text
        assert f"{href}/restoration" not in (await client.get(f"/contacts/{contact}")).text, "it is said once"
        assert (await client.post(f"{href}/deletion", json={}, headers=JSON)).status_code == 404
        back = await client.post(f"{href}/restoration", data={"account": str(who.account_id)})
        assert (back.status_code, back.headers["location"]) == (303, f"/contacts/{contact}")
        page = (await client.get(f"/contacts/{contact}", headers=JSON)).json()
        assert page[f"{kind}s"] == [thing]
        answer = (await client.post(f"{href}/deletion", json={}, headers=JSON)).json()
        assert (answer[kind]["id"], [entry["href"] for entry in answer["actions"]]) == (
            thing["id"], [f"{href}/restoration"],
        )  # fmt: skip
        restored = await client.post(answer["actions"][0]["href"], json={}, headers=JSON)
        assert (restored.status_code, restored.json()["id"]) == (200, thing["id"])
    actions = [entry for entry, _ in await world.audit(who.account_id) if entry.startswith(kind)]
    assert actions == [f"{kind}.created", *[f"{kind}.deleted", f"{kind}.restored"] * 2]


async def test_who_may_restore_notes_and_tasks(world: World) -> None:
    who = await world.person()
    viewer, colleague = [await world.person(role, who.account_id) for role in ("viewer", "operator")]
    stranger = await world.person()
    async with world.script(who) as client:
        contact = await ann(client)
        note = (await client.post(f"/contacts/{contact}/notes", json={"body": "Tea"})).json()["id"]
        task = (await client.post(f"/contacts/{contact}/tasks", json={"title": "Tea"})).json()["id"]
        for path in (f"/notes/{note}", f"/tasks/{task}"):
            assert (await client.post(f"{path}/deletion", json={})).status_code == 200
        assert (await client.get("/tasks?view=all")).json()["items"] == []
        assert (await client.get("/tasks?view=all")).json()["views"][1][3] == 0
        assert (await client.get(f"/tasks/{task}")).status_code == 404
    for other, expected in ((viewer, (403, 403)), (stranger, (404, 404)), (colleague, (403, 200))):
        async with world.script(other) as client:
            answers = [
                await client.post(f"{path}/restoration", json={})
                for path in (f"/notes/{note}", f"/tasks/{task}")
            ]
            assert tuple(answer.status_code for answer in answers) == expected


async def test_planted_message_cookie_only_undoes_deletions(world: World) -> None:
    async with world.browser(await world.person()) as client:
        for address in (
            "/contacts/bulk/deletion?all=true",
            "//evil.example/restoration",
            "/members/1/deletion",
        ):
            client.cookies.set("note", f"Hello|{quote(address)}", path="/")
            page = await client.get("/contacts")
            assert ("Hello" in page.text, "Undo</button>" in page.text) == (True, False)
