"""Counting people in a big table."""

import pytest
from sqlalchemy import text

from app.work import SYSTEM, open_work
from db.ids import uuid7
from db.repositories import enrollments as repository
from tests.cast import cast_of, completed
from tests.web.world import World


async def test_no_count_reads_the_table(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a big one that nobody has vacuumed, and where a status or a workflow has nobody."""
    cast = await cast_of(world)
    await world.sql(
        "insert into workflows (account_id, id, name) values ($1, $2, 'Empty')",
        cast.owner.account_id, uuid7(),
    )  # fmt: skip
    await completed(world, cast, 20_000)
    await world.sql("analyze enrollments")
    monkeypatch.setattr(repository, "MOST_COUNTED", 100)
    scans = text("select seq_scan from pg_stat_xact_user_tables where relname = 'enrollments'")
    async with open_work(world.runtime, cast.owner.account_id, SYSTEM) as work:
        counts = await work.enrollments.counts()
        assert (counts["active"], counts["completed"]) == (1, 101)
        assert (await work.session.execute(scans)).scalar_one() == 0
        assert (await work.session.execute(text("show enable_seqscan"))).scalar_one() == "on"
