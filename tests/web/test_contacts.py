"""Contacts on the real app: the list, the record, its forms, tags, and work on many."""

import re
from uuid import uuid4

import pytest

from jobs.job_runner import run_jobs
from tests.support.crm_kit import MISSING_ID, create_contact, run_job
from tests.support.web_kit import HTML, JSON, PARTIAL
from tests.support.world import AccountMember, World


async def events(world: World, who: AccountMember) -> list[tuple[str, str]]:
    rows = await world.sql(
        "select kind, source from events where account_id = $1 order by id", who.account_id
    )
    return [(row["kind"], row["source"]) for row in rows]


async def test_contact_is_created_shown_and_changed_in_a_browser(world: World) -> None:
    who = await world.person("operator")
    async with world.browser(who) as client:
        assert "No contacts yet" in (await client.get("/contacts")).text
        form = {"account": str(who.account_id), "first_name": "Ann", "last_name": "Lee", "city": "",
                "email": " Ann@Example.com ", "phone": "504-621-8927"}  # fmt: skip
        answer = await client.post("/contacts", data=form)
        assert answer.status_code == 303, answer.text
        page = await client.get(answer.headers["location"])
        for text in ("Ann Lee", "ann@example.com", "+15046218927", "Contact created"):
            assert text in page.text
        href = answer.headers["location"]
        edit = await client.get(f"{href}/edit")
        rev = re.search(r'name="rev" value="(\d+)"', edit.text)
        assert rev
        saved = await client.post(href, data={"rev": rev[1], "city": "Oslo", "phone": ""})
        assert (saved.status_code, saved.headers["location"]) == (303, href)
        page = await client.get(href, headers=JSON)
        assert (page.json()["contact"]["city"], page.json()["contact"]["phone"]) == ("Oslo", None)
        wrong = await client.post(href, data={"email": "nonsense", "city": "Bergen"})
        assert wrong.status_code == 422
        assert "like name@example.com" in wrong.text
        assert 'value="Bergen"' in wrong.text, "what was typed stays"
    assert await events(world, who) == [("contact.created", "user"), ("contact.updated", "user")]
    changes = await world.sql(
        "select changes from audit_logs where account_id = $1 and action = 'contact.updated'", who.account_id
    )
    assert '"city": [null, "Oslo"]' in changes[0]["changes"]


async def test_new_contact_gets_its_tags_owner_and_consent_in_one_write(world: World) -> None:
    who = await world.person("operator")
    async with world.browser(who) as client:
        await client.post("/tags", data={"name": "VIP"})
        form = (await client.get("/contacts/new")).text
        for name in ("tags", "owner", "email_consent", "sms_consent"):
            assert f'name="{name}"' in form
        assert '<option value="VIP">' in form
        body = {"first_name": "Ann", "tags": ["vip", "New one", "", "Vip"], "owner": str(who.user_id),
                "email_consent": "granted"}  # fmt: skip
        wrong = await client.post("/contacts", data=body | {"tags": ["vip", "x" * 61]})
        assert (wrong.status_code, 'value="vip"' in wrong.text, "of 1 to 60" in wrong.text) == (
            422,
            True,
            True,
        )
        assert (await client.get("/contacts", headers=JSON)).json()["items"] == []
        created = await client.post("/contacts", data=body)
        assert created.status_code == 303, created.text
        contact = (await client.get(created.headers["location"], headers=JSON)).json()["contact"]
        assert [tag["name"] for tag in contact["tags"]] == ["New one", "VIP"]
        assert (contact["owner_name"], contact["email_consent"]) == ("Operator", "granted")
        script = await client.post("/contacts", json={"last_name": "Lee", "tags": ["vip"]}, headers=JSON)
        assert [tag["name"] for tag in script.json()["contact"]["tags"]] == ["VIP"]
        for tags in ([""], ["x"] * 51, "vip", [1], ["\x07"]):
            refused = await client.post("/contacts", json={"last_name": "Lee", "tags": tags}, headers=JSON)
            assert (refused.status_code, next(iter(refused.json()["errors"])).split(".")[0]) == (422, "tags")
    kinds = [kind for kind, _ in await events(world, who)]
    assert kinds == ["contact.created", "tag.added", "tag.added", "contact.created", "tag.added"]


async def test_unique_values_name_the_other_contact(world: World) -> None:
    async with world.script(await world.person()) as client:
        await create_contact(client, first_name="Ann", email="a@x.example", external_id="7")
        other = await create_contact(client, first_name="Bob")
        for values in ({"email": "A@x.example"}, {"external_id": " 7 "}):
            for path in ("/contacts", f"/contacts/{other['id']}"):
                answer = await client.post(path, json=values)
                assert answer.status_code == 422, answer.text
                assert next(iter(answer.json()["errors"].values())).startswith("Ann already has this")
        empty = await client.post("/contacts", json={"city": "Oslo"})
        assert (empty.status_code, list(empty.json()["errors"])) == (422, [""])


async def test_one_field_in_place_with_htmx(world: World) -> None:
    async with world.browser(await world.person()) as client:
        contact = await create_contact(client, first_name="Ann", city="Oslo")
        href = f"/contacts/{contact['id']}/fields/city"
        form = await client.get(href, headers=PARTIAL)
        assert 'value="Oslo"' in form.text
        assert "<html" not in form.text
        assert "<html" in (await client.get(href)).text
        saved = await client.post(href, data={"value": "Moss", "rev": "1"}, headers=PARTIAL)
        assert (saved.status_code, "Moss" in saved.text, "<form" in saved.text) == (200, True, False)
        zone = href.replace("city", "time_zone")
        wrong = await client.post(zone, data={"value": "Mars/Base"}, headers=PARTIAL)
        assert (wrong.status_code, "America/New_York" in wrong.text) == (422, True)
        for key in ("tags", "created_at", "nonsense", f"custom.{MISSING_ID}"):
            assert (await client.get(href.replace("city", key))).status_code == 404


async def test_restore_fails_if_the_email_is_taken(world: World) -> None:
    who = await world.person()
    async with world.script(who) as client:
        contact = await create_contact(client, first_name="Ann", email="a@x.example")
        href = f"/contacts/{contact['id']}"
        gone = await client.post(f"{href}/deletion")
        assert gone.json()["contact"]["deleted_at"]
        assert [action["name"] for action in gone.json()["actions"]] == ["restore"]
        assert (await client.get("/contacts")).json()["items"] == []
        assert len((await client.get("/contacts?deleted=true")).json()["items"]) == 1
        assert (await client.post(href, json={"city": "Oslo"})).status_code == 409
        other = await create_contact(client, first_name="Bob", email="a@x.example")
        taken = await client.post(f"{href}/restoration")
        assert (taken.status_code, taken.json()["current"]["name"]) == (409, "Bob")
        await client.post(f"/contacts/{other['id']}", json={"email": None})
        assert (await client.post(f"{href}/restoration")).json()["contact"]["deleted_at"] is None
    kinds = [kind for kind, _ in await events(world, who)]
    assert kinds == ["contact.created", "contact.deleted", "contact.created", "contact.updated"]


async def test_tags_of_one_contact(world: World) -> None:
    who = await world.person()
    async with world.browser(who) as client:
        contact = await create_contact(client, first_name="Ann")
        href = f"/contacts/{contact['id']}"
        for name in ("VIP", " vip "):
            assert (await client.post(f"{href}/tags", data={"name": name})).status_code == 303
        page = (await client.get(href, headers=JSON)).json()
        assert [tag["name"] for tag in page["contact"]["tags"]] == ["VIP"]
        untag = next(action for action in page["actions"] if action["name"].startswith("untag:"))
        assert f'action="{untag["form_href"]}"' in (await client.get(href)).text
        assert (await client.post(untag["form_href"])).status_code == 303
        assert (await client.post(f"{href}/tags", data={"name": "x" * 61})).status_code == 422
        assert (await client.post(f"{href}/tags/{MISSING_ID}/deletion")).status_code == 404
    assert [kind for kind, _ in await events(world, who)] == ["contact.created", "tag.added", "tag.removed"]


@pytest.mark.parametrize("sort", ["name", "-name", "email", "state", "created_at", "-updated_at"])
async def test_pages_contain_every_contact_once_in_both_directions(world: World, sort: str) -> None:
    async with world.script(await world.person()) as client:
        for number in range(7):
            await create_contact(
                client, first_name=f"P{number % 3}", last_name="Doe", state="CA" if number % 2 else None
            )
        whole = [item["id"] for item in (await client.get(f"/contacts?sort={sort}")).json()["items"]]
        assert len(whole) == 7
        page = (await client.get(f"/contacts?sort={sort}&limit=3")).json()
        walk, pages = [item["id"] for item in page["items"]], [page]
        while page["next"]:
            page = (await client.get(page["next"])).json()
            pages.append(page)
            walk += [item["id"] for item in page["items"]]
        assert walk == whole
        assert [len(page["items"]) for page in pages] == [3, 3, 1]
        back = (await client.get(pages[2]["previous"])).json()
        assert back["items"] == pages[1]["items"]
        assert not (await client.get(back["previous"])).json()["previous"]


async def test_search_filters_and_columns(world: World) -> None:
    who = await world.person()
    async with world.browser(who) as client:
        for name, state in (("Ann", "CA"), ("Bob", "TX"), ("Cyd", None)):
            await create_contact(client, first_name=name, email=f"{name}@x.example", state=state)

        async def names(query: str) -> list[str]:
            answer = await client.get(f"/contacts?sort=name&{query}", headers=JSON)
            assert answer.status_code == 200, answer.text
            return [item["name"] for item in answer.json()["items"]]

        assert await names("q=ANN+x.example") == ["Ann"]
        assert await names("q=100%25") == []
        assert await names("f=state:is:ca") == ["Ann"]
        assert await names("f=state:is:CA&f=state:empty&match=any") == ["Ann", "Cyd"]
        assert await names("f=state:not_empty&field=first_name&op=starts&value=b") == ["Bob"]
        page = await client.get("/contacts?f=state:is:CA&columns=city&columns=state&sort=state")
        assert 'aria-sort="ascending"' in page.text
        assert "Remove filter State" in page.text
        operator = 'name="filter.rows.0.op"'
        assert operator in (await client.get("/contacts?add=state")).text
        blank = await client.get("/contacts?field=state&op=is&value=")
        assert (blank.status_code, "Enter a value." in blank.text, operator in blank.text) == (
            422,
            True,
            True,
        )
        assert (await client.get("/contacts?field=state&op=is&value=", headers=JSON)).status_code == 422
        for query, wrong in (
            ("field=stat&op=is&value=CA", "field"),
            ("field=state&op=in_last&value=7", "op"),
            ("field=state&value=CA", "op"),
        ):
            refused = await client.get(f"/contacts?{query}", headers=JSON)
            assert (refused.status_code, list(refused.json()["errors"])) == (422, [wrong]), (
                "never all contacts"
            )
            assert (await client.get(f"/contacts?{query}")).status_code == 422
        part = await client.get("/contacts?q=ann", headers=PARTIAL)
        assert ("Ann" in part.text, "<html" in part.text) == (True, False)
        assert "No matching contacts" in (await client.get("/contacts?q=zzz")).text


@pytest.mark.parametrize(
    "query",
    ["f=nonsense:is:1", "f=state:near:1", "f={", "match=some", "sort=rev", "after=x", "limit=1000",
     "after=WyJhIiwieCJd", "q=" + "x" * 201, "f=tags:any_of:" + MISSING_ID],
)  # fmt: skip
async def test_invalid_email_is_422(world: World, query: str) -> None:
    async with world.script(await world.person()) as client:
        for headers in (JSON, HTML):
            answer = await client.get(f"/contacts?{query}", headers=headers)
            assert answer.status_code == 422
            assert "Please correct: f" not in answer.text


async def test_bulk_tags_by_ids_and_by_filter(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.contacts.bulk.BATCH", 2)
    who = await world.person("operator")
    async with world.script(who) as client:
        ids = [
            (await create_contact(client, first_name=f"P{n}", state="CA" if n < 3 else "TX"))["id"]
            for n in range(5)
        ]
        answer = await client.post("/contacts/bulk/tags", json={"ids": ids, "tag": "vip"})
        assert (answer.status_code, answer.json()["total"]) == (201, 5)
        assert answer.headers["location"] == f"/jobs/{answer.json()['job_id']}"
        assert await run_job(world, who, answer.json()["job_id"]) == 3
        again = await client.post("/contacts/bulk/tags", json={"ids": ids, "tag": "VIP"})
        await run_job(world, who, again.json()["job_id"])
        some = await client.post(
            "/contacts/bulk/tags",
            data={"all": "true", "f": "state:is:CA", "tag": "vip", "operation": "remove"},
            headers=HTML,
        )
        assert some.status_code == 303
        await run_job(world, who, some.headers["location"].rpartition("/")[2])
        tag = (await client.get("/tags")).json()["items"][0]
        assert (tag["name"], tag["contacts"]) == ("vip", 2)
    recorded = await events(world, who)
    assert recorded.count(("tag.added", "bulk")) == 5, "once each, though asked twice"
    assert recorded.count(("tag.removed", "bulk")) == 3
    rows = await world.sql("select progress, total, result from jobs where account_id = $1", who.account_id)
    assert all(row["progress"] == row["total"] for row in rows)


async def test_many_jobs_at_once_are_each_done_once(world: World) -> None:
    """A claim takes one job: what a worker claimed and does not do would wait for its lease to run out."""
    who = await world.person()
    async with world.script(who) as client:
        ids = [(await create_contact(client, first_name=f"P{n}"))["id"] for n in range(4)]
        for number in range(6):
            await client.post("/contacts/bulk/tags", json={"ids": ids, "tag": f"t{number}"})
    for _ in range(6):
        assert await run_jobs(world.runtime, who.account_id) == 1
    rows = await world.sql("select status, attempts from jobs where account_id = $1", who.account_id)
    assert [(row["status"], row["attempts"]) for row in rows] == [("done", 1)] * 6


async def test_bulk_deletion(world: World) -> None:
    who = await world.person()
    async with world.script(who) as client:
        ids = [(await create_contact(client, first_name=f"P{n}"))["id"] for n in range(3)]
        answer = await client.post("/contacts/bulk/deletion", json={"ids": [*ids[:2], str(uuid4())]})
        assert answer.json()["total"] == 2
        await run_job(world, who, answer.json()["job_id"])
        assert [item["id"] for item in (await client.get("/contacts")).json()["items"]] == ids[2:]
        for body in ({}, {"ids": [MISSING_ID]}, {"ids": ["x"]}, {"all": True, "f": ["x:is:1"]}):
            refused = await client.post("/contacts/bulk/deletion", json=body)
            assert refused.status_code == 422, refused.text
        body = {"tag": "", "id": ids[2], "expected": "1"}
        page = await client.post("/contacts/bulk/tags", data=body, headers=HTML)
        assert (page.status_code, "Enter a tag of 1 to 60 characters." in page.text) == (422, True)
        for words in ({"tag": " "}, {"tag": "x", "operation": "flip"}):
            refused = await client.post("/contacts/bulk/tags", json={"ids": ids, **words})
            assert refused.status_code == 422, refused.text


CHANGES = ["", "/deletion", "/restoration", "/tags", f"/tags/{MISSING_ID}/deletion", "/fields/city"]


async def test_viewers_cannot_change_and_see_no_buttons(world: World) -> None:
    owner = await world.person()
    viewer = await world.person("viewer", owner.account_id)
    async with world.script(owner) as client:
        contact = await create_contact(client, first_name="Ann")
    async with world.browser(viewer) as client:
        href = f"/contacts/{contact['id']}"
        for path in ("/contacts", "/contacts/bulk/tags", "/contacts/bulk/deletion"):
            assert (await client.post(path, data={"name": "x"})).status_code == 403
        for path in CHANGES:
            assert (await client.post(f"{href}{path}", data={"name": "x"})).status_code == 403
        for path in ("/contacts/new", f"{href}/edit", f"{href}/fields/city"):
            assert (await client.get(path)).status_code == 403
        for path in ("/contacts", href):
            page = await client.get(path)
            assert (page.status_code, 'method="post"' in page.text.partition("<main")[2]) == (200, False)
            assert (await client.get(path, headers=JSON)).json()["actions"] == []


async def test_other_accounts_and_malformed_ids_are_404(world: World) -> None:
    owner, stranger = await world.person(), await world.person()
    async with world.script(owner) as client:
        contact = await create_contact(client, first_name="Ann")
    async with world.script(stranger) as client:
        for contact_id in (contact["id"], MISSING_ID, "1", "x' or 1=1"):
            for path in ("", "/edit", "/fields/city"):
                assert (await client.get(f"/contacts/{contact_id}{path}")).status_code == 404
            for path in CHANGES:
                body = {"name": "x"} if path == "/tags" else {}
                answer = await client.post(f"/contacts/{contact_id}{path}", json=body)
                assert answer.status_code == 404, (path, answer.text)
        refused = await client.post("/contacts/bulk/deletion", json={"ids": [contact["id"]]})
        assert refused.status_code == 422
        assert (await client.get("/contacts")).json()["total"] == 0
