"""Custom fields on the real app, and what contacts hold in them."""

from typing import Any

import pytest

from tests.support.crm_kit import MISSING_ID, create_field, use
from tests.support.web_kit import HTML, JSON
from tests.support.world import World


async def test_field_is_created_filled_filtered_changed_and_deleted(world: World) -> None:
    who = await world.person("operator")
    async with world.browser(who) as client:
        assert "No custom fields yet" in (await client.get("/fields")).text
        form = {"label": "Lead stage", "type": "select", "options": "New\r\n\r\nWon\r\nNew"}
        answer = await client.post("/fields", data=form)
        assert answer.status_code == 303
        href = answer.headers["location"]
        field = (await client.get(href, headers=JSON)).json()["field"]
        assert (field["key"], field["options"]) == ("lead_stage", ["New", "Won"])
        assert "Lead stage" in (await client.get("/fields")).text
        contact = await client.post("/contacts", data={"first_name": "Ann", f"fields.{field['id']}": "Won"})
        assert contact.status_code == 303, contact.text
        matching = await client.get(
            f"/contacts?f={field['filter_key']}:any_of:Won&columns={field['filter_key']}"
        )
        assert "Ann" in matching.text
        in_use = await client.post(href, data={"label": "Stage", "options": "New"})
        assert (in_use.status_code, "Contacts still have Won." in in_use.text) == (422, True)
        assert (await client.post(href, data={"label": "Stage", "options": "Won\nLost"})).status_code == 303
        wrong = await client.post(contact.headers["location"], data={f"fields.{field['id']}": "New"})
        assert (wrong.status_code, "Stage has no option" in wrong.text) == (422, True)
        place = f"{contact.headers['location']}/fields/{field['filter_key']}"
        assert (await client.post(place, data={"value": "Lost"})).status_code == 303
        assert (await client.post(f"{href}/deletion")).headers["location"] == "/fields"
        page = (await client.get(contact.headers["location"], headers=JSON)).json()
        assert page["contact"]["fields"] == {}
    assert [entry for entry in await world.audit(who.account_id) if entry[1] == "field"] == [
        ("field.created", "field"), ("field.updated", "field"), ("field.deleted", "field"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "typed", "stored"),
    [("number", "12.50", 12.5), ("number", 7, 7), ("boolean", "no", False), ("boolean", True, True),
     ("date", "2026-03-31", "2026-03-31"), ("text", " a b ", "a b"), ("text", "", None),
     ("number", "many", ...), ("date", "31.3.2026", ...), ("boolean", "maybe", ...), ("text", [1], ...)],
)  # fmt: skip
async def test_values_by_type(world: World, kind: str, typed: Any, stored: Any) -> None:
    async with world.script(await world.person()) as client:
        field = await create_field(client, label="X", key="x", type=kind)
        body = {"first_name": "Ann", "fields": {field["id"]: typed}}
        answer = await client.post("/contacts", json=body)
        if stored is ...:
            assert (answer.status_code, list(answer.json()["errors"])) == (422, [f"fields.{field['id']}"])
        else:
            assert answer.json()["contact"]["fields"].get(field["id"]) == stored
            html = await client.get(f"/contacts/{answer.json()['contact']['id']}/edit", headers=HTML)
            assert html.status_code == 200


@pytest.mark.parametrize(
    ("values", "where"),
    [({"label": " "}, "label"), ({"label": "City", "key": "city"}, "key"),
     ({"label": "X", "key": "1x"}, "key"),
     ({"label": "X", "type": "select"}, "options"), ({"label": "X", "type": "money"}, "type"),
     ({"label": "Score"}, "key")],
)  # fmt: skip
async def test_an_invalid_field_is_refused(world: World, values: dict[str, str], where: str) -> None:
    async with world.script(await world.person()) as client:
        await create_field(client, label="Score")
        answer = await client.post("/fields", json=values)
        assert (answer.status_code, list(answer.json()["errors"])) == (422, [where]), answer.text


async def test_field_used_by_a_live_workflow_cannot_be_deleted(world: World) -> None:
    who = await world.person()
    async with world.script(who) as client:
        field = await create_field(client, label="Score", type="number")
        await use(world, who, "field", field["filter_key"])
        refused = await client.post(f"/fields/{field['id']}/deletion")
        assert (refused.status_code, refused.json()["current"][0]["name"]) == (409, "Welcome")
        page = await client.get(f"/fields/{field['id']}")
        assert [action["name"] for action in page.json()["actions"]] == ["update"]


async def test_viewers_read_only_and_other_accounts_find_nothing(world: World) -> None:
    owner, stranger = await world.person(), await world.person()
    viewer = await world.person("viewer", owner.account_id)
    async with world.script(owner) as client:
        field = (await create_field(client, label="Score"))["id"]
    async with world.browser(viewer) as client:
        for path in ("/fields", f"/fields/{field}", f"/fields/{field}/deletion"):
            assert (await client.post(path, data={"label": "x"})).status_code == 403
        for path in ("/fields", f"/fields/{field}"):
            page = await client.get(path)
            assert (page.status_code, 'method="post"' in page.text.partition("<main")[2]) == (200, False)
            assert (await client.get(path, headers=JSON)).json()["actions"] == []
    async with world.script(stranger) as client:
        assert (await client.get("/fields")).json()["items"] == []
        for field_id in (field, MISSING_ID, "1"):
            assert (await client.get(f"/fields/{field_id}")).status_code == 404
            assert (await client.post(f"/fields/{field_id}", json={"label": "x"})).status_code == 404
            assert (await client.post(f"/fields/{field_id}/deletion")).status_code == 404
