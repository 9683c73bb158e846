"""Custom fields on the real app, and what contacts hold in them."""

from typing import Any

import pytest

from tests.support.builder_kit import insert, new_workflow
from tests.support.crm_kit import MISSING_ID, create_contact, create_field, use
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
    [({"label": " "}, "label"), ({"label": "X", "key": "city"}, "key"), ({"label": "City"}, "label"),
     ({"label": "ID"}, "label"), ({"label": "X", "key": "id"}, "key"),
     ({"label": "X", "key": "any_of"}, "key"),
     ({"label": "X", "key": "1x"}, "key"), ({"label": "X", "type": "tags"}, "type"),
     ({"label": "X", "type": "select"}, "options"), ({"label": "X", "type": "money"}, "currency"),
     ({"label": "X", "currency": "USD"}, "currency"),
     ({"label": "X", "type": "number", "default": "many"}, "default"),
     ({"label": "score"}, "label"), ({"label": "X", "key": "score"}, "key")],
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
        assert "Or retire the field" in refused.json()["detail"]
        page = await client.get(f"/fields/{field['id']}")
        assert [action["name"] for action in page.json()["actions"]] == ["update", "retire", "index"]


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


OWN_TYPES: list[tuple[dict[str, Any], Any, Any, str]] = [
    # the field, what is typed, what is stored, a condition that it matches
    ({"type": "long_text"}, "a\nb", "a\nb", "contains:B"),
    ({"type": "money", "currency": "EUR"}, "1.234,50", 1234.5, "gt:1,000"),
    ({"type": "datetime"}, "2026-07-01T09:30", "2026-07-01T13:30:00Z", "on:2026-07-01"),
    (
        {"type": "multi_select", "options": "Tea\nMilk, oat\nCake"},
        ["Cake", "Tea"],
        ["Tea", "Cake"],
        "all_of:Tea,Cake",
    ),
    ({"type": "phone"}, "(504) 621-8927", "+15046218927", "starts:+1504"),
    ({"type": "email"}, "Ann@X.Example", "ann@x.example", "is:ANN@x.example"),
    ({"type": "url"}, "x.example", "https://x.example", "ends:example"),
]


async def test_own_types_in_api_form_list_and_page(world: World) -> None:
    who = await world.person()
    async with world.script(who) as client:
        assert (await client.post("/account", json={"time_zone": "America/New_York"})).status_code == 200
        for number, (definition, typed, stored, condition) in enumerate(OWN_TYPES):
            field = await create_field(client, label=f"Own {number}", **definition)
            answer = await client.post(
                "/contacts", json={"first_name": "Ann", "fields": {field["id"]: typed}}
            )
            assert answer.json()["contact"]["fields"] == {field["id"]: stored}, answer.text
            href = f"/contacts/{answer.json()['contact']['id']}"
            for query in (condition, "not_empty"):
                matching = await client.get(
                    "/contacts", params={"f": f"{field['filter_key']}:{query}", "fields": "id"}
                )
                assert (matching.json()["total"], matching.status_code) == (1, 200), (query, matching.text)
            for path in (
                "/contacts/new",
                f"{href}/edit",
                href,
                f"/contacts?columns={field['filter_key']}",
                f"{href}/fields/{field['filter_key']}",
                f"/fields/{field['id']}",
            ):
                assert (await client.get(path, headers=HTML)).status_code == 200, path
            assert (await client.delete(href)).status_code == 200
        member = await create_field(client, label="Guide", type="member")
        refused = await client.patch(f"/fields/{member['id']}", json={"currency": "EUR"})
        assert (refused.status_code, list(refused.json()["errors"])) == (422, ["currency"])
        answer = await client.post(
            "/contacts", json={"first_name": "Ann", "fields": {member["id"]: who.name}}
        )
        assert answer.json()["contact"]["fields"] == {member["id"]: str(who.user_id)}
        listed = await client.get(f"/contacts?columns={member['filter_key']}", headers=HTML)
        assert who.name in listed.text.partition("<tbody")[2]
        stranger = await client.post(
            "/contacts", json={"first_name": "Bo", "fields": {member["id"]: MISSING_ID}}
        )
        assert (stranger.status_code, "Choose a member" in stranger.text) == (422, True)


async def test_check_boxes_of_a_form_set_and_clear(world: World) -> None:
    async with world.browser(await world.person("operator")) as client:
        form = {"label": "Likes", "type": "multi_select", "options": "Tea\nCake"}
        href = (await client.post("/fields", data=form)).headers["location"]
        name = f"fields.{href.rpartition('/')[2]}"
        created = await client.post(
            "/contacts", data={"first_name": "Ann", name: ["Tea", "Cake"], "inputs": name}
        )
        page = created.headers["location"]

        async def likes() -> Any:
            fields = (await client.get(page, headers=JSON)).json()["contact"]["fields"]
            return fields.get(name.removeprefix("fields."))

        assert await likes() == ["Tea", "Cake"]
        for sent, stored in (
            ({name: "Cake"}, ["Cake"]),
            ({"city": "Rome"}, ["Cake"]),
            ({"inputs": name}, None),
        ):
            assert (await client.post(page, data=sent)).status_code == 303
            assert await likes() == stored
        options = {"label": "Likes", "options": "Cake"}
        assert (await client.post(href, data=options)).status_code == 303


async def test_new_contacts_need_required_values_and_get_defaults(world: World) -> None:
    async with world.script(await world.person()) as client:
        old = await client.post("/contacts", json={"first_name": "Old"})
        plan = await create_field(client, label="Plan", type="select", options="free\npro", default="free")
        budget = await create_field(client, label="Budget", type="number", required=True, group="Deal")
        refused = await client.post("/contacts", json={"first_name": "Ann"})
        assert (refused.status_code, refused.json()["errors"]) == (
            422, {f"fields.{budget['id']}": "Budget is required."},
        )  # fmt: skip
        form = await client.get("/contacts/new", headers=HTML)
        assert ("Deal</h2>" in form.text, '<option value="free" selected>' in form.text) == (True, True)
        fields = {budget["id"]: 5}
        created = await client.post("/contacts", json={"first_name": "Ann", "fields": fields})
        assert created.json()["contact"]["fields"] == fields | {plan["id"]: "free"}
        cleared = await client.post(
            "/contacts", json={"first_name": "Bo", "fields": fields | {plan["id"]: None}}
        )
        assert cleared.json()["contact"]["fields"] == fields
        edited = await client.patch(f"/contacts/{old.json()['contact']['id']}", json={"city": "Rome"})
        assert (edited.status_code, edited.json()["contact"]["fields"]) == (200, {})
        wrong = await client.patch(f"/fields/{plan['id']}", json={"options": "pro"})
        assert (wrong.status_code, list(wrong.json()["errors"])) == (422, ["default"])


async def test_renamed_field_works_under_its_earlier_name(world: World) -> None:
    async with world.script(await world.person()) as client:
        field = await create_field(client, label="Plan")
        href = f"/fields/{field['id']}"
        renamed = await client.patch(href, json={"label": "Tariff", "key": "tariff"})
        assert (renamed.json()["field"]["key"], renamed.json()["field"]["former_keys"]) == (
            "tariff",
            ["plan"],
        )
        taken = await client.post("/fields", json={"label": "Other", "key": "plan"})
        assert (taken.status_code, "was a short name of Tariff" in taken.text) == (422, True)
        at = await new_workflow(client, "Welcome")
        await insert(client, at, 0, "add_note", config={"kind": "add_note", "text": "{{ contact.plan }}"})
        used = (await client.get(href)).json()["used_by"]
        assert [use["name"] for use in used] == ["Welcome"]
        back = await client.patch(href, json={"key": "plan"})
        assert (back.json()["field"]["key"], back.json()["field"]["former_keys"]) == ("plan", ["tariff"])


async def test_retired_field_keeps_its_values_and_is_not_offered(world: World) -> None:
    async with world.script(await world.person()) as client:
        field = await create_field(client, label="Plan", required=True, default="free")
        created = await client.post("/contacts", json={"first_name": "Ann"})
        href = f"/contacts/{created.json()['contact']['id']}"
        assert (await client.patch(f"/fields/{field['id']}", json={"retired": True})).json()["field"][
            "retired"
        ]
        bare = await client.post("/contacts", json={"first_name": "Bo"})
        assert bare.json()["contact"]["fields"] == {}
        for path in ("/contacts/new", f"{href}/edit", "/contacts", "/segments/new"):
            assert field["id"] not in (await client.get(path, headers=HTML)).text, path
        page = await client.get(href, headers=HTML)
        assert ("Plan (retired)" in page.text, "free" in page.text) == (True, True)
        matching = await client.get("/contacts", params={"f": f"{field['filter_key']}:is:free"})
        assert matching.json()["total"] == 1
        assert not (await client.patch(f"/fields/{field['id']}", json={"retired": False})).json()["field"][
            "retired"
        ]
        assert field["id"] in (await client.get("/contacts/new", headers=HTML)).text


async def test_fields_are_moved(world: World) -> None:
    who = await world.person("operator")
    async with world.browser(who) as client:
        hrefs = [
            (await client.post("/fields", data={"label": label})).headers["location"]
            for label in ("A", "B", "C")
        ]

        async def order() -> str:
            return "".join(
                field["label"] for field in (await client.get("/fields", headers=JSON)).json()["items"]
            )

        for href, sent, expected in (
            (hrefs[2], {"move": "up"}, "ACB"),
            (hrefs[0], {"move": "up"}, "ACB"),
            (hrefs[0], {"move": "down"}, "CAB"),
            (hrefs[1], {"position": "1"}, "BCA"),
            (hrefs[1], {"position": "99"}, "CAB"),
        ):
            assert (await client.post(href, data=sent)).headers["location"] == "/fields"
            assert await order() == expected
        assert (await client.post(hrefs[0], data={"position": "0"})).status_code == 422


async def test_amounts_sort_by_their_value(world: World) -> None:
    async with world.script(await world.person()) as client:
        budget = await create_field(client, label="Budget", type="money", currency="EUR")
        for amount in (1234.5, 9, 80):
            await create_contact(client, first_name="Ann", fields={budget["id"]: amount})
        sorted_list = await client.get(f"/contacts?sort=-{budget['filter_key']}")
        amounts = [contact["fields"][budget["id"]] for contact in sorted_list.json()["items"]]
        assert amounts == [1234.5, 80, 9]


async def test_a_field_whose_default_has_left_can_still_be_changed(world: World) -> None:
    who = await world.person()
    guest = await world.person("viewer", who.account_id)
    async with world.script(who) as client:
        await create_field(client, label="Other")
        field = await create_field(client, label="Guide", type="member", default=str(guest.user_id))
        assert (await client.delete(f"/members/{guest.user_id}")).is_success
        href = f"/fields/{field['id']}"
        for form in ({"label": "Our guide"}, {"move": "up"}, {"retired": True}, {"retired": False}):
            assert (await client.patch(href, json=form)).status_code == 200, form
        new = await client.get("/contacts/new", headers=HTML)
        assert "Former member" not in new.text
        again = await client.patch(href, json={"default": MISSING_ID})
        assert (again.status_code, list(again.json()["errors"])) == (422, ["default"])


async def test_a_moment_at_an_end_of_the_calendar_is_refused(world: World) -> None:
    async with world.script(await world.person()) as client:
        field = await create_field(client, label="Met", type="datetime")
        for typed in ("0001-01-01", "9999-12-31", "9000-01-01T00:00"):
            sent = {"first_name": "Ann", "fields": {field["id"]: typed}}
            assert (await client.post("/contacts", json=sent)).status_code == 422, typed
