"""Who was left behind by a worker that died: run alone, counted, parked at the third crash."""

from contextlib import suppress
from uuid import UUID

import pytest

from db.ids import uuid7
from tests.faults.injector import Fault, InjectedError, Kind, injected
from tests.faults.scenarios import FAR, entering, inside
from tests.support.scenario import Stage


async def left(
    stage: Stage, ids: list[UUID], crashes: int, *, seconds: int = 3600, kind: str = "move"
) -> None:
    """The mark of a worker that is gone."""
    await stage.sql(
        "insert into batches (account_id, id, kind, worker_id, ids, crashes, begun_at) "
        "values ($1, $2, $6, gen_random_uuid(), $3, $4, now() - make_interval(secs => $5))",
        stage.account, uuid7(), ids, crashes, seconds, kind,
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
    assert row["error"].startswith("The step “Set City” stopped the worker 3 times.")
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


async def events(stage: Stage, count: int) -> tuple[list[UUID], list[UUID]]:
    """People and, in the same order, the events that nobody has matched."""
    people = await entering(stage, count)
    rows = await stage.sql("select id from events where account_id = $1 order by id", stage.account)
    return people, [row["id"] for row in rows]


async def entered(stage: Stage) -> list[UUID]:
    """In the order in which they entered."""
    rows = await stage.sql(
        "select contact_id from enrollments where account_id = $1 order by entered_at, id", stage.account
    )
    return [row["contact_id"] for row in rows]


async def passed_over(stage: Stage) -> dict[str, str]:
    rows = await stage.sql(
        "select subject_id, changes from audit_logs where account_id = $1 and action = 'event.passed_over'",
        stage.account,
    )
    return {row["subject_id"]: row["changes"] for row in rows}


async def test_an_event_is_passed_over_at_its_sixth_crash(stage: Stage) -> None:
    people, ids = await events(stage, 4)
    await left(stage, ids[:1], 5, kind="match")
    await left(stage, ids[1:2], 4, kind="match")
    await stage.drain()
    assert await entered(stage) == people[1:]
    audit_rows = await passed_over(stage)
    assert set(audit_rows) == {str(people[0])}
    assert "it stopped the worker 6 times" in audit_rows[str(people[0])]
    assert await stage.sql("select from batches where account_id = $1", stage.account) == []


async def test_events_left_behind_are_matched_in_their_order(stage: Stage) -> None:
    people, ids = await events(stage, 30)
    await left(stage, ids, 0, kind="match")
    await stage.drain()
    assert await entered(stage) == people
    assert await passed_over(stage) == {}
    assert await stage.sql("select from batches where account_id = $1", stage.account) == []


async def test_no_other_is_matched_while_another_worker_holds_events(stage: Stage) -> None:
    people, ids = await events(stage, 3)
    await left(stage, ids[1:2], 1, kind="match")
    await left(stage, ids[:1], 1, kind="match", seconds=1)
    await stage.drain()
    assert await entered(stage) == [], "the oldest is under way, and the next ones wait for it"
    await stage.sql(
        "update batches set begun_at = now() - interval '1 hour' where account_id = $1", stage.account
    )
    await stage.drain()
    assert await entered(stage) == people


async def test_a_mark_of_events_that_are_matched_keeps_nobody_from_matching(stage: Stage) -> None:
    people, ids = await events(stage, 2)
    await left(stage, ids[:1], 0, kind="match")
    await stage.sql("update events set matched_at = now() where id = $1", ids[0])
    await stage.drain()
    assert await entered(stage) == people[1:]
    assert await stage.sql("select from batches where account_id = $1", stage.account) == []


@pytest.mark.parametrize("point", ["mark.set.after", "match.before", "match.after"])
async def test_a_mark_is_not_left_by_a_worker_that_lives(stage: Stage, point: str) -> None:
    people, _ = await events(stage, 3)
    with injected(Fault(point, Kind.RAISE)), suppress(InjectedError):  # or it goes on in halves
        await stage.drain()
    await stage.drain()
    assert await entered(stage) == people
    assert await stage.sql("select from batches where account_id = $1", stage.account) == []
