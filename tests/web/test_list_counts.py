"""Counting enrollments in a big table, once for all readers."""

import asyncio
from contextlib import AsyncExitStack
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.work import SYSTEM, open_work
from app.workflows.use_cases import read
from db.ids import uuid7
from db.queries.enrollment_pages import count_by_status
from db.queries.workflow_pages import VisitCount, count_by_place, count_visits
from tests.support.sample_account import cast_of, completed
from tests.support.world import World


async def test_no_count_reads_the_table(world: World) -> None:
    """Of a big table before a vacuum, and where a status or a workflow has no enrollment."""
    cast = await cast_of(world)
    await world.sql(
        "insert into workflows (account_id, id, name) values ($1, $2, 'Empty')",
        cast.owner.account_id, uuid7(),
    )  # fmt: skip
    await completed(world, cast, 20_000)
    await world.sql("analyze enrollments")
    scans = text("select seq_scan from pg_stat_xact_user_tables where relname = 'enrollments'")
    async with open_work(world.runtime, cast.owner.account_id, SYSTEM) as work:
        counts = await count_by_status(work.session, None, 100)
        assert (counts["active"], counts["completed"]) == (1, 101)
        assert (await work.session.execute(scans)).scalar_one() == 0
        assert (await work.session.execute(text("show enable_seqscan"))).scalar_one() == "on"


async def test_counts_by_place_use_an_index_only_scan(world: World) -> None:
    cast = await cast_of(world)
    await completed(world, cast, 20_000)
    await world.sql("checkpoint")  # or the vacuum would not know yet that they are committed
    await world.sql("vacuum analyze enrollments")
    reads = text("select seq_scan, idx_tup_fetch from pg_stat_xact_user_tables where relname = 'enrollments'")
    async with open_work(world.runtime, cast.owner.account_id, SYSTEM) as work:
        rows = await count_by_place(work.session, cast.workflow)
        assert {row.status: row.enrollments for row in rows} == {"active": 1, "completed": 20_000}
        scans, fetched = (await work.session.execute(reads)).one()
    assert (scans, fetched < 1_000) == (0, True), fetched


async def test_open_builders_share_one_count(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    cast, theirs = await cast_of(world), await cast_of(world)
    counted: list[UUID] = []

    async def noted(session: AsyncSession, workflow_id: UUID) -> list[VisitCount]:
        counted.append(workflow_id)
        return await count_visits(session, workflow_id)

    monkeypatch.setattr(read, "count_visits", noted)
    monkeypatch.setattr(world.runtime.counts, "times", 1_000_000)
    at = f"/workflows/{cast.workflow}/counts"
    async with world.script(cast.owner) as client, world.script(theirs.owner) as stranger:
        answers = await asyncio.gather(*(client.get(at) for _ in range(50)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.text for answer in answers}) == 1
        assert counted == [cast.workflow]
        assert answers[0].json()["counts"]["s2"]["current"] == 1
        assert (await stranger.get(at)).status_code == 404
        await stranger.get(f"/workflows/{theirs.workflow}/counts")
        assert counted == [cast.workflow, theirs.workflow], "what is shared stays in its account"


async def test_who_waits_for_shared_counts_holds_no_place(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = await cast_of(world)
    queue = world.app.state.places.connections
    computing, release = asyncio.Event(), asyncio.Event()

    async def blocked(session: AsyncSession, workflow_id: UUID) -> list[VisitCount]:
        computing.set()
        await release.wait()
        return await count_visits(session, workflow_id)

    monkeypatch.setattr(read, "count_visits", blocked)
    monkeypatch.setattr(world.runtime.counts, "times", 1_000_000)
    async with world.script(cast.owner) as client, AsyncExitStack() as held:
        at = f"/workflows/{cast.workflow}/counts"
        requests = [asyncio.create_task(client.get(at)) for _ in range(queue.places - 1)]
        await computing.wait()
        await asyncio.sleep(0.3)
        monkeypatch.setattr(queue, "wait_seconds", 1)
        for _ in range(queue.places - 1):  # all but that of the one that counts
            await held.enter_async_context(queue.place(cast.owner.account_id))
        await held.aclose()
        release.set()
        answers = await asyncio.gather(*requests)
    assert {answer.status_code for answer in answers} == {200}


async def test_versions_show_their_enrollment_counts(world: World) -> None:
    cast = await cast_of(world)
    await completed(world, cast, 3)
    async with world.script(cast.owner) as client:
        listed = (await client.get(f"/workflows/{cast.workflow}/versions")).json()
    assert [(row["number"], row["live"]) for row in listed["items"]] == [(1, 1)]
