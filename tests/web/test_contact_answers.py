"""What JSON holds of contacts: only the fields that `fields` names, and after a change the contact alone."""

from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest

from app.contacts.use_cases import Catalogs, contact_of
from app.work import SYSTEM, open_work
from db.ids import uuid7
from tests.support.crm_kit import create_contact
from tests.support.world import World


@pytest.fixture
async def script(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.script(await world.person()) as client:
        yield client


async def test_fields_choose_what_the_list_has(script: httpx.AsyncClient) -> None:
    for number in range(3):
        await create_contact(script, first_name=f"P{number}", email=f"p{number}@x.example")
    page = (await script.get("/contacts?fields=name,email&fields=tags&limit=2&sort=name")).json()
    assert page["items"] == [
        {"name": f"P{number}", "email": f"p{number}@x.example", "tags": []} for number in (0, 1)
    ]
    assert (page["total"], page["more_than_total"], page["previous"]) == (3, False, "")
    assert set(page) == {"items", "total", "more_than_total", "next", "previous"}
    rest = (await script.get(page["next"])).json()
    assert rest["items"] == [{"name": "P2", "email": "p2@x.example", "tags": []}], "the link keeps `fields`"
    assert (await script.get(rest["previous"])).json()["items"] == page["items"]
    allowed = (await script.get("/contacts?fields=id,actions")).json()
    assert {"delete", "import", "new"} <= {action["name"] for action in allowed["actions"]}
    assert list(allowed["items"][0]) == ["id"]


async def test_fields_choose_what_one_contact_has(script: httpx.AsyncClient) -> None:
    contact = await create_contact(script, first_name="Ann", city="Oslo")
    href = f"/contacts/{contact['id']}"
    chosen = (await script.get(f"{href}?fields=name,rev,tags")).json()
    assert chosen == {"contact": {"name": "Ann", "rev": 1, "tags": []}}
    every = await script.get(f"{href}?fields={','.join(contact)}")
    assert every.json() == {"contact": contact}
    allowed = (await script.get(f"{href}?fields=actions")).json()
    assert {"tag", "delete", "note"} <= {action["name"] for action in allowed["actions"]}
    assert allowed["contact"] == {}


async def test_unknown_fields_are_refused_with_the_nearest_name(script: httpx.AsyncClient) -> None:
    contact = await create_contact(script, first_name="Ann")
    for path in ("/contacts", f"/contacts/{contact['id']}"):
        refused = await script.get(f"{path}?fields=id,emial")
        assert (refused.status_code, refused.json()["errors"]) == (
            422,
            {"fields": "A contact has no “emial”. Did you mean “email”?"},
        )
        assert "Choose from id, " in (await script.get(f"{path}?fields=xyz")).json()["errors"]["fields"]


async def test_pages_show_everything_whatever_fields_says(world: World) -> None:
    async with world.browser(await world.person()) as client:
        contact = await create_contact(client, first_name="Ann", city="Oslo")
        for path in ("/contacts", f"/contacts/{contact['id']}"):
            page = await client.get(f"{path}?fields=nonsense")
            assert (page.status_code, "Oslo" in page.text) == (200, True)


async def test_a_change_answers_with_the_contact_and_its_actions(script: httpx.AsyncClient) -> None:
    created = await script.post("/contacts", json={"first_name": "Ann", "email": "a@x.example"})
    answer = created.json()
    href = f"/contacts/{answer['contact']['id']}"
    assert set(answer) == {"contact", "href", "actions"}
    assert created.headers["location"] == answer["href"] == href
    for path, body in (
        (href, {"city": "Oslo"}),
        (f"{href}/tags", {"name": "vip"}),
        (f"{href}/tags", {"name": "Beta"}),
        (f"{href}/deletion", {}),
        (f"{href}/restoration", {}),
    ):
        changed = (await script.post(path, json=body)).json()
        page = (await script.get(href)).json()
        assert changed["contact"] == page["contact"], path
        assert changed["actions"] == page["actions"], path
    now = (await script.get(href)).json()
    assert [tag["name"] for tag in now["contact"]["tags"]] == ["Beta", "vip"]
    untag = next(action for action in now["actions"] if action["label"] == "Remove tag vip")
    changed = (await script.request(untag["method"], untag["href"])).json()
    assert [tag["name"] for tag in changed["contact"]["tags"]] == ["Beta"]


async def test_a_refused_creation_leaves_nothing(world: World) -> None:
    who = await world.person()
    async with world.script(who) as client:
        await create_contact(client, first_name="Ann", email="a@x.example", external_id="7")
        await create_contact(client, first_name="Bob", email="b@x.example", external_id="8")
        taken = await client.post("/contacts", json={"email": "a@x.example", "external_id": "8"})
        assert (taken.status_code, taken.json()["errors"]) == (
            422,
            {
                "email": "Ann already has this email address.",
                "external_id": "Bob already has this external ID.",
            },
        )
    assert [kind for kind, _ in await world.audit(who.account_id)].count("contact.created") == 2
    kinds = await world.sql("select kind from events where account_id = $1", who.account_id)
    assert len(kinds) == 2


async def test_values_of_every_kind_are_stored(world: World) -> None:
    """The statement of a change names each column."""
    who = await world.person()
    async with world.script(who) as client:
        field = (await client.post("/fields", json={"label": "Plan", "type": "text"})).json()["field"]["id"]
        contact = await create_contact(
            client, first_name="Ann", owner=str(who.user_id), fields={field: "pro"}
        )
        assert (contact["owner"], contact["owner_name"], contact["fields"]) == (
            str(who.user_id),
            who.name,
            {field: "pro"},
        )
        assert (contact["email_consent"], contact["rev"], contact["deleted_at"]) == ("unknown", 1, None)
        read = (await client.get(f"/contacts/{contact['id']}")).json()
        assert read["contact"] == contact
        assert read["history"][0]["changes"] == [
            {"field": f"custom.{field}", "before": None, "after": "pro"},
            {"field": "first_name", "before": None, "after": "Ann"},
            {"field": "owner", "before": None, "after": who.name},
        ]
        body = {"owner": None, "email_consent": "granted", "fields": {field: None}}
        cleared = (await client.post(f"/contacts/{contact['id']}", json=body)).json()["contact"]
        assert (cleared["owner"], cleared["owner_name"], cleared["fields"], cleared["email_consent"]) == (
            None, "", {}, "granted",
        )  # fmt: skip


async def test_lists_and_changes_read_catalogs_from_the_caches(world: World) -> None:
    who = await world.person()
    async with world.script(who) as client:
        contact = (await create_contact(client, first_name="Ann", city="Oslo"))["id"]
        reads = world.runtime.catalogs.reads
        for method, path, body in (
            ("GET", "/contacts?f=city:is:Oslo&q=ann", None),
            ("GET", f"/contacts/{contact}", None),
            ("PATCH", f"/contacts/{contact}", {"city": "Bergen"}),
            ("DELETE", f"/contacts/{contact}", None),
        ):
            before = dict(reads)
            assert (await client.request(method, path, json=body)).status_code == 200
            grown = {key: count - before.get(key, 0) for key, count in reads.items()}
            read = {key: count for key, count in grown.items() if count}
            assert {"account", "fields", "tags"} <= {name for name, _ in read}
            assert "uncached" not in {source for _, source in read}, (path, read)
            if "?" in path:
                assert set(read.values()) == {1}, "each catalog is read once"


async def test_a_tag_and_an_owner_who_are_newer_than_the_transaction_have_their_names(world: World) -> None:
    who, tag = await world.person(), uuid7()
    async with world.script(who) as client:
        contact = UUID((await create_contact(client, first_name="Ann"))["id"])
    async with open_work(world.runtime, who.account_id, SYSTEM) as work:
        await Catalogs.of(work)
        owner = await world.person("operator", who.account_id)
        await world.sql("insert into tags (account_id, id, name, slug) values ($1, $2, 'vip', 'vip')",
                        who.account_id, tag)  # fmt: skip
        await world.sql("insert into contact_tags (account_id, contact_id, tag_id) values ($1, $2, $3)",
                        who.account_id, contact, tag)  # fmt: skip
        await world.sql("update contacts set owner_id = $1 where id = $2", owner.user_id, contact)
        view = await contact_of(work, contact)
    assert ([ref.name for ref in view.tags], view.owner_name) == (["vip"], owner.name)
