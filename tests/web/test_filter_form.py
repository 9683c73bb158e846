"""The form for conditions of the contact list and of segments: as a page, for htmx, and as JSON."""

import re
from urllib.parse import parse_qsl, urlsplit

import httpx
import msgspec
import pytest

from tests.support.builder_kit import insert, new_workflow
from tests.support.crm_kit import MISSING_ID
from tests.support.segment_kit import contact, segment
from tests.support.web_kit import HTML, JSON, PARTIAL
from tests.support.world import World

PATH = "/contacts/filter"
ROW = "filter.rows.0"


def row(field: str, op: str, at: str = ROW, **more: str) -> dict[str, str]:
    return {f"{at}.field": field, f"{at}.op": op} | {f"{at}.{name}": value for name, value in more.items()}


def filters_of(url: str) -> list[str]:
    return [value for name, value in parse_qsl(urlsplit(url).query) if name == "f"]


def goal(answer: httpx.Response) -> str:
    """Where htmx goes after the answer."""
    return str(msgspec.json.decode(answer.headers["hx-location"])["path"])


async def test_a_condition_is_added_changed_and_removed(world: World) -> None:
    who = await world.person("operator")
    account = {"account": str(who.account_id)}
    async with world.browser(who) as client:
        await contact(client, state="CA")
        await contact(client, state="TX")
        page = await client.get("/contacts", params={"f": "state:is:CA", "q": "ann"}, headers=HTML)
        [chip] = (await client.get("/contacts", params={"f": "state:is:CA"}, headers=JSON)).json()["chips"]
        assert chip["edit_href"] == "/contacts?f=state%3Ais%3ACA&edit=0"
        [fetched] = re.findall(r'hx-get="(/contacts/filter[^"]*edit=0)"', page.text)
        opened = await client.get(chip["edit_href"], headers=HTML)
        assert f'name="{ROW}.values" value="CA"' in opened.text
        assert "Ann" in opened.text, "the list is still there"
        alone = await client.get(fetched.replace("&amp;", "&"), headers=PARTIAL)
        assert f'name="{ROW}.values" value="CA"' in alone.text
        assert "<table" not in alone.text

        changed = account | {"state": "f=state:is:CA&sort=name&limit=10", "edit": "0"}
        answer = await client.post(PATH, data=changed | row("state", "in", lines="TX\r\n NY "), headers=HTML)
        assert (answer.status_code, answer.headers["location"]) == (
            303,
            "/contacts?sort=name&limit=10&f=state%3Ain%3ATX%2CNY",
        )
        listed = await client.get(answer.headers["location"], headers=JSON)
        assert [item["state"] for item in listed.json()["items"]] == ["TX"]
        more = account | {"state": "f=state:is:CA&match=any"} | row("city", "empty")
        added = await client.post(PATH, data=more, headers=PARTIAL)
        assert (added.status_code, filters_of(goal(added))) == (200, ["state:is:CA", "city:empty"])
        same = await client.post(PATH, data=more | row("state", "is", values="CA"), headers=PARTIAL)
        assert filters_of(goal(same)) == ["state:is:CA"], "the same condition once"
        gone = await client.post(PATH, data=account | {"state": "f=city:empty", "edit": "0"}, headers=HTML)
        assert gone.headers["location"] == "/contacts"


async def test_the_row_follows_its_field_and_rows_come_and_go(world: World) -> None:
    who = await world.person("operator")
    account = {"account": str(who.account_id), "state": "f=city:is:Oslo"}
    async with world.browser(who) as client:
        await segment(client, "Coast", "state:is:CA")
        chosen = account | row("segments", "is", was="state", values="CA") | {"show": ROW}
        page = await client.post(PATH, data=chosen, headers=HTML)
        assert (page.status_code, "Coast" in page.text, ">is one of<" in page.text) == (200, True, False)
        assert 'name="state" value="f=city%3Ais%3AOslo"' in page.text, "the rest of the list stays"
        part = await client.post(PATH, data=chosen, headers=PARTIAL)
        assert (part.headers["hx-retarget"], part.headers["hx-reswap"]) == (
            "#row-filter-rows-0",
            "outerMorph",
        )
        assert 'id="row-filter-rows-0"' in part.text

        typed = account | row("state", "is", was="state", values="CA")
        two = await client.post(PATH, data=typed | {"more": "filter.rows"}, headers=PARTIAL)
        assert two.headers["hx-retarget"] == "#filter-editor"
        assert (two.text.count('aria-label="Condition '), 'value="CA"' in two.text) == (2, True)
        group = await client.post(PATH, data=typed | {"group": "filter.rows"}, headers=PARTIAL)
        assert (
            group.text.count('aria-label="Condition '),
            'name="filter.rows.1.rows.1.field"' in group.text,
        ) == (3, True)
        less = await client.post(PATH, data=typed | {"less": ROW}, headers=PARTIAL)
        assert 'value="CA"' not in less.text
        for nowhere in ("filter.match.rows.more", "filter.rows.x.y", "filter.rows.9.z", "q", '"#x'):
            for button in ("more", "less", "group", "show", "make"):
                same = await client.post(PATH, data=typed | {button: nowhere}, headers=PARTIAL)
                assert (same.status_code, 'value="CA"' in same.text) == (200, True)


async def test_nested_groups_are_edited(world: World) -> None:
    who = await world.person("operator")
    async with world.browser(who) as client:
        await contact(client, state="CA", city="Rome")
        await contact(client, state="TX", city="Rome")
        inside = {"account": str(who.account_id), f"{ROW}.match": "any"}
        inside |= row("state", "is", f"{ROW}.rows.0", values="CA") | row(
            "city", "is", f"{ROW}.rows.1", values="Oslo"
        )
        answer = await client.post(PATH, data=inside, headers=HTML)
        listed = await client.get(answer.headers["location"], headers=JSON)
        assert [item["state"] for item in listed.json()["items"]] == ["CA"]
        [chip] = listed.json()["chips"]
        assert (chip["field"], chip["value"]) == ("Group", "State is CA or City is Oslo")
        opened = await client.get(chip["edit_href"], headers=HTML)
        assert f'name="{ROW}.rows.1.values" value="Oslo"' in opened.text
        wrong = await client.post(PATH, data=inside | {f"{ROW}.rows.1.values": ""}, headers=PARTIAL)
        assert wrong.status_code == 422
        assert re.search(rf'<a href="#f-{ROW}.rows.1.value">Condition 1.2</a>: Enter a value.', wrong.text)
        assert wrong.text.rindex("Enter a value.") > wrong.text.index(f'id="f-{ROW}.rows.1"')
        assert f'name="{ROW}.rows.0.values" value="CA"' in wrong.text


@pytest.mark.parametrize("headers", [HTML, PARTIAL], ids=["page", "htmx"])
async def test_a_mistake_is_shown_beside_its_row(world: World, headers: dict[str, str]) -> None:
    who = await world.person("viewer")
    state = {"account": str(who.account_id), "state": "q=x&columns=city&f=city%3Ais%3AOslo"}
    async with world.browser(who) as client:
        refused = await client.post(
            PATH, data=state | row("created_at", "on", values="1.1.2026"), headers=headers
        )
        assert (refused.status_code, "Enter the date as YYYY-MM-DD" in refused.text) == (422, True)
        assert 'value="1.1.2026"' in refused.text, "what was typed stays"
        assert 'aria-invalid="true"' in refused.text
        assert 'name="state" value="q=x&amp;columns=city&amp;f=city%3Ais%3AOslo"' in refused.text
        no_list = await client.post(
            PATH, data=state | row("city", "empty") | {"state": "limit=x"}, headers=headers
        )
        assert (no_list.status_code, "isn&#39;t the query string" in no_list.text) == (422, True)
        nothing = await client.post(PATH, data=state | row("", "is"), headers=headers)
        assert (nothing.status_code, "Choose a field." in nothing.text) == (422, True)


async def test_a_missing_tag_is_made_on_the_spot(world: World) -> None:
    who = await world.person("operator")
    viewer = await world.person("viewer", who.account_id)
    search = {"account": str(who.account_id)} | row("tags", "any_of", was="tags", search=" Big  fish ")
    async with world.browser(who) as client, world.browser(viewer) as other:
        offered = await client.post(PATH, data=search | {"show": ROW}, headers=PARTIAL)
        assert "Create tag Big fish" in offered.text
        assert "Create tag" not in (await other.post(PATH, data=search | {"show": ROW}, headers=PARTIAL)).text
        assert (await other.post(PATH, data=search | {"make": ROW}, headers=JSON)).status_code == 403
        assert await world.sql("select id from tags where account_id = $1", who.account_id) == []
        answer = await client.post(PATH, data=search | {"make": ROW}, headers=PARTIAL)
        [tag] = (await client.get("/tags", headers=JSON)).json()["items"]
        assert (answer.status_code, tag["name"]) == (200, "Big fish")
        assert re.search(rf'value="{tag["id"]}"\s+checked', answer.text)
        assert ("tag.created", "tag") in await world.audit(who.account_id)
        long = search | {f"{ROW}.search": "x" * 61, "make": ROW}
        refused = await client.post(PATH, data=long, headers=PARTIAL)
        assert (refused.status_code, "Enter a tag of 1 to 60 characters." in refused.text) == (422, True)
        applied = search | {f"{ROW}.values": tag["id"], f"{ROW}.search": ""}
        answer = await other.post(PATH, data=applied, headers=HTML)
        assert filters_of(answer.headers["location"]) == [f"tags:any_of:{tag['id']}"]


async def test_scripts_turn_rows_into_conditions(world: World) -> None:
    who, stranger = await world.person(), await world.person()
    async with world.script(who) as script, world.script(stranger) as other:
        tag = (await script.post("/tags", json={"name": "vip, old"})).json()["tag"]["id"]
        rows = [
            {"field": "tags", "op": "any_of", "value": "vip, old"},
            {"field": "owner", "op": "is", "values": [who.name]},
            {"field": "created_at", "op": "in_last", "amount": "7", "unit": "days"},
        ]
        body = {"state": "f=city:is:Oslo", "filter": {"type": "rows", "rows": rows}}
        answer = await script.post(PATH, json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["f"] == [
            "city:is:Oslo", f"tags:any_of:{tag}", f"owner:is:{who.user_id}", "created_at:in_last:7 days",
        ]  # fmt: skip
        assert (await script.get(answer.json()["href"])).status_code == 200
        theirs = await other.post(
            PATH,
            json={"filter": {"type": "rows", "rows": [{"field": "tags", "op": "any_of", "values": [tag]}]}},
        )
        assert theirs.status_code == 422
        assert theirs.json()["errors"] == {
            f"{ROW}.value": "A tag of this condition no longer exists. Choose another."
        }
        form = (await script.get(PATH, params={"add": "owner"})).json()
        [drawn] = form["editor"]["filter"]["rows"]
        assert [value for value, _ in drawn["operators"]] == ["is", "any_of", "unassigned", "assigned"]
        assert "editor" not in (await script.get("/contacts")).json()
        for path in (
            f"{PATH}?edit=7&add=nothing",
            "/contacts?edit=7&f=state:is:CA",
            f"{PATH}?state=f%3D%257B&edit=0",
        ):
            assert (await script.get(path)).status_code == 200


async def test_the_filter_of_a_segment_is_edited_in_the_list(world: World) -> None:
    who = await world.person("operator")
    account = {"account": str(who.account_id)}
    async with world.browser(who) as client:
        coast = await segment(client, "Coast", "state:is:CA", "city:is:Rome", match="any")
        shown = await client.get(f"/segments/{coast['id']}", headers=HTML)
        links = re.findall(r'<a class="edits" href="([^"]+)"', shown.text)
        assert len(links) == 2
        editor = await client.get(links[1].replace("&amp;", "&"), headers=HTML)
        assert f'name="{ROW}.values" value="Rome"' in editor.text
        conditions = "&".join(f"f={item}" for item in coast["f"])
        state = account | {"state": f"match=any&segment={coast['id']}&{conditions}", "edit": "1"}
        answer = await client.post(PATH, data=state | row("city", "is", values="Oslo"), headers=HTML)
        listed = await client.get(answer.headers["location"], headers=HTML)
        assert "Save as the filter for Coast" in listed.text
        save = account | {
            "rev": str(coast["rev"]),
            "match": "any",
            "f": filters_of(answer.headers["location"]),
        }
        assert (await client.post(f"/segments/{coast['id']}", data=save)).status_code == 303
        page = (await client.get(f"/segments/{coast['id']}", headers=JSON)).json()
        assert page["segment"]["described"] == "State is CA or City is Oslo"
        missing = await client.get(f"/contacts?edit=0&segment={MISSING_ID}", headers=JSON)
        assert missing.status_code == 404


async def test_a_condition_or_row_that_cannot_be_counted_is_none(world: World) -> None:
    who = await world.person("operator")
    async with world.browser(who) as client:
        for path in (PATH, "/contacts"):
            for query in ({"edit": "-1"}, {"edit": "-2", "f": "city:is:Oslo", "state": "f=city:is:Oslo"}):
                assert (await client.get(path, params=query)).status_code == 200, (path, query)
        whole = {"account": str(who.account_id)} | row("city", "empty")
        assert (await client.post(PATH, data=whole | {"edit": "9" * 5000})).status_code == 422
        for button in ("more", "less", "group"):
            for place in ("filter.rows.²", "filter.rows.².rows"):
                answer = await client.post(PATH, data=whole | {button: place})
                assert answer.status_code == 200, (button, place)


async def test_a_token_for_workflows_alone_creates_no_tag(world: World) -> None:
    who = await world.person("operator")
    lane = "config.branches.0.filter.rows.0"
    async with world.script(who) as client:
        at = await new_workflow(client, "Welcome")
        await insert(client, at, 0, "branch")
        form = {"name": "Robot", "scopes": ["view", "workflows:edit"]}
        token = await client.post("/tokens", json=form)
        client.headers["authorization"] = f"Bearer {token.json()['token']}"
        typed = {"rev": "1", "config.kind": "branch", "config.branches.0.filter.type": "rows"}
        typed |= row("tags", "any_of", lane, search="vip") | {"make": lane}
        answer = await client.post(f"{at}/steps/s1", data=typed)
        assert (answer.status_code, "can't create tags" in answer.text) == (403, True), answer.text
        assert (await client.get("/tags")).json()["items"] == []
