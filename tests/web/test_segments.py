"""Segments on the real app: saved filters, their contacts, and what uses them."""

from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from app.engine.core.draft import Draft
from app.filters.ast import Group, Op, Predicate
from tests.support.crm_kit import MISSING_ID, use
from tests.support.segment_kit import contact, matching_states, segment
from tests.support.web_kit import HTML, JSON, PARTIAL
from tests.support.world import AccountMember, World

CA = "state:any_of:CA"


async def test_a_filter_of_the_list_becomes_a_segment(world: World) -> None:
    who = await world.person("operator")
    async with world.browser(who) as client:
        assert "No segments yet" in (await client.get("/segments")).text
        await contact(client, state="CA")
        await contact(client, state="TX")
        page = await client.get("/contacts", params={"f": "state:is:CA"})
        assert "Save as segment" in page.text
        way = (await client.get("/contacts", params={"f": "state:is:CA"}, headers=JSON)).json()["actions"]
        href = next(action["href"] for action in way if action["name"] == "segment")
        form = await client.get(href)
        assert "State is CA" in form.text
        assert "1 contact now" in form.text
        response = await client.post(
            "/segments", data={"name": " West  coast ", "f": "state:is:CA", "match": "all"}
        )
        assert response.status_code == 303
        page = await client.get(response.headers["location"])
        assert "West coast" in page.text
        assert "State is CA" in page.text
        taken = await client.post("/segments", data={"name": "WEST COAST", "f": "state:is:TX"})
        assert (taken.status_code, "There is already a segment named “West coast”." in taken.text) == (
            422,
            True,
        )
        assert "State is TX" in taken.text  # the filter is still there
        action = (await client.get("/segments", headers=JSON)).json()["items"][0]
        assert (action["name"], action["contacts"], action["described"]) == ("West coast", 1, "State is CA")
        assert await matching_states(client, f"segments:any_of:{action['id']}") == ["CA"]
        assert await matching_states(client, f"segments:none_of:{action['id']}") == ["TX"]
        listed = await client.get(action["href"])
        assert "in any of" in listed.text
        assert "West coast" in listed.text
        assert (await client.post("/segments", data={"name": "x"})).status_code == 422
    assert ("segment.created", "segment") in await world.audit(who.account_id)


async def test_filter_may_have_more_values_than_a_statement_takes(world: World) -> None:
    """Each of its conditions is within the limits, and the driver takes 32,767 values."""
    who = await world.person("operator")
    async with world.browser(who) as client:
        await contact(client, city="51-7")
    await world.sql(
        "insert into segments (account_id, id, name, slug, filter) select $1, gen_random_uuid(), 'Many', "
        "'many', jsonb_build_object('type', 'group', 'match', 'any', 'items', jsonb_agg(jsonb_build_object("
        "'type', 'predicate', 'field', 'city', 'op', 'in', 'value', v.names))) from (select jsonb_agg("
        "i || '-' || n) as names from generate_series(1, 100) i, generate_series(1, 500) n group by i) v",
        who.account_id,
    )
    async with world.script(who) as client:
        listed = await client.get("/segments")
    assert [(item["name"], item["contacts"]) for item in listed.json()["items"]] == [("Many", 1)]


async def test_the_filter_is_changed_in_the_list(world: World) -> None:
    who = await world.person("operator")
    async with world.browser(who) as client:
        await contact(client, state="CA")
        await contact(client, state="TX")
        coast = await segment(client, "Coast", "state:is:CA")
        page = await client.get(coast["edit_href"])
        assert "Save as the filter for Coast" in page.text
        assert dict(parse_qsl(urlsplit(coast["edit_href"]).query))["segment"] == coast["id"]
        body = {"f": "state:is:TX", "match": "all", "rev": coast["rev"]}
        saved = await client.post(f"/segments/{coast['id']}", data=body, headers=PARTIAL)
        assert saved.status_code in (200, 303)
        assert await matching_states(client, f"segments:any_of:{coast['id']}") == ["TX"]
        stale = await client.post(f"/segments/{coast['id']}", json=body | {"f": [CA]}, headers=JSON)
        assert stale.status_code == 409
        renamed = await client.post(f"/segments/{coast['id']}", data={"name": "Gulf"})
        assert renamed.status_code == 303
        again = (await client.get(f"/segments/{coast['id']}", headers=JSON)).json()["segment"]
        assert (again["name"], again["f"]) == ("Gulf", ["state:is:TX"])
        wrong = await client.post(f"/segments/{coast['id']}", json={"f": ["nonsense:is:x"]}, headers=JSON)
        assert (wrong.status_code, list(wrong.json()["errors"])) == (422, ["f"])
        assert (await client.post(f"/segments/{coast['id']}/deletion")).headers["location"] == "/segments"
        assert (await client.get("/contacts", params={"segment": coast["id"]})).status_code == 404


async def test_a_watched_segment_is_compared_at_once(world: World) -> None:
    """So is one that has the changed one inside."""
    who = await world.person()
    async with world.script(who) as client:
        inner = await segment(client, "Inner", "state:is:CA")
        outer = await segment(client, "Outer", f"segments:any_of:{inner['id']}")
        aside = await segment(client, "Aside", "state:is:NY")
        later = "update segments set due_at = clock_timestamp() + interval '1 hour' where id = any($1)"
        await world.sql(later, [outer["id"], aside["id"]])
        assert (await client.post(f"/segments/{inner['id']}", json={"f": ["state:is:TX"]})).status_code == 200
    rows = await world.sql(
        "select name from segments where account_id = $1 and due_at <= clock_timestamp()", who.account_id
    )
    assert [row["name"] for row in rows] == ["Outer"]


async def test_segment_cycles_are_refused(world: World) -> None:
    async with world.script(await world.person()) as client:
        first = await segment(client, "One", "state:is:CA")
        two = await segment(client, "Two", f"segments:any_of:{first['id']}")
        for other in (first, two):
            body = {"f": [f"segments:none_of:{other['id']}"]}
            refused = await client.post(f"/segments/{first['id']}", json=body)
            assert (refused.status_code, "loop" in refused.json()["errors"]["f"]) == (422, True)
        names = [f"segments:any_of:{two['id']}"]
        for number in range(3, 6):
            names = [f"segments:any_of:{(await segment(client, f'S{number}', *names))['id']}"]
        deep = await client.post("/segments", json={"name": "Deeper", "f": names})
        assert deep.status_code == 201
        inside = [f"segments:any_of:{deep.json()['segment']['id']}"]
        refused = await client.post("/segments", json={"name": "Too deep", "f": inside})
        assert (refused.status_code, "deep" in refused.json()["errors"]["f"]) == (422, True)


async def drafted(world: World, who: AccountMember, draft: Draft) -> None:
    """A workflow that was never published."""
    rows = await world.sql(
        "insert into workflows (account_id, id, name, rev) values ($1, gen_random_uuid(), 'Draft', 1)"
        " returning id",
        who.account_id,
    )
    await world.sql(
        "insert into workflow_revisions (account_id, workflow_id, rev, operation, draft)"
        " values ($1, $2, 1, 'created', cast($3::text as jsonb))",
        who.account_id, rows[0]["id"], msgspec.json.encode(draft).decode(),
    )  # fmt: skip


@pytest.mark.parametrize("by", ["live", "draft", "segment"])
async def test_used_segment_cannot_be_deleted(world: World, by: str) -> None:
    """A segment, a tag and a field, by a live workflow, a draft, and a segment."""
    who = await world.person()
    async with world.script(who) as client:
        field = (await client.post("/fields", json={"label": "Score", "type": "number"})).json()["field"]
        tag = (await client.post("/tags", json={"name": "vip"})).json()["tag"]
        used = await segment(client, "Used", "state:is:CA")
        conditions = [
            Predicate("segments", Op.ANY_OF, [used["id"]]),
            Predicate("tags", Op.ALL_OF, [tag["id"]]),
            Predicate(f"custom.{field['id']}", Op.NOT_EMPTY),
        ]
        if by == "live":
            for kind, target in (("segment", used["id"]), ("tag", tag["id"]), ("field", conditions[2].field)):
                await use(world, who, kind, target)
        elif by == "draft":
            await drafted(world, who, Draft(entry=Group("any", [Group("all", list(conditions))])))
        else:
            group = msgspec.json.encode(Group("all", list(conditions))).decode()
            await segment(client, "Outer", group)
        name = {"live": "Welcome", "draft": "Draft", "segment": "Outer"}[by]
        for path in (f"/segments/{used['id']}", f"/tags/{tag['id']}", f"/fields/{field['id']}"):
            refused = await client.post(f"{path}/deletion")
            assert refused.status_code == 409, path
            assert name in refused.json()["detail"]
            assert refused.json()["current"][0]["name"] == name
            page = await client.get(path)
            assert [use["name"] for use in page.json()["used_by"]] == [name]
            assert "delete" not in [use["name"] for use in page.json()["actions"]]
            drawn = await client.get(path, headers=HTML)
            assert page.json()["used_by"][0]["href"] in drawn.text


async def test_viewers_read_only_and_other_accounts_find_nothing(world: World) -> None:
    owner, stranger = await world.person(), await world.person()
    viewer = await world.person("viewer", owner.account_id)
    async with world.script(owner) as client:
        segment_id = (await segment(client, "Coast", "state:is:CA"))["id"]
    async with world.browser(viewer) as client:
        for path in ("/segments", f"/segments/{segment_id}", f"/segments/{segment_id}/deletion"):
            assert (await client.post(path, data={"name": "x"})).status_code == 403
        page = await client.get(f"/segments/{segment_id}")
        assert (page.status_code, 'method="post"' in page.text.partition("<main")[2]) == (200, False)
        assert "Save as segment" not in (await client.get("/contacts", params={"f": CA})).text
    async with world.script(stranger) as client:
        assert (await client.get("/segments")).json()["items"] == []
        refused = await client.get("/contacts", params={"f": f"segments:any_of:{segment_id}"})
        assert (refused.status_code, "no longer exists" in refused.text) == (422, True)
        for other in (segment_id, MISSING_ID, "1"):
            assert (await client.get(f"/segments/{other}")).status_code == 404
            assert (await client.post(f"/segments/{other}", json={"name": "x"})).status_code == 404
            assert (await client.post(f"/segments/{other}/deletion")).status_code == 404


@pytest.mark.parametrize(
    ("condition", "states"),
    [
        ("owner:assigned", ["CA"]),
        ("owner:is:{me}", ["CA"]),
        ("owner:unassigned", ["TX"]),
        ("email_consent:any_of:granted", ["CA"]),
        ("history:happened:contact.created,1,1 day", ["CA", "TX"]),
        ("history:not_happened:tag.added,1,1 day", ["TX"]),
        ("created_at:more_than_ahead:1 day", []),
        ("created_at:anniversary", ["CA", "TX"]),
    ],
)
async def test_list_filters_by_workflows_segments_and_history(
    world: World, condition: str, states: list[str]
) -> None:
    who = await world.person()
    async with world.script(who) as client:
        contact_id = await contact(client, state="CA")
        await contact(client, state="TX")
        await client.post(f"/contacts/{contact_id}/tags", json={"name": "vip"})
        await world.sql(
            "update contacts set owner_id = $1, email_consent = 'granted' where id = $2::text::uuid",
            who.user_id, contact_id,
        )  # fmt: skip
        assert await matching_states(client, condition.format(me=who.user_id)) == states
        page = await client.get("/contacts", params={"f": condition.format(me=who.user_id)}, headers=HTML)
        assert page.status_code == 200


@pytest.mark.parametrize("key", ["owner", "email_consent", "segments", "workflows", "history"])
async def test_condition_form_offers_existing_values(world: World, key: str) -> None:
    who = await world.person()
    async with world.browser(who) as client:
        await segment(client, "Coast", "state:is:CA")
        page = await client.get("/contacts", params={"add": key}, headers=JSON)
        adding = page.json()["adding"]
        expected = {"owner": "Owner", "email_consent": "granted", "segments": "Coast", "history": "Tag added"}
        if key in expected:
            assert expected[key] in [value["label"] for value in adding["values"]]
        assert (await client.get("/contacts", params={"add": key})).status_code == 200
        if key == "history":
            typed = [
                ("field", key),
                ("op", "happened"),
                ("value", "tag.added"),
                ("value", "2"),
                ("value", "7"),
            ]
            added = await client.get("/contacts", params=[*typed, ("unit", "days")], headers=JSON)
            assert added.json()["f"] == ["history:happened:tag.added,2,7 days"]
            assert added.json()["described"].endswith("at least 2 times in the last 7 days: Tag added")


async def test_workflow_filter_rows_accept_names(world: World) -> None:
    """Segments, members and workflows by name, a history by its three values; shown as what they name."""
    who = await world.person()
    account = {"account": str(who.account_id)}
    async with world.browser(who) as client:
        await segment(client, "Coast, west", "state:is:CA")
        at = (await client.post("/workflows", data=account | {"name": "Rows"})).headers["location"]
        typed = [
            ("segments", "any_of", "Coast, west"),
            ("owner", "is", who.name),
            ("workflows", "never_in", "rows"),
            ("history", "happened", "tag.added, 3, 30 days"),
        ]
        rows = {"rev": "0", "filter.type": "rows", "filter.match": "all"}
        for number, row in enumerate(typed):
            for name, value in zip(("field", "op", "value"), row, strict=True):
                rows[f"filter.rows.{number}.{name}"] = value
        wrong = rows | {"filter.rows.0.value": "Cost, west", "filter.rows.3.value": "tag.aded, 3, 30 days"}
        refused = await client.post(f"{at}/entry", data=account | wrong)
        assert refused.status_code == 422
        assert "There is no segment “Cost”." in refused.text
        history = rows | {"filter.rows.3.value": "tag.aded, 3, 30 days"}
        refused = await client.post(f"{at}/entry", data=account | history)
        assert (refused.status_code, "Did you mean “tag.added”?" in refused.text) == (422, True)
        saved = await client.post(f"{at}/entry", data=account | rows)
        assert saved.status_code == 303, saved.text[:2000]
        page = (await client.get(f"{at}/entry", headers=JSON)).json()
        [segments, owner, workflows, history] = page["sheet"]["filters"]["filter"]["rows"]
        pickers = [field for row in (segments, owner, workflows) for field in row["inputs"]]
        chosen = [[dict(field["options"])[value] for value in field["values"]] for field in pickers]
        assert chosen == [["Coast, west"], [who.name], ["Rows"]]
        assert [field["values"] for field in history["inputs"]] == [["3"], ["30"], ["days"], ["tag.added"]]


async def test_unreadable_segment_is_shown_and_can_be_fixed(world: World) -> None:
    async with world.browser(await world.person()) as client:
        old_segment = await segment(client, "Old", "city:is:Oslo")
        await world.sql(
            """update segments set filter = '{"field": "city"}' where id = $1""", old_segment["id"]
        )
        at = f"/segments/{old_segment['id']}"
        assert "(unreadable filter)" in (await client.get("/segments")).text
        assert "(unreadable filter)" in (await client.get(at)).text
        assert await matching_states(client, "city:is:Oslo") == []
        response = await client.get(
            "/contacts", params={"f": f"segments:none_of:{old_segment['id']}"}, headers=JSON
        )
        assert (response.status_code, "Save that segment's filter again" in response.text) == (422, True)
        saved = await client.post(at, json={"f": ["city:is:Rome"]}, headers=JSON)
        assert saved.is_success, saved.text
        [shown] = (await client.get("/segments", headers=JSON)).json()["items"]
        assert (shown["described"], shown["contacts"]) == ("City is Rome", 0)
