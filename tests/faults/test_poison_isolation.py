"""Suspects, which a dead worker left behind: they run alone, their crashes are counted, and an enrollment is
parked at its third crash, an event skipped at its sixth."""

from contextlib import suppress
from uuid import UUID

import pytest

from db.ids import uuid7
from tests.faults.injector import Fault, InjectedError, Kind, injected
from tests.faults.scenes import FAR, entering, inside
from tests.support.scenario import Stage


async def leave_mark(
    stage: Stage, ids: list[UUID], crashes: int, *, seconds_ago: int = 3600, kind: str = "advance"
) -> None:
    """The mark of a worker that is gone."""
    await stage.sql(
        "insert into inflight_batches (account_id, id, kind, worker_id, ids, crashes, started_at) "
        "values ($1, $2, $6, gen_random_uuid(), $3, $4, now() - make_interval(secs => $5))",
        stage.account, uuid7(), ids, crashes, seconds_ago, kind,
    )  # fmt: skip


async def marks(stage: Stage) -> list[UUID]:
    rows = await stage.sql("select id from inflight_batches where account_id = $1", stage.account)
    return [row["id"] for row in rows]


async def statuses(stage: Stage) -> dict[UUID, str]:
    """By enrollment."""
    rows = await stage.sql("select id, status from enrollments where account_id = $1", stage.account)
    return {row["id"]: row["status"] for row in rows}


async def unmatched_events(stage: Stage, count: int) -> tuple[list[UUID], list[UUID]]:
    """Contacts and, in the same order, their events."""
    contacts = await entering(stage, count)
    rows = await stage.sql("select id from events where account_id = $1 order by id", stage.account)
    return contacts, [row["id"] for row in rows]


async def enrolled_contacts(stage: Stage) -> list[UUID]:
    """In the order in which they entered."""
    rows = await stage.sql(
        "select contact_id from enrollments where account_id = $1 order by entered_at, id", stage.account
    )
    return [row["contact_id"] for row in rows]


async def skipped_events(stage: Stage) -> dict[str, str]:
    """The reasons from the audit trail, by contact."""
    rows = await stage.sql(
        "select subject_id, changes from audit_logs where account_id = $1 and action = 'event.skipped'",
        stage.account,
    )
    return {row["subject_id"]: row["changes"] for row in rows}


async def test_an_enrollment_is_parked_with_its_error_at_the_third_crash(stage: Stage) -> None:
    first, second, third = await inside(stage, 3, [FAR])
    await leave_mark(stage, [first], 2)
    await leave_mark(stage, [second], 1)
    await stage.drain()
    assert await statuses(stage) == {first: "failed", second: "completed", third: "completed"}
    (row,) = await stage.sql("select error, exit_reason from enrollments where id = $1", first)
    assert row["exit_reason"] == "failed_permanent"
    assert row["error"].startswith("The step “Set City” stopped the worker 3 times.")
    assert await marks(stage) == []


async def test_a_whole_batch_left_behind_is_completed(stage: Stage) -> None:
    enrollment_ids = await inside(stage, 40, [FAR])
    await leave_mark(stage, enrollment_ids, 0)
    await stage.drain()
    assert set((await statuses(stage)).values()) == {"completed"}
    assert await marks(stage) == []


async def test_enrollments_of_a_running_batch_are_left_alone(stage: Stage) -> None:
    first, second, third = await inside(stage, 3, [FAR])
    await leave_mark(stage, [first], 0, seconds_ago=1)
    await stage.drain()
    assert await statuses(stage) == {first: "active", second: "completed", third: "completed"}


async def test_an_event_is_skipped_at_its_sixth_crash(stage: Stage) -> None:
    contacts, ids = await unmatched_events(stage, 4)
    await leave_mark(stage, ids[:1], 5, kind="match")
    await leave_mark(stage, ids[1:2], 4, kind="match")
    await stage.drain()
    assert await enrolled_contacts(stage) == contacts[1:]
    reasons = await skipped_events(stage)
    assert set(reasons) == {str(contacts[0])}
    assert "it stopped the worker 6 times" in reasons[str(contacts[0])]
    assert await marks(stage) == []


async def test_events_left_behind_are_matched_in_their_order(stage: Stage) -> None:
    contacts, ids = await unmatched_events(stage, 30)
    await leave_mark(stage, ids, 0, kind="match")
    await stage.drain()
    assert await enrolled_contacts(stage) == contacts
    assert await skipped_events(stage) == {}
    assert await marks(stage) == []


async def test_no_other_is_matched_while_another_worker_holds_events(stage: Stage) -> None:
    contacts, ids = await unmatched_events(stage, 3)
    await leave_mark(stage, ids[1:2], 1, kind="match")
    await leave_mark(stage, ids[:1], 1, kind="match", seconds_ago=1)
    await stage.drain()
    assert await enrolled_contacts(stage) == [], "the oldest is being matched, and the next ones wait for it"
    await stage.sql(
        "update inflight_batches set started_at = now() - interval '1 hour' where account_id = $1",
        stage.account,
    )
    await stage.drain()
    assert await enrolled_contacts(stage) == contacts


async def test_a_mark_of_matched_events_does_not_stop_matching(stage: Stage) -> None:
    contacts, ids = await unmatched_events(stage, 2)
    await leave_mark(stage, ids[:1], 0, kind="match")
    await stage.sql("update events set matched_at = now() where id = $1", ids[0])
    await stage.drain()
    assert await enrolled_contacts(stage) == contacts[1:]
    assert await marks(stage) == []


@pytest.mark.parametrize("point", ["mark.set.after", "match.before", "match.after"])
async def test_a_worker_that_survives_an_error_leaves_no_mark(stage: Stage, point: str) -> None:
    contacts, _ = await unmatched_events(stage, 3)
    with injected(Fault(point, Kind.RAISE)), suppress(InjectedError):  # or it goes on in halves
        await stage.drain()
    await stage.drain()
    assert await enrolled_contacts(stage) == contacts
    assert await marks(stage) == []
