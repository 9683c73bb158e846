"""Work on many contacts asks first, changes what its sender saw, and can be undone."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from app.contacts.schemas import BulkForm
from app.contacts.selection import check_number
from app.errors import Conflict, Unconfirmed
from tests.support.bulk_kit import fill, hidden, jobs
from tests.support.crm_kit import check_revisions, create_contact, run_job
from tests.support.pages import Page
from tests.support.web_kit import HTML, JSON, PARTIAL
from tests.support.world import AccountMember, World

DELETION, RESTORATION, TAGS = (f"/contacts/bulk/{name}" for name in ("deletion", "restoration", "tags"))


async def live(world: World, who: AccountMember) -> int:
    rows = await world.sql(
        "select 1 from contacts where account_id = $1 and deleted_at is null", who.account_id
    )
    return len(rows)


@pytest.mark.parametrize(
    ("form", "total", "asks", "refusal"),
    [
        (BulkForm(all=True), 101, False, None),  # JSON is explicit
        (BulkForm(all=True, expected=101), 101, False, None),
        (BulkForm(all=True, expected=100), 101, False, Conflict),
        (BulkForm(all=True, expected=0), 1, False, Conflict),
        (BulkForm(all=True), 100, True, None),
        (BulkForm(all=True), 101, True, Unconfirmed),
        (BulkForm(all=True, matching=101), 101, True, Unconfirmed),
        (BulkForm(all=True, matching=99), 100, True, Conflict),
        (BulkForm(all=True, matching=99, expected=101), 101, True, None),
        (BulkForm(all=True, matching=101, expected=101), 102, True, Conflict),
        (BulkForm(id=[UUID(int=1), UUID(int=2)], matching=250), 2, True, None),
        (BulkForm(id=[UUID(int=1), UUID(int=2)], matching=250), 1, True, Conflict),
        (BulkForm(ids=[UUID(int=1), UUID(int=2)]), 1, False, None),
    ],
)
def test_number_must_match_the_one_the_sender_saw(
    form: BulkForm, total: int, asks: bool, refusal: type[Conflict] | None
) -> None:
    if refusal is None:
        return check_number(form, total, asks=asks)
    with pytest.raises(Conflict) as refused:
        check_number(form, total, asks=asks)
    assert type(refused.value) is refusal
    assert refused.value.current == {"total": total}
    return None


async def test_more_than_a_hundred_are_confirmed_in_a_browser(world: World) -> None:
    who = await world.person("operator")
    await fill(world, who, 101)
    async with world.browser(who) as client:
        listed = await client.get("/contacts?q=doe&count=capped")
        assert hidden(listed.text)["matching"] == ["101"]
        body = {"account": str(who.account_id), "all": "true", "q": "doe", "matching": "101"}
        page = await client.post(DELETION, data=body)
        assert (page.status_code, await jobs(world, who)) == (200, 0), (
            "nothing is done before it is confirmed"
        )
        for text in ("Delete 101 contacts", "All contacts matching your search"):
            assert text in page.text
        sent = hidden(page.text)
        assert {name: sent[name] for name in ("all", "q", "expected")} == {
            "all": ["true"], "q": ["doe"], "expected": ["101"],
        }  # fmt: skip
        assert Page(page.text, DELETION).offers()[DELETION] == {"all", "q", "expected"}
        part = await client.post(DELETION, data=body, headers=PARTIAL)
        assert ("Delete 101 contacts" in part.text, "<html" in part.text) == (True, False)
        done = await client.post(DELETION, data=sent)
        assert done.status_code == 303, done.text
        await run_job(world, who, done.headers["location"].rpartition("/")[2])
    assert await live(world, who) == 0


async def test_changed_number_gives_409_and_a_fresh_button(world: World) -> None:
    who = await world.person()
    await fill(world, who, 5)
    async with world.browser(who) as client:
        body = {"all": "true", "matching": "4"}
        page = await client.post(DELETION, data=body)
        assert (page.status_code, await jobs(world, who)) == (409, 0)
        assert "5 contacts match now, not 4. Nothing was changed." in page.text
        sent = hidden(page.text)
        await fill(world, who, 1)
        late = await client.post(DELETION, data=sent)
        assert (late.status_code, "6 contacts match now, not 5" in late.text) == (409, True)
        assert (await client.post(DELETION, data=hidden(late.text))).status_code == 303
        ids = [str(contact) for contact in await fill(world, who, 2)]
        await client.post(f"/contacts/{ids[0]}/deletion")
        gone = await client.post(DELETION, data={"id": ids})
        assert (gone.status_code, "1 contact matches now, not 2" in gone.text) == (409, True)
        assert hidden(gone.text)["id"] == ids
    assert await jobs(world, who) == 1


async def test_json_may_send_the_expected_number(world: World) -> None:
    who = await world.person()
    await fill(world, who, 102, city="Oslo")
    async with world.script(who) as client:
        body: dict[str, Any] = {"all": True, "f": ["city:is:Oslo"]}
        for path, more in ((DELETION, {}), (TAGS, {"tag": "vip"})):
            refused = await client.post(path, json={**body, **more, "expected": 101})
            assert (refused.status_code, refused.json()["current"]) == (409, {"total": 102}), path
            assert await jobs(world, who) == 0
        assert (await client.post(TAGS, json={**body, "tag": "vip", "expected": 102})).status_code == 201
        assert (await client.post(DELETION, json={"all": True})).status_code == 201, (
            "JSON needs no second step"
        )
        for wrong in (-1, "many"):
            assert (await client.post(DELETION, json={"all": True, "expected": wrong})).status_code == 422
        no_tag = await client.post(TAGS, json={"all": True})
        assert (no_tag.status_code, list(no_tag.json()["errors"])) == (422, ["tag"])


async def test_browser_gets_a_page_that_asks_for_the_tag(world: World) -> None:
    who = await world.person()
    ids = [str(contact) for contact in await fill(world, who, 6)]
    async with world.browser(who) as client:
        await client.post(f"/contacts/{ids[0]}/tags", data={"name": "vip"})
        page = await client.post(TAGS, data={"id": ids, "matching": "6"})
        assert (page.status_code, "Tag 6 contacts" in page.text) == (200, True)
        assert '<option value="vip">' in page.text
        sent = hidden(page.text)
        assert (sent["id"], sent["expected"]) == (ids, ["6"])
        blank = await client.post(TAGS, data={**sent, "tag": " "})
        assert (blank.status_code, "Enter a tag of 1 to 60 characters." in blank.text) == (422, True)
        done = await client.post(TAGS, data={**hidden(blank.text), "tag": "vip", "operation": "add"})
        assert done.status_code == 303, done.text
        job = (await client.get(done.headers["location"], headers=JSON)).json()
        assert job["title"] == "Tag 6 contacts with vip"
        nothing = await client.post(DELETION, data={"matching": "6"})
        assert (nothing.status_code, "Select contacts in the list first" in nothing.text) == (422, True)


async def deleted_in_bulk(world: World, who: AccountMember, client: httpx.AsyncClient, ids: list[str]) -> str:
    job = (await client.post(DELETION, json={"ids": ids}, headers=JSON)).json()
    await run_job(world, who, job["job_id"])
    await world.sql("update jobs set status = 'done' where id = $1", UUID(job["job_id"]))
    return str(job["href"])


async def test_undo_restores_contacts_of_the_job_that_are_still_deleted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.contacts.bulk.BATCH", 2)
    who = await world.person("operator")
    async with world.browser(who) as client:
        ids = [
            (await create_contact(client, first_name=f"P{n}", email=f"p{n}@x.example"))["id"]
            for n in range(7)
        ]
        await client.post(f"/contacts/{ids[6]}/deletion")  # by hand, before
        href = await deleted_in_bulk(world, who, client, ids[:6])
        await client.post(f"/contacts/{ids[0]}/restoration")  # by hand, after
        await client.post(f"/contacts/{ids[1]}/restoration")
        await client.post(f"/contacts/{ids[1]}/deletion")  # and again: no longer the job's
        await create_contact(client, first_name="Other", email="p2@x.example")
        page = await client.get(href)
        assert "4 contacts deleted by this job can be restored" in page.text
        assert f'action="{href}/undo"' in page.text
        undone = await client.post(f"{href}/undo", data={"account": str(who.account_id)})
        assert undone.status_code == 303, undone.text
        await run_job(world, who, undone.headers["location"].rpartition("/")[2])
        left = {
            item["id"] for item in (await client.get("/contacts?deleted=true", headers=JSON)).json()["items"]
        }
        assert left == {ids[1], ids[2], ids[6]}
        result = (await client.get(undone.headers["location"], headers=JSON)).json()["result"]
        assert (result["changed"], result["not_restored"]) == (3, 1)
        assert "1 contact stayed deleted" in (await client.get(undone.headers["location"])).text
        again = await client.post(f"{href}/undo", headers=JSON)
        assert (again.status_code, "already undone" in again.json()["detail"]) == (409, True)
        page = await client.get(href)
        assert ("This deletion was undone." in page.text, f"{href}/undo" in page.text) == (True, False)
        await world.sql("update jobs set status = 'cancelled' where task = 'bulk.delete'")
        retried = await client.post(f"{href}/retry", headers=JSON)
        assert (retried.status_code, "was undone" in retried.json()["detail"]) == (409, True)
    audit = [action for action, _ in await world.audit(who.account_id)]
    assert (audit.count("job.undone"), audit.count("contact.restored")) == (1, 5)
    await check_revisions(world, who.account_id)


async def test_undo_is_for_ended_bulk_deletions_and_editors(world: World) -> None:
    who = await world.person()
    viewer = await world.person("viewer", who.account_id)
    stranger = await world.person()
    ids = [str(contact) for contact in await fill(world, who, 3)]
    async with world.script(who) as client:
        queued = (await client.post(DELETION, json={"ids": ids})).json()["href"]
        early = await client.post(f"{queued}/undo")
        assert (early.status_code, early.json()["current"]) == (409, {"status": "queued"})
        tagged = (await client.post(TAGS, json={"ids": ids, "tag": "vip"})).json()["href"]
        assert (await client.post(f"{tagged}/undo")).status_code == 409
        await world.sql("update jobs set status = 'done' where account_id = $1", who.account_id)
        nothing = await client.post(f"{queued}/undo")
        assert (nothing.status_code, await jobs(world, who)) == (409, 2)
        href = await deleted_in_bulk(world, who, client, ids)
        assert "undo" in [action["name"] for action in (await client.get(href)).json()["actions"]]
    for other, status in ((viewer, 403), (stranger, 404)):
        async with world.script(other) as client:
            assert (await client.post(f"{href}/undo")).status_code == status
    async with world.script(viewer) as client:
        assert (await client.get(href)).json()["actions"] == []
    assert await live(world, who) == 0


async def test_the_list_of_deleted_contacts_restores_in_bulk(world: World) -> None:
    who = await world.person()
    ids = [str(contact) for contact in await fill(world, who, 120, city="Oslo")]
    extra_contacts = await fill(world, who, 1, city="Oslo")
    await fill(world, who, 2, city="Bergen")
    async with world.browser(who) as client:
        assert "/bulk/restoration" not in (await client.get("/contacts")).text
        await deleted_in_bulk(world, who, client, ids)
        await deleted_in_bulk(world, who, client, [str(extra_contacts[0])])
        page = await client.get("/contacts?deleted=true&f=city:is:Oslo")
        assert (f'formaction="{RESTORATION}"' in page.text, DELETION in page.text) == (True, False)
        listed = (await client.get("/contacts?deleted=true", headers=JSON)).json()
        assert [action["name"] for action in listed["actions"] if "bulk" in action["href"]] == ["restore"]
        body = {"all": "true", "f": "city:is:Oslo", "matching": "121"}
        confirmation = await client.post(RESTORATION, data=body)
        assert (confirmation.status_code, "Restore 121 contacts" in confirmation.text) == (200, True)
        done = await client.post(RESTORATION, data=hidden(confirmation.text))
        assert done.status_code == 303, done.text
        assert await live(world, who) == 2
        await run_job(world, who, done.headers["location"].rpartition("/")[2])
        assert await live(world, who) == 123
        none = await client.post(RESTORATION, json={"ids": ids}, headers=JSON)
        assert none.status_code == 422, "who is not deleted cannot be restored"
    rows = await world.sql(
        "select 1 from contacts where account_id = $1 and deletion_job_id is not null", who.account_id
    )
    assert rows == []


async def test_restore_takes_the_latest_deleted_of_one_address(world: World) -> None:
    who = await world.person()
    async with world.script(who) as client:
        ids = []
        for _ in range(2):
            ids.append((await create_contact(client, first_name="Ann", email="a@x.example"))["id"])
            await client.post(f"/contacts/{ids[-1]}/deletion")
        job = (await client.post(RESTORATION, json={"ids": ids, "expected": 2})).json()
        await run_job(world, who, job["job_id"])
        assert [item["id"] for item in (await client.get("/contacts")).json()["items"]] == [ids[1]]


@pytest.mark.parametrize("role", ["viewer", "operator"])
async def test_viewers_and_other_accounts_cannot_restore(world: World, role: str) -> None:
    who = await world.person()
    other = await world.person(role, who.account_id if role == "viewer" else None)
    ids = [str(contact) for contact in await fill(world, who, 2)]
    async with world.script(who) as client:
        await deleted_in_bulk(world, who, client, ids)
    async with world.browser(other) as client:
        for headers in (HTML, PARTIAL, JSON):
            answer = await client.post(RESTORATION, data={"id": ids}, headers=headers)
            assert answer.status_code in ({403} if role == "viewer" else {409, 422}), answer.text
    assert await live(world, who) == 0


@pytest.mark.parametrize("kind", ["tags", "fields"])
async def test_deleting_a_tag_or_field_shows_how_many_contacts_lose_it(world: World, kind: str) -> None:
    who = await world.person()
    async with world.browser(who) as client:
        body = {"name": "vip"} if kind == "tags" else {"label": "Score"}
        thing = (await client.post(f"/{kind}", json=body, headers=JSON)).json()[kind[:-1]]
        href = f"/{kind}/{thing['id']}"

        async def give() -> None:
            values: dict[str, Any] = {"fields": {thing["id"]: "7"}} if kind == "fields" else {}
            contact = (await create_contact(client, first_name="Ann", **values))["id"]
            if kind == "tags":
                await client.post(f"/contacts/{contact}/tags", data={"name": "vip"})

        await give()
        page = await client.get(href)
        assert "1 contact loses" in page.text
        sent = {"expected": hidden(page.text)["expected"][0]}
        assert sent == {"expected": "1"}
        await give()
        late = await client.post(f"{href}/deletion", data=sent)
        assert (late.status_code, "Nothing was changed." in late.text) == (409, True)
        assert ("2 contacts lose" in late.text, hidden(late.text)["expected"]) == (True, ["2"])
        script = await client.post(f"{href}/deletion", json={"expected": 3}, headers=JSON)
        assert (script.status_code, script.json()["current"]) == (409, {"total": 2})
        gone = await client.post(f"{href}/deletion", data={"expected": "2"})
        assert (gone.status_code, gone.headers["location"]) == (303, f"/{kind}")
