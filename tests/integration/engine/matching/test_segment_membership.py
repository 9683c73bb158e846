"""Which contacts enter and leave watched segments, and which segments are watched, on the real database."""

import asyncio
from typing import Any
from uuid import UUID

from app.engine.core.draft import Audience, WorkflowSettings
from app.engine.core.steps import Exit
from app.engine.core.triggers import ContactUpdated, Schedule, SegmentEntered, SegmentLeft
from app.engine.schedules.scheduler import run_schedules
from app.segments.schemas import SegmentChangeForm
from app.segments.use_cases import change_segment
from app.work import SYSTEM, open_work
from app.workflows.use_cases.publication import set_status
from db.queries.event_matching import take_matcher_lock
from tests.support.scenario import Stage, ask
from tests.support.schedule_kit import emitted_events, publish_live


async def segment(stage: Stage, **conditions: Any) -> UUID:
    return await stage.segment(ask(conditions["field"], conditions["op"], conditions.get("value")))


async def test_entering_a_segment_starts_but_earlier_membership_does_not(stage: Stage) -> None:
    texans = await segment(stage, field="state", op="is", value="TX")
    old, new = await stage.contact(state="TX"), await stage.contact(state="NY")
    await publish_live(stage, SegmentEntered(key="t1", segment=texans))
    await stage.drain()
    assert await emitted_events(stage, "segment.entered") == []
    members = await stage.sql("select contact_id from segment_members where segment_id = $1", texans)
    assert [row["contact_id"] for row in members] == [old]
    await stage.change(new, "state", "TX")
    await stage.change(old, "city", "Austin")
    await stage.drain()
    [event] = await emitted_events(stage, "segment.entered")
    assert (event["subject_id"], event["source"]) == (new, "user")
    assert (await stage.enrollment(new))["status"] == "completed"
    assert await stage.sql("select from enrollments where contact_id = $1", old) == []


async def test_leaving_a_segment_starts(stage: Stage) -> None:
    texans = await segment(stage, field="state", op="is", value="TX")
    person, gone = await stage.contact(state="TX"), await stage.contact(state="TX")
    await publish_live(stage, SegmentLeft(key="t1", segment=texans))
    await stage.drain()
    await stage.change(person, "state", "NY")
    await stage.sql("update contacts set deleted_at = now() where id = $1", gone)
    await stage.emit("contact.deleted", gone)
    await stage.drain()
    assert [row["subject_id"] for row in await emitted_events(stage, "segment.left")] == [person]
    assert await stage.sql("select from segment_members where segment_id = $1", texans) == []


async def test_time_alone_changes_membership(stage: Stage) -> None:
    """Nothing happens to them; the quarter-hourly comparison sees it."""
    fresh = await segment(stage, field="created_at", op="more_than_ago", value="2 days")
    people = await stage.contacts(620)
    await publish_live(stage, SegmentEntered(key="t1", segment=fresh))
    await stage.drain()
    await stage.drain(days=1)
    assert await emitted_events(stage, "segment.entered") == []
    await stage.drain(days=2)
    events = await emitted_events(stage, "segment.entered")
    assert sorted(row["subject_id"] for row in events) == sorted(people)
    assert {row["source"] for row in events} == {"system"}
    await stage.drain(minutes=16)
    assert len(await emitted_events(stage, "segment.entered")) == 620


async def test_comparison_waits_for_the_matcher(stage: Stage) -> None:
    texans = await segment(stage, field="state", op="is", value="TX")
    await publish_live(stage, SegmentEntered(key="t1", segment=texans))
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        await take_matcher_lock(work.session)
        comparing = asyncio.create_task(run_schedules(stage.runtime, stage.account))
        done, _ = await asyncio.wait([comparing], timeout=1)
        assert not done
        await work.commit()
    assert await asyncio.wait_for(comparing, 10) == 1


async def test_unused_segments_are_not_watched(stage: Stage) -> None:
    texans = await segment(stage, field="state", op="is", value="TX")
    await stage.contact(state="TX")
    flow = await publish_live(stage, SegmentEntered(key="t1", segment=texans))
    await stage.drain()
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        await set_status(work, flow, "archived")
    row = await stage.row("select due_at from segments where id = $1", texans)
    assert row["due_at"] is None
    assert await stage.sql("select from segment_members where segment_id = $1", texans) == []


async def test_current_only_audience_watches_no_segment(stage: Stage) -> None:
    texans = await segment(stage, field="state", op="is", value="TX")
    await publish_live(
        stage, SegmentEntered(key="t1", segment=texans), WorkflowSettings(audience=Audience.CURRENT_ONLY)
    )
    assert (await stage.row("select due_at from segments where id = $1", texans))["due_at"] is None
    await publish_live(stage, SegmentEntered(key="t1", segment=texans))
    assert (await stage.row("select due_at from segments where id = $1", texans))["due_at"] is not None


async def test_current_only_audience_has_no_schedule(stage: Stage) -> None:
    await stage.contact()
    schedule = Schedule(key="t1", cron="0 9 * * *")
    flow = await publish_live(stage, schedule)
    closed = await publish_live(stage, schedule, WorkflowSettings(audience=Audience.CURRENT_ONLY))
    schedules_query = "select workflow_id from trigger_schedules where account_id = $1"
    assert [row["workflow_id"] for row in await stage.sql(schedules_query, stage.account)] == [flow]
    # As a release that kept them left it.
    moved = "update trigger_schedules set workflow_id = $2, next_at = now() where workflow_id = $1"
    await stage.sql(moved, flow, closed)
    await stage.drain(seconds=1)
    assert await stage.sql(schedules_query, stage.account) == []
    assert await emitted_events(stage) == []


async def break_filter(stage: Stage, segment_id: UUID) -> None:
    """What no release of today writes, but an older one may have kept."""
    await stage.sql("""update segments set filter = '{"type": "predicate", "op": "gone"}' where id = $1""",
                    segment_id)  # fmt: skip


async def not_compared(stage: Stage) -> list[str]:
    rows = await stage.sql(
        "select subject_id from audit_logs where account_id = $1 and action = 'segment.evaluation_failed'",
        stage.account,
    )
    return [row["subject_id"] for row in rows]


async def test_unreadable_segment_stops_no_other(stage: Stage) -> None:
    texans = await segment(stage, field="state", op="is", value="TX")
    bad = await segment(stage, field="city", op="is", value="Oslo")
    person = await stage.contact(state="NY", city="Oslo")
    for segment_id in (bad, texans):
        await publish_live(stage, SegmentEntered(key="t1", segment=segment_id))
    await stage.drain()
    await break_filter(stage, bad)
    outside = ask("segments", "none_of", [str(bad)])
    unsure = await stage.workflow([Exit()], ContactUpdated(key="t1", fields=["state"]), entry=outside)
    await stage.sql("update segments set due_at = now() where id = $1", bad)
    await stage.sql("update segments set due_at = now() + interval '1 second' where id = $1", texans)
    await stage.change(person, "state", "TX")
    other = await stage.contact(state="TX")
    await stage.drain(seconds=2)
    entered = await emitted_events(stage, "segment.entered")
    assert sorted(row["subject_id"] for row in entered) == sorted([person, other])
    assert {row["data"] for row in entered} == {f'{{"segment_id": "{texans}"}}'}
    assert await stage.sql("select from enrollments where workflow_id = $1", unsure) == []
    assert await not_compared(stage) == [str(bad)]
    members = await stage.sql("select contact_id from segment_members where segment_id = $1", bad)
    assert [row["contact_id"] for row in members] == [person]


async def test_members_of_a_segment_that_is_readable_again_did_not_enter(stage: Stage) -> None:
    bad = await segment(stage, field="city", op="is", value="Oslo")
    await break_filter(stage, bad)
    old = await stage.contact(city="Rome")
    await publish_live(stage, SegmentEntered(key="t1", segment=bad))
    await stage.drain()
    assert await not_compared(stage) == [str(bad)]
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        await change_segment(work, bad, SegmentChangeForm(f=["city:is:Rome"]))
    await stage.drain()
    members = await stage.sql("select contact_id from segment_members where segment_id = $1", bad)
    assert [row["contact_id"] for row in members] == [old]
    assert await emitted_events(stage, "segment.entered") == []
    new = await stage.contact(city="Paris")
    await stage.change(new, "city", "Rome")
    await stage.drain()
    assert [row["subject_id"] for row in await emitted_events(stage, "segment.entered")] == [new]


async def test_segment_with_failing_sql_stops_no_other(stage: Stage) -> None:
    """PostgreSQL matches no contact with it."""
    bad = await segment(stage, field="state", op="is", value="TX")
    texans = await segment(stage, field="state", op="is", value="TX")
    person = await stage.contact(state="TX")
    for segment_id in (bad, texans):
        await publish_live(stage, SegmentEntered(key="t1", segment=segment_id))
    await stage.sql(
        f"alter table segment_members add constraint of_a_test check (segment_id <> '{bad}') not valid"
    )
    try:
        await stage.drain()
    finally:
        await stage.sql("alter table segment_members drop constraint of_a_test")
    assert await not_compared(stage) == [str(bad)]
    members = await stage.sql("select contact_id from segment_members where segment_id = $1", texans)
    assert [row["contact_id"] for row in members] == [person]
