"""Who was left behind by a worker that died: run alone, counted, parked at the third crash."""

from uuid import UUID

from db.ids import uuid7
from tests.faults.scenes import FAR, inside
from tests.jobs.stage import Stage


async def left(stage: Stage, people: list[UUID], crashes: int, *, seconds: int = 3600) -> None:
    """The mark of a worker that is gone."""
    await stage.sql(
        "insert into batches (account_id, id, worker_id, ids, crashes, begun_at) "
        "values ($1, $2, gen_random_uuid(), $3, $4, now() - make_interval(secs => $5))",
        stage.account, uuid7(), people, crashes, seconds,
    )  # fmt: skip


async def states(stage: Stage) -> dict[UUID, str]:
    rows = await stage.sql("select id, status from enrollments where account_id = $1", stage.account)
    return {row["id"]: row["status"] for row in rows}


async def test_at_the_third_crash_it_is_parked_with_its_error(stage: Stage) -> None:
    people = await inside(stage, 3, [FAR])
    await left(stage, people[:1], 2)
    await left(stage, people[1:2], 1)
    await stage.drain()
    assert await states(stage) == {people[0]: "failed", people[1]: "completed", people[2]: "completed"}
    (row,) = await stage.sql("select error, exit_reason from enrollments where id = $1", people[0])
    assert row["exit_reason"] == "failed_permanent"
    assert row["error"].startswith("This step stopped the worker 3 times.")
    assert await stage.sql("select from batches where account_id = $1", stage.account) == []


async def test_a_whole_batch_left_behind_loses_nobody(stage: Stage) -> None:
    people = await inside(stage, 40, [FAR])
    await left(stage, people, 0)
    await stage.drain()
    assert set((await states(stage)).values()) == {"completed"}
    assert await stage.sql("select from batches where account_id = $1", stage.account) == []


async def test_those_of_a_batch_under_way_are_left_alone(stage: Stage) -> None:
    people = await inside(stage, 3, [FAR])
    await left(stage, people[:1], 0, seconds=1)
    await stage.drain()
    assert await states(stage) == {people[0]: "active", people[1]: "completed", people[2]: "completed"}
