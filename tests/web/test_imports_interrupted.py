"""Imports that are killed, cancelled, failed or overtaken by others."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.imports import check_job, run_job
from app.imports.domain.sample_file import sample_rows
from app.work import SYSTEM, open_work
from db.models import Job
from db.queries.imported_contacts import ContactValues, insert_contacts
from tests.support.imports_kit import TASKS, act, counts, run_queued_jobs, show, table, upload
from tests.support.world import AccountMember, World


async def test_a_killed_worker_loses_and_repeats_nothing(world: World) -> None:
    """Every batch is tried, thrown away before its commit, and done again by a process that knows nothing."""
    who = await world.person("operator")
    async with world.script(who) as client:
        page = await act(client, await upload(client, table(1200)), "map", tags="vip")
        for step in ("preview", "result"):
            while (await show(client, page))["step"] != step:
                await _killed(world, who)
                check_job._cursors.clear()
                await run_queued_jobs(world, who, most=1)
            page = await show(client, page)
            if step == "preview":
                assert counts(page) == (1200, 0, 0, 0)
                page = await act(client, page, "run")
    for name, expected in (("contacts", 1200), ("contact_tags", 1200), ("events", 2400)):
        rows = await world.sql(f"select count(*) as n from {name} where account_id = $1", who.account_id)  # noqa: S608 -- our names
        assert (name, rows[0]["n"]) == (name, expected)


async def _killed(world: World, who: AccountMember) -> None:
    rows = await world.sql(
        "select id, task from jobs where account_id = $1 and status = 'queued' order by id", who.account_id
    )
    for row in rows:
        async with open_work(world.runtime, who.account_id, SYSTEM) as work:
            job = await work.session.get_one(Job, (who.account_id, row["id"]))

            async def dies() -> None:
                raise KeyboardInterrupt

            work.commit = dies  # type: ignore[method-assign]  # -- the moment of the kill
            with pytest.raises(KeyboardInterrupt):
                await TASKS[row["task"]](work, job)
            await work.session.rollback()


async def test_contact_created_meanwhile_is_not_added_twice(world: World) -> None:
    who = await world.person("operator")
    async with world.script(who) as client:
        page = await act(client, await upload(client, table(3)), "map")
        await run_queued_jobs(world, who)
        mail = sample_rows(3)[1][10]
        await world.sql(
            "insert into contacts (account_id, id, email, city) values ($1, gen_random_uuid(), $2, 'Oslo')",
            who.account_id,
            mail,
        )
        page = await act(client, await show(client, page), "run")
        await run_queued_jobs(world, who)
        page = await show(client, page)
        assert counts(page) == (2, 1, 0, 0)
    rows = await world.sql(
        "select city from contacts where account_id = $1 and email = $2", who.account_id, mail
    )
    assert [row["city"] for row in rows] == ["Salem"]


async def test_canceled_import_can_continue(world: World) -> None:
    who = await world.person("operator")
    async with world.script(who) as client:
        page = await act(client, await upload(client, table(900)), "map")
        await run_queued_jobs(world, who)
        page = await act(client, await show(client, page), "run")
        await run_queued_jobs(world, who, most=1)
        page = await act(client, page, "cancel")
        assert (page["item"]["status"], page["item"]["written"]) == ("cancelled", 500)
        assert await run_queued_jobs(world, who) == 0
        page = await act(client, page, "run")
        await run_queued_jobs(world, who)
        assert (await show(client, page))["item"]["written"] == 900


async def test_canceled_import_raises_the_fence_of_its_running_job(world: World) -> None:
    who = await world.person("operator")
    async with world.script(who) as client:
        page = await act(client, await upload(client, table(3)), "map")
        await run_queued_jobs(world, who)
        page = await act(client, await show(client, page), "run")
        [job] = await world.sql(
            "update jobs set status = 'running', lease_until = clock_timestamp() + interval '1 minute'"
            " where account_id = $1 and task = 'import.run' returning id, fence",
            who.account_id,
        )
        await act(client, await show(client, page), "cancel")
    [row] = await world.sql("select status, fence, lease_until from jobs where id = $1", job["id"])
    assert tuple(row) == ("cancelled", job["fence"] + 1, None)


async def test_contact_created_concurrently_is_updated(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    who = await world.person("operator")
    mail = sample_rows(3)[1][10]

    async def late(session: AsyncSession, contacts: Sequence[ContactValues], now: datetime) -> set[UUID]:
        await world.sql(
            "insert into contacts (account_id, id, email) values ($1, gen_random_uuid(), $2)"
            " on conflict do nothing",
            who.account_id,
            mail,
        )
        return await insert_contacts(session, contacts, now)

    async with world.script(who) as client:
        page = await act(client, await upload(client, table(3)), "map")
        await run_queued_jobs(world, who)
        page = await act(client, await show(client, page), "run")
        monkeypatch.setattr(run_job, "insert_contacts", late)
        await run_queued_jobs(world, who)
        assert counts(await show(client, page)) == (2, 1, 0, 0)
    counted = await world.sql("select count(*) as n from contacts where account_id = $1", who.account_id)
    assert counted[0]["n"] == 3


async def test_import_shows_that_its_job_failed_or_was_canceled(world: World) -> None:
    who = await world.person("operator")
    async with world.script(who) as client:
        page = await act(client, await upload(client, table(3)), "map")
        await world.sql(
            "update jobs set status = 'failed', error = 'It broke' where account_id = $1", who.account_id
        )
        page = await show(client, page)
        assert (page["step"], page["item"]["status"], page["item"]["error"]) == (
            "columns",
            "failed",
            "It broke",
        )
        page = await act(client, page, "map")
        await run_queued_jobs(world, who)
        page = await act(client, await show(client, page), "run")
        await world.sql(
            "update jobs set status = 'cancelled' where account_id = $1 and task = 'import.run'",
            who.account_id,
        )
        page = await show(client, page)
        assert (page["item"]["status"], page["actions"][0]["name"]) == ("cancelled", "run")
        page = await act(client, page, "run")
        await run_queued_jobs(world, who)
        assert (await show(client, page))["item"]["status"] == "done"
