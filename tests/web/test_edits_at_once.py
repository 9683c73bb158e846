"""Two members change different settings of one row at the same moment: both changes stay."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tests.support.sample_account import Cast, cast_of
from tests.support.world import World

WAITING = """select count(*) from pg_locks l join pg_stat_activity a using (pid)
    where not l.granted and a.datname = current_database()"""

LOCK = "select 1 from {} where id = $1 for no key update"
READ = "select * from {} where id = $1"


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
            await connection.execute(
                "select pg_advisory_xact_lock(hashtextextended('names:' || $1, 0))", str(cast.account)
            )
            change = asyncio.create_task(script.post(path, json={"options": "pro\nteam"}))
            deletion = asyncio.create_task(script.post(f"{path}/deletion", json={}))
            await settle(connection, 2)
        answers = {(await change).status_code, (await deletion).status_code}
    await connection.close()
    assert answers <= {200, 204, 404, 409}, answers
