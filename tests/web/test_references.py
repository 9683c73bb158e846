"""What filters and steps refer to cannot be deleted: options of fields, and members."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import msgspec

from tests.support.builder_kit import insert, new_workflow
from tests.support.crm_kit import create_field
from tests.support.segment_kit import contact, matching_states, segment
from tests.support.web_kit import HTML, JSON
from tests.support.world import World

PLANS = "free\npro\nteam"


async def plan(client: httpx.AsyncClient) -> dict[str, Any]:
    return await create_field(client, label="Plan", key="plan", type="select", options=PLANS)


async def entered_by(client: httpx.AsyncClient, condition: dict[str, Any], name: str = "Welcome") -> str:
    """A published workflow with this entry condition; its address."""
    at = await new_workflow(client, name)
    entry = {"rev": 0, "filter": {"type": "group", "items": [condition]}}
    saved = await client.post(f"{at}/entry", json=entry)
    assert saved.status_code == 200, saved.text
    await client.post(f"{at}/triggers", json={"rev": 1, "kind": "manual"})
    await insert(client, at, 2, "exit")
    published = await client.post(f"{at}/publication", json={"rev": 3})
    assert published.status_code == 201, published.text
    return at


async def test_referenced_option_cannot_be_removed(world: World) -> None:
    async with world.script(await world.person()) as client:
        field = await plan(client)
        href, key = f"/fields/{field['id']}", field["filter_key"]
        condition = {"type": "predicate", "field": key, "op": "any_of", "value": ["pro"]}
        at = await entered_by(client, condition)
        teams = await segment(client, "Teams", f"{key}:none_of:team")

        async def blocking_uses(options: str) -> list[str]:
            answer = await client.post(href, json={"label": "Plan", "options": options})
            return [use["name"] for use in answer.json()["current"]] if answer.status_code == 409 else []

        assert await blocking_uses("free") == ["Welcome", "Teams"]
        assert await blocking_uses("free\nteam") == ["Welcome"]
        refused = await client.post(href, data={"label": "Plan", "options": "pro"}, headers=HTML)
        assert (refused.status_code, "“team” of Plan is used by Teams" in refused.text) == (409, True)
        assert (await client.post(f"{at}/entry", json={"rev": 3, "filter": None})).status_code == 200
        assert await blocking_uses("free\nteam") == ["Welcome"], "it is live still"
        assert (await client.post(f"{at}/publication", json={"rev": 4})).status_code == 201
        assert (await client.post(f"/segments/{teams['id']}/deletion")).status_code == 204
        saved = await client.post(href, json={"label": "Plan", "options": "free\npro"})
        assert (saved.status_code, saved.json()["field"]["options"]) == (200, ["free", "pro"])


async def test_filter_with_a_removed_option_matches_no_contact(world: World) -> None:
    async with world.script(await world.person()) as client:
        field = await plan(client)
        teams = await segment(client, "Teams", f"{field['filter_key']}:any_of:team")
        await contact(client, state="CA", fields={field["id"]: "pro"})
        await world.sql("update custom_fields set options = '[\"pro\"]' where id = $1", UUID(field["id"]))
        assert await matching_states(client, f"segments:any_of:{teams['id']}") == []
        assert await matching_states(client, f"segments:none_of:{teams['id']}") == ["CA"]
        typed = await client.get("/contacts", params={"f": f"{field['filter_key']}:any_of:team"})
        assert (typed.status_code, "has no option" in typed.text) == (422, True)


async def test_unreadable_segment_gives_a_message(world: World) -> None:
    """In a list, in a bulk edit, and where an audience is counted; never a 500."""
    async with world.script(await world.person()) as client:
        coast = await segment(client, "Coast", "state:is:CA")
        broken = {"type": "predicate", "field": f"custom.{UUID(int=1)}", "op": "is", "value": "x"}
        at = await new_workflow(client)
        inside = {"type": "predicate", "field": "segments", "op": "any_of", "value": [coast["id"]]}
        await client.post(f"{at}/entry", json={"rev": 0, "filter": inside})
        await client.post(f"{at}/triggers", json={"rev": 1, "kind": "manual"})
        await insert(client, at, 2, "exit")
        settings = {"rev": 3, "audience": "current_and_future"}
        assert (await client.post(f"{at}/settings", json=settings)).status_code == 200
        await world.sql(
            "update segments set filter = $2::jsonb where id = $1",
            UUID(coast["id"]), msgspec.json.encode(broken).decode(),
        )  # fmt: skip
        condition = f"segments:any_of:{coast['id']}"
        for headers in (JSON, HTML):
            listed = await client.get("/contacts", params={"f": condition}, headers=headers)
            assert (listed.status_code, "no longer exists" in listed.text) == (422, True), listed.text
        body = {"all": True, "f": [condition], "tag": "vip", "operation": "add"}
        bulk = await client.post("/contacts/bulk/tags", json=body)
        assert (bulk.status_code, list(bulk.json()["errors"])) == (422, ["f"]), bulk.text
        assert (await client.get(f"{at}/publication")).json()["audience"]["contacts"] is None
        published = await client.post(f"{at}/publication", json={"rev": 4})
        assert (published.status_code, "no longer exists" in published.text) == (422, True), published.text


async def test_referenced_member_cannot_be_removed(world: World) -> None:
    owner = await world.person()
    ben = await world.person("operator", owner.account_id)
    at = f"/members/{ben.user_id}"
    async with world.script(owner) as client:
        action = await segment(client, "Of Ben", f"owner:is:{str(ben.user_id).upper()}")
        assert action["filter"]["items"][0]["value"] == str(ben.user_id)
        await world.sql(  # as it was stored once
            "update segments set filter = replace(filter::text, $2, $3)::jsonb where id = $1",
            UUID(action["id"]), str(ben.user_id), ben.user_id.hex.upper(),
        )  # fmt: skip
        flow = await new_workflow(client)
        step = {"kind": "update_field", "field": "owner", "value": str(ben.user_id)}
        await insert(client, flow, 0, "update_field", config=step)
        page = (await client.get(at)).json()
        assert [(use["name"], use["how"]) for use in page["used_by"]] == [
            ("Welcome", "draft"),
            ("Of Ben", ""),
        ]
        assert [action["name"] for action in page["actions"]] == ["role"]
        refused = await client.post(f"{at}/deletion")
        assert (refused.status_code, len(refused.json()["current"])) == (409, 2)
        assert "is used by Welcome, Of Ben" in refused.text
    async with world.browser(owner) as client:
        shown = await client.post(f"{at}/deletion")
        assert (shown.status_code, "Of Ben" in shown.text) == (409, True)
        assert "be removed while they are in use" in (await client.get(at)).text
    async with world.script(owner) as client:
        assert (await client.post(f"/segments/{action['id']}/deletion")).status_code == 204
        assert (await client.post(f"{flow}/undo", json={"rev": 1})).status_code == 200
        assert (await client.post(f"{at}/deletion")).status_code == 204
        assert (await client.get(at)).status_code == 404


LOCK = "select pg_advisory_xact_lock{}(hashtextextended('names:' || $1::text, 0))"
WAITING = (
    "select count(*) from pg_locks where locktype = 'advisory' and not granted and pid <> pg_backend_pid()"
)


@asynccontextmanager
async def held(world: World, account: UUID, way: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Another transaction in the middle of their work; call what is yielded once another waits for them."""
    connection = await asyncpg.connect(world.admin_url)

    async def waited_for() -> None:
        async with asyncio.timeout(10):
            while not await connection.fetchval(WAITING):  # noqa: ASYNC110 -- the database tells nobody
                await asyncio.sleep(0.02)

    try:
        async with connection.transaction():
            await connection.execute(LOCK.format(way), str(account))
            yield waited_for
    finally:
        await connection.close()


async def test_deletion_waits_for_an_edit_that_adds_a_reference(world: World) -> None:
    """And then finds what they named; every kind of deletion, and an option that goes."""
    who = await world.person()
    other = await world.person("viewer", who.account_id)
    async with world.script(who) as client:
        tag = (await client.post("/tags", json={"name": "vip"})).json()["tag"]["id"]
        field, coast = await plan(client), await segment(client, "Coast", "state:is:CA")
        for path, body in (
            (f"/tags/{tag}/deletion", None),
            (f"/fields/{field['id']}/deletion", None),
            (f"/fields/{field['id']}", {"label": "Plan", "options": "free"}),
            (f"/segments/{coast['id']}/deletion", None),
            (f"/members/{other.user_id}/deletion", None),
        ):
            async with held(world, who.account_id, "_shared") as waited_for:
                if path.startswith("/tags"):  # other edits may add references at the same time
                    values = [
                        "tags:any_of:" + tag,
                        f"segments:any_of:{coast['id']}",
                        f"owner:is:{other.user_id}",
                    ]
                    await segment(client, "Named", *values, f"{field['filter_key']}:any_of:pro")
                request = asyncio.create_task(client.post(path, json=body))
                await waited_for()
            assert (await request).status_code == 409, path


async def test_edit_that_adds_a_reference_waits_for_a_deletion(world: World) -> None:
    who = await world.person()
    async with world.script(who) as client:
        tag = (await client.post("/tags", json={"name": "vip"})).json()["tag"]["id"]
        at = await new_workflow(client)
        condition = {"type": "predicate", "field": "tags", "op": "any_of", "value": [tag]}
        for path, body in (
            ("/segments", {"name": "Named", "f": [f"tags:any_of:{tag}"]}),
            (f"{at}/entry", {"rev": 0, "filter": condition}),
        ):
            async with held(world, who.account_id, "") as waited_for:
                request = asyncio.create_task(client.post(path, json=body))
                await waited_for()
                await world.sql("delete from tags where id = $1", UUID(tag))
            answer = await request
            assert (answer.status_code, "no longer exists" in answer.text) == (422, True), answer.text


async def test_tag_created_in_the_builder_is_audited(world: World) -> None:
    who = await world.person()
    async with world.script(who) as client:
        at = await new_workflow(client)
        body = {"rev": 0, "kind": "add_tag", "config": {"kind": "add_tag", "tag": "a\u200bb"}}
        refused = await client.post(f"{at}/steps", json=body)
        assert (refused.status_code, "Enter a tag of 1 to 60 characters" in refused.text) == (422, True)
        await insert(client, at, 0, "add_tag", config={"kind": "add_tag", "tag": "vip"})
    assert ("tag.created", "tag") in await world.audit(who.account_id)
