"""Tasks are created for a contact that is searched, sorted, snoozed, repeated, and done in bulk with undo."""

import re
from datetime import datetime
from typing import Any

import httpx

from db.ids import uuid7
from tests.support.crm_kit import create_contact
from tests.support.web_kit import JSON
from tests.support.world import AccountMember, World


async def add(client: httpx.AsyncClient, contact: str, **values: Any) -> str:
    answer = await client.post(f"/contacts/{contact}/tasks", json=values, headers=JSON)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def titles(client: httpx.AsyncClient, **query: str) -> list[str]:
    answer = await client.get("/tasks", params={"view": "all", **query}, headers=JSON)
    assert answer.status_code == 200, answer.text
    return [item["title"] for item in answer.json()["items"]]


async def zoned(world: World, who: AccountMember) -> None:
    await world.sql("update accounts set time_zone = 'America/New_York' where id = $1", who.account_id)


async def test_a_task_is_made_from_the_tasks_page(world: World) -> None:
    who = await world.person("operator")
    async with world.browser(who) as client:
        ann = (await create_contact(client, first_name="Ann", last_name="Lee", phone="+15046218927"))["id"]
        gone = (await create_contact(client, first_name="Ann", last_name="Gone"))["id"]
        await client.post(f"/contacts/{gone}/deletion")
        assert 'href="/tasks/new"' in (await client.get("/tasks")).text
        for text in ("ann", "lee", "5046218927"):
            results = await client.get("/tasks/new", params={"q": text})
            assert f'href="/tasks/new?contact={ann}"' in results.text, text
            assert gone not in results.text
        assert "No contact matches" in (await client.get("/tasks/new?q=zebra")).text
        form = await client.get(f"/tasks/new?contact={ann}")
        assert (f'action="/contacts/{ann}/tasks"' in form.text, "Ann Lee" in form.text) == (True, True)
        created = await client.post(f"/contacts/{ann}/tasks", data={"title": "Call", "back": "tasks"})
        assert (created.status_code, created.headers["location"]) == (303, "/tasks")
        page = (await client.get("/tasks/new", params={"q": "ann"}, headers=JSON)).json()
        assert [(item["name"], item["detail"]) for item in page["choices"]] == [("Ann Lee", "+15046218927")]
        for contact in (gone, str(uuid7())):
            assert (await client.get(f"/tasks/new?contact={contact}")).status_code == 404


async def test_tasks_are_searched_and_sorted(world: World) -> None:
    who = await world.person()
    other = await world.person("operator", who.account_id)
    me = str(who.user_id)
    async with world.script(who) as client:
        ann = (await create_contact(client, first_name="Ann", last_name="Zéd"))["id"]
        bob = (await create_contact(client, first_name="Bob", last_name="Abe"))["id"]
        await add(client, ann, title="beta", due="2040-01-02", assignee=me)
        await add(client, bob, title="Alpha", body="50% off", due="2040-01-01", assignee=str(other.user_id))
        await add(client, ann, title="gamma")
        assert await titles(client) == ["Alpha", "beta", "gamma"]
        for sort, expected in {
            "title": ["Alpha", "beta", "gamma"],
            "-title": ["gamma", "beta", "Alpha"],
            "-due": ["gamma", "beta", "Alpha"],
            "contact": ["Alpha", "beta", "gamma"],
            "assignee": ["gamma", "Alpha", "beta"],  # nobody, Operator, Owner
            "-created": ["gamma", "Alpha", "beta"],
        }.items():
            assert await titles(client, sort=sort) == expected, sort
            page = (await client.get("/tasks", params={"view": "all", "sort": sort, "limit": 2})).json()
            rest = (await client.get(page["next"])).json()
            assert [item["title"] for item in (*page["items"], *rest["items"])] == expected, sort
            back = (await client.get(rest["previous"])).json()
            assert back["items"] == page["items"], sort
        for text, expected in {
            "BETA": ["beta"],
            "50% off": ["Alpha"],
            "zed": ["beta", "gamma"],
            "%": ["Alpha"],
        }.items():
            assert await titles(client, q=text) == expected, text
        assert await titles(client, assignee=me) == ["beta"]
        for query in ({"sort": "rev"}, {"sort": "completed"}, {"q": "x" * 201}, {"assignee": "x"}):
            assert (await client.get("/tasks", params={"view": "all", **query})).status_code == 422
    async with world.browser(who) as browser:
        page = await browser.get("/tasks?view=all&q=zed&sort=-title")
        assert 'aria-sort="descending"' in page.text
        assert "q=zed" in page.text.partition("<thead>")[2].partition("</thead>")[0], "the search stays"
        assert "No matching tasks" in (await browser.get("/tasks?view=all&q=zebra")).text


async def test_a_task_is_snoozed(world: World) -> None:
    who = await world.person("operator")
    await zoned(world, who)
    async with world.browser(who) as client:
        ann = (await create_contact(client, first_name="Ann"))["id"]
        task = await add(client, ann, title="Call", due="2020-01-01", assignee=str(who.user_id))
        assert await titles(client, view="overdue") == ["Call"]
        done = await client.post(f"/tasks/{task}/snooze", data={"until": "tomorrow", "back": "tasks"})
        assert (done.status_code, done.headers["location"]) == (303, "/tasks")
        assert await titles(client, view="overdue") == []
        shown = (await client.get(f"/tasks/{task}", headers=JSON)).json()
        assert shown["due"].endswith("T09:00")
        later = await client.post(f"/tasks/{task}/snooze", json={"due": "2040-07-01T09:00"}, headers=JSON)
        assert datetime.fromisoformat(later.json()["due_at"]) == datetime.fromisoformat("2040-07-01T13:00Z")
        for body in ({}, {"due": "2020-01-01"}, {"due": "soon"}, {"until": "never"}):
            refused = await client.post(f"/tasks/{task}/snooze", json=body, headers=JSON)
            assert refused.status_code == 422, body
            assert set(refused.json()["errors"]) <= {"due", "until"}
        await client.post(f"/tasks/{task}/completion", json={}, headers=JSON)
        late = await client.post(f"/tasks/{task}/snooze", json={"until": "later"}, headers=JSON)
        assert late.status_code == 409
    assert [entry for entry, _ in await world.audit(who.account_id)].count("task.snoozed") == 2


async def test_a_repeated_task_returns_at_its_local_time(world: World) -> None:
    who = await world.person("operator")
    await zoned(world, who)
    async with world.browser(who) as client:
        ann = (await create_contact(client, first_name="Ann"))["id"]
        refused = await client.post(f"/contacts/{ann}/tasks", data={"title": "Call", "repeats": "weekly"})
        assert (refused.status_code, "Enter when it is due first" in refused.text) == (422, True)
        form = {"title": "Call", "due": "2040-10-31T09:00", "repeats": "weekly", "assignee": str(who.user_id)}
        assert (await client.post(f"/contacts/{ann}/tasks", data=form)).status_code == 303
        [task] = (await client.get("/tasks", headers=JSON)).json()["items"]
        assert (task["repeats"], task["due_at"]) == ("weekly", "2040-10-31T13:00:00Z")
        await client.post(f"/tasks/{task['id']}/snooze", json={"due": "2040-11-02T12:00"}, headers=JSON)
        await client.post(f"/tasks/{task['id']}/completion", data={})
        [following] = (await client.get("/tasks", headers=JSON)).json()["items"]
        assert (following["title"], following["assignee_id"]) == ("Call", str(who.user_id))
        # A week after the first one and not after the snoozed time; winter time began.
        assert following["due_at"] == "2040-11-07T14:00:00Z"
        # Reopened: the successor goes, and the next completion adds it again.
        await client.post(f"/tasks/{task['id']}/completion/deletion", json={}, headers=JSON)
        assert [item["id"] for item in (await client.get("/tasks", headers=JSON)).json()["items"]] == [
            task["id"]
        ]
        await client.post(f"/tasks/{task['id']}/completion", json={}, headers=JSON)
        [again] = (await client.get("/tasks", headers=JSON)).json()["items"]
        assert (again["due_at"], again["id"] != following["id"]) == (following["due_at"], True)
        # An edit of another field doesn't move it, an edit of the due time does.
        await client.patch(f"/tasks/{again['id']}", json={"title": "Ring"}, headers=JSON)
        await client.patch(f"/tasks/{again['id']}", json={"due": "2040-11-08T10:00"}, headers=JSON)
        await client.post(f"/tasks/{again['id']}/completion", json={}, headers=JSON)
        [third] = (await client.get("/tasks", headers=JSON)).json()["items"]
        assert (third["title"], third["due_at"]) == ("Ring", "2040-11-15T15:00:00Z")
        ended = await client.patch(f"/tasks/{third['id']}", json={"repeats": ""}, headers=JSON)
        assert ended.json()["task"]["repeats"] == ""
        await client.post(f"/tasks/{third['id']}/completion", json={}, headers=JSON)
        assert (await client.get("/tasks", headers=JSON)).json()["items"] == []


async def test_tasks_are_done_in_bulk_and_opened_again(world: World) -> None:
    who = await world.person("operator")
    async with world.browser(who) as client:
        ann = (await create_contact(client, first_name="Ann"))["id"]
        ids = [await add(client, ann, title=title, due="2040-01-01") for title in ("one", "two", "three")]
        repeated = await add(client, ann, title="four", due="2040-01-01T09:00", repeats="daily")
        await client.post(f"/tasks/{ids[2]}/completion", json={}, headers=JSON)
        assert 'action="/tasks/bulk/completion"' in (await client.get("/tasks?view=all")).text
        done = await client.post("/tasks/bulk/completion", data={"id": [*ids, repeated], "view": "all"})
        assert (done.status_code, done.headers["location"]) == (303, "/tasks?view=all")
        page = await client.get("/tasks?view=all")
        undo = re.search(r'action="(/completions/[^"]+/restoration)"', page.text)
        assert undo, "the message offers to undo it"
        assert "3 tasks completed." in page.text
        assert await titles(client) == ["four"], "the next one of the task that repeats"
        back = await client.post(undo[1], data={"view": "all"})
        assert (back.status_code, back.headers["location"]) == (303, "/tasks?view=all")
        assert sorted(await titles(client)) == ["four", "one", "two"]
        assert await titles(client, view="done") == ["three"]
        for body in ({}, {"ids": [str(uuid7())]}, {"ids": [ids[0], str(uuid7())]}):
            refused = await client.post("/tasks/bulk/completion", json=body, headers=JSON)
            assert (refused.status_code, list(refused.json()["errors"])) == (422, ["ids"])
        assert sorted(await titles(client)) == ["four", "one", "two"], "all or none"
        none = await client.post("/tasks/bulk/completion", data={"view": "all"})
        assert (none.status_code, "Choose at least one task" in none.text) == (422, True)
        assert (
            await client.post(f"/completions/{uuid7()}/restoration", json={}, headers=JSON)
        ).status_code == 404
        answer = (await client.post("/tasks/bulk/completion", json={"ids": ids[:2]}, headers=JSON)).json()
        assert (answer["total"], [entry["name"] for entry in answer["actions"]]) == (2, ["restore"])
        completion = f"/completions/{answer['completion_id']}/restoration"
    viewer = await world.person("viewer", who.account_id)
    async with world.script(viewer) as reader, world.script(await world.person()) as stranger:
        for path, body in (("/tasks/bulk/completion", {"ids": ids}), (completion, {})):
            assert (await reader.post(path, json=body)).status_code == 403
        assert (await stranger.post("/tasks/bulk/completion", json={"ids": ids})).status_code == 422
        assert (await stranger.post(completion, json={})).status_code == 404
    actions = [entry for entry, _ in await world.audit(who.account_id) if entry.startswith("task.")]
    assert (actions.count("task.completed"), actions.count("task.reopened")) == (6, 3)


async def test_reopening_keeps_a_successor_that_was_changed_or_done(world: World) -> None:
    async with world.script(await world.person()) as client:
        ann = (await create_contact(client, first_name="Ann"))["id"]
        for change in ("changed", "done"):
            first = await add(client, ann, title=change, due="2040-01-01T09:00", repeats="daily")
            await client.post(f"/tasks/{first}/completion", json={})
            [second] = (await client.get("/tasks", params={"view": "all", "q": change})).json()["items"]
            if change == "changed":
                await client.patch(f"/tasks/{second['id']}", json={"body": "Bring tea."})
            else:
                await client.post(f"/tasks/{second['id']}/completion", json={})
            assert (await client.delete(f"/tasks/{first}/completion")).status_code == 200
            assert await titles(client, q=change) == [change] * 2, "the reopened one and what followed"
            await client.post(f"/tasks/{first}/completion", json={})
            assert await titles(client, q=change) == [change], "no second series"
