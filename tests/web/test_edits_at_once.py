"""Two members change one row at the same moment: both changes stay, and the one that had to wait is checked
and answered as things are then."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from db.ids import uuid7
from tests.support.crm_kit import create_contact, create_field
from tests.support.sample_account import Cast, cast_of
from tests.support.web_kit import JSON
from tests.support.world import World

WAITING = """select count(*) from pg_locks l join pg_stat_activity a using (pid)
    where not l.granted and a.datname = current_database()"""

LOCK = "select 1 from {} where id = $1 for no key update"
READ = "select * from {} where id = $1"
LOCK_OF_DELETIONS = "select pg_advisory_xact_lock(hashtextextended('names:' || $1, 0))"


async def settle(connection: asyncpg.Connection, requests: int) -> None:
    """Wait until as many transactions wait for the row."""
    for _ in range(400):
        if await connection.fetchval(WAITING) >= requests:
            return
        await asyncio.sleep(0.05)
    pytest.fail("the requests do not wait for the row")


def account(cast: Cast) -> tuple[str, str, UUID, list[dict[str, Any]]]:
    return "/account", "accounts", cast.account, [{"name": "Renamed"}, {"default_region": "IT"}]


def field(cast: Cast) -> tuple[str, str, UUID, list[dict[str, Any]]]:
    edits: list[dict[str, Any]] = [{"label": "Renamed"}, {"options": "free\npro\nteam"}]
    return f"/fields/{cast.field}", "custom_fields", UUID(str(cast.field)), edits


@pytest.mark.parametrize("row", [account, field])
async def test_concurrent_edits_do_not_overwrite_each_other(world: World, row: Any) -> None:
    cast = await cast_of(world)
    path, table, row_id, edits = row(cast)
    connection = await asyncpg.connect(world.admin_url)
    async with world.script(cast.owner) as script:
        async with connection.transaction():
            await connection.execute(LOCK.format(table), row_id)
            requests = [asyncio.create_task(script.post(path, json=edit)) for edit in edits]
            await settle(connection, len(requests))
        answers = [await request for request in requests]
    await connection.close()
    assert [answer.status_code for answer in answers] == [200, 200], [answer.text for answer in answers]
    [stored] = await world.sql(READ.format(table), row_id)
    for edit in edits:
        for name, value in edit.items():
            assert stored[name] == ('["free", "pro", "team"]' if name == "options" else value)


async def test_a_field_is_changed_and_deleted_at_the_same_moment(world: World) -> None:
    """Both wait for the lock of deletions, and neither holds the field's row meanwhile: no deadlock."""
    cast = await cast_of(world)
    path = f"/fields/{cast.field}"
    connection = await asyncpg.connect(world.admin_url)
    async with world.script(cast.owner) as script:
        async with connection.transaction():
            await connection.execute(LOCK_OF_DELETIONS, str(cast.account))
            change = asyncio.create_task(script.post(path, json={"options": "pro\nteam"}))
            deletion = asyncio.create_task(script.post(f"{path}/deletion", json={}))
            await settle(connection, 2)
        answers = {(await change).status_code, (await deletion).status_code}
    await connection.close()
    assert answers <= {200, 204, 404, 409}, answers


@pytest.mark.parametrize("kind", ["tag", "field"])
async def test_one_of_two_deletions_at_the_same_moment_finds_nothing(world: World, kind: str) -> None:
    who = await world.person()
    connection = await asyncpg.connect(world.admin_url)
    async with world.browser(who) as browser:  # scripts have one place for bulk edits, people have two
        body = {"name": "vip"} if kind == "tag" else {"label": "Plan", "type": "text"}
        row_id = (await browser.post(f"/{kind}s", json=body, headers=JSON)).json()[kind]["id"]
        deletion = partial(browser.delete, f"/{kind}s/{row_id}", headers=JSON)
        async with connection.transaction():
            await connection.execute(LOCK_OF_DELETIONS, str(who.account_id))
            requests = [asyncio.create_task(deletion()) for _ in range(2)]
            await settle(connection, 2)
        statuses = sorted([(await request).status_code for request in requests])
    await connection.close()
    assert statuses == [204, 404]
    assert [action for action, _ in await world.audit(who.account_id)].count(f"{kind}.deleted") == 1


class Meanwhile:
    """A request to change a contact that waits for another transaction, which holds the contact."""

    def __init__(self, world: World, script: httpx.AsyncClient) -> None:
        self.world, self.script = world, script

    @asynccontextmanager
    async def holding(self, contact: str, method: str, path: str, body: Any) -> AsyncIterator[Any]:
        """The other transaction, and where the answer will be."""
        connection = await asyncpg.connect(self.world.admin_url)
        answers: list[httpx.Response] = []
        try:
            async with connection.transaction():
                await connection.execute("select 1 from contacts where id = $1 for update", UUID(contact))
                request = asyncio.create_task(
                    self.script.request(method, f"/contacts/{contact}{path}", json=body)
                )
                await settle(connection, 1)
                yield connection, answers
            answers.append(await request)
        finally:
            await connection.close()


async def stored_fields(world: World, contact: str) -> Any:
    [row] = await world.sql("select fields, owner_id from contacts where id = $1", UUID(contact))
    return row["fields"], row["owner_id"]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_a_field_that_was_deleted_meanwhile_gets_no_value(world: World, method: str) -> None:
    """The contact waits for the deletion of the field, before it holds anything itself."""
    connection = await asyncpg.connect(world.admin_url)
    async with world.script(await world.person()) as script:
        field = (await create_field(script, label="Plan", type="text"))["id"]
        contact = (await create_contact(script, first_name="Ann"))["id"]
        path = "/contacts" if method == "POST" else f"/contacts/{contact}"
        body = {"first_name": "Ann", "fields": {field: "pro"}}
        async with connection.transaction():
            await connection.execute("delete from custom_fields where id = $1", UUID(field))
            request = asyncio.create_task(script.request(method, path, json=body))
            await settle(connection, 1)
            await connection.execute("select from contacts where id = $1 for update", UUID(contact))
        answer = await request
        assert (answer.status_code, list(answer.json()["errors"])) == (422, [f"fields.{field}"])
    await connection.close()
    assert await stored_fields(world, contact) == ("{}", None)


async def test_the_deletion_of_a_field_waits_for_values_on_their_way(world: World) -> None:
    connection = await asyncpg.connect(world.admin_url)
    async with world.script(await world.person()) as script:
        field = (await create_field(script, label="Plan", type="text"))["id"]
        contact = (await create_contact(script, first_name="Ann"))["id"]
        async with connection.transaction():
            await connection.execute("select from custom_fields where id = $1 for key share", UUID(field))
            await connection.execute(
                "update contacts set fields = jsonb_build_object($2::text, 'pro') where id = $1",
                UUID(contact),
                field,
            )
            deletion = asyncio.create_task(script.delete(f"/fields/{field}"))
            await settle(connection, 1)
        assert (await deletion).status_code == 204
    await connection.close()
    assert await stored_fields(world, contact) == ("{}", None)


async def test_a_member_who_was_removed_meanwhile_owns_nothing(world: World) -> None:
    who = await world.person()
    gone = await world.person("operator", who.account_id)
    async with world.script(who) as script:
        contact = (await create_contact(script, first_name="Ann"))["id"]
        change = {"owner": str(gone.user_id)}
        async with Meanwhile(world, script).holding(contact, "PATCH", "", change) as (other, answers):
            await other.execute("delete from memberships where user_id = $1", gone.user_id)
        assert (answers[0].status_code, list(answers[0].json()["errors"])) == (422, ["owner"])
    assert await stored_fields(world, contact) == ("{}", None)


async def test_an_owner_who_is_removed_while_a_contact_is_created_is_not_called_taken(world: World) -> None:
    """The removal holds the membership, for which the new contact waits."""
    who = await world.person()
    gone = await world.person("operator", who.account_id)
    connection = await asyncpg.connect(world.admin_url)
    async with world.script(who) as script:
        async with connection.transaction():
            await connection.execute("delete from memberships where user_id = $1", gone.user_id)
            creation = asyncio.create_task(
                script.post("/contacts", json={"first_name": "Ann", "owner": str(gone.user_id)})
            )
            await settle(connection, 1)
        answer = await creation
    await connection.close()
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        "Something this refers to is in use or was deleted. Nothing was saved.",
    )


async def test_a_tag_that_was_deleted_meanwhile_is_not_found(world: World) -> None:
    who = await world.person()
    async with world.script(who) as script:
        contact = (await create_contact(script, first_name="Ann"))["id"]
        tagged = (await script.post(f"/contacts/{contact}/tags", json={"name": "vip"})).json()["contact"]
        tag = tagged["tags"][0]["id"]
        async with Meanwhile(world, script).holding(contact, "DELETE", f"/tags/{tag}", None) as held:
            await held[0].execute("delete from tags where id = $1", UUID(tag))
        assert held[1][0].status_code == 404, held[1][0].text
    assert "tag.removed" not in [action for action, _ in await world.audit(who.account_id)]


async def test_a_tag_that_was_renamed_meanwhile_has_its_new_name_in_the_audit(world: World) -> None:
    who = await world.person()
    async with world.script(who) as script:
        contact = (await create_contact(script, first_name="Ann"))["id"]
        tagged = (await script.post(f"/contacts/{contact}/tags", json={"name": "vip"})).json()["contact"]
        tag = tagged["tags"][0]["id"]
        async with Meanwhile(world, script).holding(contact, "DELETE", f"/tags/{tag}", None) as held:
            await held[0].execute("update tags set name = 'Gold', slug = 'gold' where id = $1", UUID(tag))
        assert held[1][0].status_code == 200, held[1][0].text
    [entry] = await world.sql("select changes from audit_logs where action = 'tag.removed'"
                              " and account_id = $1", who.account_id)  # fmt: skip
    assert entry["changes"] == '{"tag": ["Gold", null]}'


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("PATCH", "", {"city": "Oslo"}), ("POST", "/tags", {"name": "VIP"}), ("DELETE", "", None)],
)
async def test_the_answer_has_the_tags_that_were_added_meanwhile(
    world: World, method: str, path: str, body: Any
) -> None:
    who = await world.person()
    tag = uuid7()
    async with world.script(who) as script:
        contact = (await create_contact(script, first_name="Ann"))["id"]
        async with Meanwhile(world, script).holding(contact, method, path, body) as (other, answers):
            await other.execute(
                "insert into tags (account_id, id, name, slug) values ($1, $2, 'vip', 'vip')",
                who.account_id, tag,
            )  # fmt: skip
            await other.execute(
                "insert into contact_tags (account_id, contact_id, tag_id) values ($1, $2, $3)",
                who.account_id, UUID(contact), tag,
            )  # fmt: skip
        assert answers[0].status_code == 200, answers[0].text
        assert answers[0].json()["contact"]["tags"] == [{"id": str(tag), "name": "vip"}]
        shown = (await script.get(f"/contacts/{contact}")).json()["contact"]
        assert answers[0].json()["contact"] == shown
