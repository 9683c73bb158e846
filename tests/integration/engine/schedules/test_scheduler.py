"""Clocks, watched segments and overdue tasks on the real database, with a clock that can be moved."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.accounts.schemas import AccountForm
from app.accounts.use_cases import change_account
from app.engine.core.triggers import (
    ContactUpdated,
    DateReached,
    Manual,
    Schedule,
    SegmentEntered,
    TaskOverdue,
)
from app.engine.recovery.retention import delete_old_events
from app.engine.schedules.scheduler import fire_due_schedules, run_schedules
from app.engine.schedules.trigger_schedules import sync_workflow_triggers
from app.tasks.schemas import TaskChangeForm
from app.tasks.use_cases import change_task, complete_task, delete_task, reopen_task, restore_task
from app.work import SYSTEM, Work, open_work
from app.workflows.use_cases.publication import set_status
from db.ids import uuid7
from jobs.turns import drain
from tests.support.scenario import Stage, ask
from tests.support.schedule_kit import emitted_events, publish_live

PARIS = ZoneInfo("Europe/Paris")


async def to(stage: Stage, moment: datetime) -> None:
    stage.clock.forward(seconds=(moment - await stage.now()).total_seconds())


async def next_at(stage: Stage) -> datetime:
    row = await stage.row("select next_at from trigger_schedules where account_id = $1", stage.account)
    return row["next_at"]  # type: ignore[no-any-return]  # asyncpg's rows are untyped


async def jobs(stage: Stage) -> list[str]:
    rows = await stage.sql(
        "select args from jobs where account_id = $1 and task = 'schedule.fire' order by due_at",
        stage.account,
    )
    return [msgspec.json.decode(row["args"])["at"] for row in rows]


async def test_schedule_fires_for_contacts_that_match_its_filter(stage: Stage) -> None:
    await stage.sql("update accounts set time_zone = 'Europe/Paris' where id = $1", stage.account)
    texan, _ = await stage.contact(state="TX"), await stage.contact(state="NY")
    deleted = await stage.contact(state="TX")
    await stage.sql("update contacts set deleted_at = now() where id = $1", deleted)
    await publish_live(stage, Schedule(key="t1", cron="0 9 * * *", filter=ask("state", "is", "TX")))
    first = await next_at(stage)
    assert first.astimezone(PARIS).strftime("%H:%M") == "09:00"
    await to(stage, first - timedelta(seconds=2))
    assert await stage.drain() == 0
    await stage.drain(seconds=3)
    [event] = await emitted_events(stage)
    assert (event["subject_id"], event["source"]) == (texan, "system")
    row = await stage.enrollment(texan)
    assert row["status"] == "completed"
    assert msgspec.json.decode(row["data"]) == {"event": {"at": first.isoformat()}}
    again = await next_at(stage)
    assert again.astimezone(PARIS).strftime("%H:%M") == "09:00"
    await to(stage, again)
    await stage.drain(seconds=1)
    assert len(await emitted_events(stage)) == 2


async def test_occurrence_for_many_contacts_enrolls_each_once(stage: Stage) -> None:
    people = await stage.contacts(1203)
    await publish_live(stage, Schedule(key="t1", cron="0 9 * * *"))
    await to(stage, await next_at(stage))
    await asyncio.gather(*(drain(stage.runtime, stage.account) for _ in range(3)))
    await stage.drain(seconds=1)
    events = await emitted_events(stage)
    assert sorted(row["subject_id"] for row in events) == sorted(people)
    assert len(await jobs(stage)) == 1
    [job] = await stage.sql("select status, progress from jobs where account_id = $1", stage.account)
    assert (job["status"], job["progress"]) == ("done", 1203)


async def test_occurrence_repeated_after_a_kill_adds_no_duplicates(stage: Stage) -> None:
    await stage.contacts(20)
    await publish_live(stage, Schedule(key="t1", cron="0 9 * * *"))
    await to(stage, await next_at(stage))
    await stage.drain(seconds=1)
    # As if the worker had died before its job was marked, and another began from the start.
    await stage.sql(
        "update jobs set status = 'queued', args = args - 'after', due_at = now() where account_id = $1",
        stage.account,
    )
    await stage.drain(seconds=1)
    assert len(await emitted_events(stage)) == 20


async def test_two_workers_claim_a_schedule_once(stage: Stage) -> None:
    await stage.contact()
    await publish_live(stage, Schedule(key="t1", cron="* * * * *"))
    await to(stage, await next_at(stage))

    async def claim() -> None:
        async with open_work(stage.runtime, stage.account, SYSTEM) as work:
            await fire_due_schedules(work)

    await asyncio.gather(*(claim() for _ in range(4)))
    assert len(await jobs(stage)) == 1


@pytest.mark.parametrize(("missed", "expected"), [("skip", 0), ("once", 1), ("all", 3)])
async def test_missed_occurrences_follow_the_policy(stage: Stage, missed: Any, expected: int) -> None:
    await stage.contact()
    await publish_live(stage, Schedule(key="t1", cron="0 9 * * *", missed=missed))
    first = await next_at(stage)
    await to(stage, first + timedelta(days=2, hours=3))
    await stage.drain()
    assert (
        await jobs(stage) == [(first + timedelta(days=day)).isoformat() for day in range(3)][3 - expected :]
    )
    assert (await next_at(stage)) > await stage.now()
    rows = await stage.sql(
        "select changes from audit_logs where account_id = $1 and action = 'workflow.occurrences_missed'",
        stage.account,
    )
    assert len(rows) == 1
    assert f'"left_out": [null, "{3 - expected}"]' in rows[0]["changes"]


async def test_pause_counts_as_downtime(stage: Stage) -> None:
    await stage.contact()
    flow = await publish_live(stage, Schedule(key="t1", cron="0 9 * * *", missed="all"))
    first = await next_at(stage)
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        await set_status(work, flow, "paused")
    await to(stage, first + timedelta(days=1, hours=3))
    assert await stage.drain() == 0
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        await set_status(work, flow, "active")
    await stage.drain()
    assert len(await jobs(stage)) == 2
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        await set_status(work, flow, "archived")
    assert await stage.sql("select from trigger_schedules where account_id = $1", stage.account) == []


async def test_publishing_the_same_rule_again_keeps_what_is_due(stage: Stage) -> None:
    await stage.contact()
    flow = await publish_live(stage, Schedule(key="t1", cron="0 9 * * *"))
    first = await next_at(stage)
    stage.clock.forward(hours=1)
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        await sync_workflow_triggers(work, flow)
        await work.commit()
    assert await next_at(stage) == first


async def test_unreadable_schedule_stops_no_other(stage: Stage) -> None:
    person = await stage.contact()
    bad = await publish_live(stage, Schedule(key="t1", cron="0 9 * * *"))
    await publish_live(stage, Schedule(key="t1", cron="0 9 * * *"))
    moment = await next_at(stage)
    await stage.sql(
        "update trigger_schedules set next_at = next_at - interval '1 second' where workflow_id = $1", bad
    )
    # What no release of today lets through, but an older one may have frozen.
    await stage.sql(
        """update workflow_versions set document = jsonb_set(document, '{triggers,0,cron}', '"noon"')
            where workflow_id = $1""", bad,
    )  # fmt: skip
    await to(stage, moment)
    await stage.drain(seconds=1)
    assert [row["subject_id"] for row in await emitted_events(stage)] == [person]
    [audit_row] = await stage.sql(
        "select subject_id from audit_logs where account_id = $1 and action = 'workflow.schedule_unreadable'",
        stage.account,
    )  # fmt: skip
    assert audit_row["subject_id"] == str(bad)


async def test_publishing_over_an_unreadable_version_starts_a_new_schedule(stage: Stage) -> None:
    flow = await publish_live(stage, Schedule(key="t1", cron="0 9 * * *"))
    await stage.sql(
        """insert into workflow_versions
           select (jsonb_populate_record(v, jsonb_build_object('number', 2, 'id', $2::uuid))).*
             from workflow_versions v where workflow_id = $1""", flow, uuid7(),
    )  # fmt: skip
    await stage.sql(
        """update workflow_versions set document = jsonb_set(document, '{triggers,0,kind}', '"gone"')
            where workflow_id = $1 and number = 1""", flow,
    )  # fmt: skip
    await stage.sql("update workflows set live_version = 2 where id = $1", flow)
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        await sync_workflow_triggers(work, flow)
        await work.commit()
    row = await stage.row("select version from trigger_schedules where workflow_id = $1", flow)
    assert row["version"] == 2


async def test_missed_occurrences_are_left_out_and_old_jobs_deleted(stage: Stage) -> None:
    await stage.contact()
    await publish_live(stage, Schedule(key="t1", cron="0 * * * *", missed="skip"))
    first = await next_at(stage)
    for hour in range(4):
        await to(stage, first + timedelta(hours=hour))
        async with open_work(stage.runtime, stage.account, SYSTEM) as work:
            await fire_due_schedules(work)
    assert await jobs(stage) == [first.isoformat()]
    await stage.drain()
    await stage.drain(minutes=1)
    assert await jobs(stage) == [(first + timedelta(hours=hour)).isoformat() for hour in (0, 3)]
    [row] = await stage.sql(
        "select changes from audit_logs where account_id = $1 and action = 'workflow.occurrences_missed'",
        stage.account,
    )  # fmt: skip
    assert '"left_out": [null, "2"]' in row["changes"]
    stage.clock.forward(days=31)
    await delete_old_events(stage.runtime)
    assert await jobs(stage) == []


async def test_changed_time_zone_moves_the_schedule(stage: Stage) -> None:
    await publish_live(stage, Schedule(key="t1", cron="0 9 * * *"))
    assert (await next_at(stage)).strftime("%H:%M") == "09:00"
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        form = AccountForm(name="Acme", default_region="US", time_zone="Asia/Kolkata")
        await change_account(work, form, frozenset({"US"}))
    await stage.drain()
    assert (await next_at(stage)).strftime("%H:%M") == "03:30"


async def born(stage: Stage, key: UUID, day: str) -> UUID:
    person = await stage.contact()
    await stage.set_date(person, key, day)
    return person


async def test_date_trigger_fires_on_its_day(stage: Stage) -> None:
    key = await stage.date_field("born")
    await publish_live(stage, DateReached(key="t1", field=f"custom.{key}", offset=-3, at="08:00"))
    first = await next_at(stage)
    day = (first + timedelta(days=3)).date().isoformat()
    due, _ = await born(stage, key, day), await born(stage, key, first.date().isoformat())
    await to(stage, first)
    await stage.drain(seconds=1)
    [event] = await emitted_events(stage, "date.reached")
    assert event["subject_id"] == due
    assert f'"day": "{first.date().isoformat()}"' in event["data"]


async def test_yearly_dates_fire_each_year_including_29_february(stage: Stage) -> None:
    key = await stage.date_field("born")
    people = {day: await born(stage, key, day) for day in ("1996-02-29", "1990-02-28", "1990-03-01")}
    future = await born(stage, key, "2990-02-28")
    await publish_live(stage, DateReached(key="t1", field=f"custom.{key}", yearly=True, at="09:00"))
    expected = {2027: ["1990-02-28", "1996-02-29"], 2028: ["1990-02-28"]}
    for year, days in expected.items():
        before = len(await emitted_events(stage, "date.reached"))
        await to(stage, datetime(year, 2, 28, 8, 59, tzinfo=UTC))
        await stage.drain()
        events = (await emitted_events(stage, "date.reached"))[before:]
        assert [row["subject_id"] for row in events if row["subject_id"] in people.values()] == []
        await stage.drain(minutes=2)
        events = (await emitted_events(stage, "date.reached"))[before:]
        assert sorted(row["subject_id"] for row in events) == sorted(people[day] for day in days)
    await stage.drain(days=1)
    events = await emitted_events(stage, "date.reached")
    assert events[-1]["subject_id"] == people["1996-02-29"]
    assert future not in {row["subject_id"] for row in events}


async def test_a_task_is_overdue_once(stage: Stage) -> None:
    await publish_live(stage, TaskOverdue(key="t1"))
    person, deleted = await stage.contact(), await stage.contact()
    await stage.sql("update contacts set deleted_at = now() where id = $1", deleted)
    for who in (person, deleted):
        await stage.sql(
            "insert into tasks "
            "(account_id, id, contact_id, title, due_at, author_kind, author_id, author_name) "
            "values ($1, $2, $3, 'Call', now() + interval '1 hour', 'member', '1', 'Olive')",
            stage.account, uuid7(), who,
        )  # fmt: skip
    await stage.drain(minutes=59)
    assert await emitted_events(stage, "task.overdue") == []
    await asyncio.gather(*(run_schedules(stage.runtime, stage.account) for _ in range(3)))
    await stage.drain(minutes=2)
    await stage.drain(days=1)
    [event] = await emitted_events(stage, "task.overdue")
    assert event["subject_id"] == person
    assert '"title": "Call"' in event["data"]
    rows = await stage.sql("select overdue_at from tasks where account_id = $1", stage.account)
    assert all(row["overdue_at"] for row in rows)


async def test_a_task_moved_to_later_or_reopened_becomes_overdue_again(stage: Stage) -> None:
    await publish_live(stage, TaskOverdue(key="t1"))
    task = uuid7()
    await stage.sql(
        "insert into tasks (account_id, id, contact_id, title, due_at, author_kind, author_id, author_name) "
        "values ($1, $2, $3, 'Call', now() + interval '1 hour', 'member', '1', 'Olive')",
        stage.account, task, await stage.contact(),
    )  # fmt: skip
    await stage.drain(hours=2)
    assert len(await emitted_events(stage, "task.overdue")) == 1
    later = (await stage.now() + timedelta(hours=3)).isoformat()
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        await change_task(work, task, TaskChangeForm(due=later))
    await stage.drain(hours=1)
    assert len(await emitted_events(stage, "task.overdue")) == 1
    await stage.drain(hours=3)
    assert len(await emitted_events(stage, "task.overdue")) == 2
    for turn in (complete_task, reopen_task):
        async with open_work(stage.runtime, stage.account, SYSTEM) as work:
            await turn(work, task)
    await stage.drain(seconds=2)
    assert len(await emitted_events(stage, "task.overdue")) == 3


async def test_a_deleted_task_becomes_overdue_when_it_is_restored(stage: Stage) -> None:
    await publish_live(stage, TaskOverdue(key="t1"))
    task = uuid7()
    await stage.sql(
        "insert into tasks (account_id, id, contact_id, title, due_at, author_kind, author_id, author_name) "
        "values ($1, $2, $3, 'Call', now() + interval '1 hour', 'member', '1', 'Olive')",
        stage.account, task, await stage.contact(),
    )  # fmt: skip
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        await delete_task(work, task)
    await stage.drain(hours=2)
    assert await emitted_events(stage, "task.overdue") == []
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        await restore_task(work, task)
    await stage.drain(seconds=2)
    assert len(await emitted_events(stage, "task.overdue")) == 1
    for turn in (delete_task, restore_task):
        async with open_work(stage.runtime, stage.account, SYSTEM) as work:
            await turn(work, task)
    await stage.drain(seconds=2)
    assert len(await emitted_events(stage, "task.overdue")) == 1, "it was said already"


async def test_failing_schedules_delay_neither_tasks_nor_segments(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(work: Work) -> int:
        await work.session.execute(text("select 1 / 0"))
        return 1

    monkeypatch.setattr("app.engine.schedules.scheduler.fire_due_schedules", broken)
    person = await stage.contact(state="TX")
    texans = await stage.segment(ask("state", "is", "TX"))
    await publish_live(stage, SegmentEntered(key="t1", segment=texans))
    await publish_live(stage, Schedule(key="t1", cron="0 9 * * *"))
    await stage.sql("update trigger_schedules set next_at = now() where account_id = $1", stage.account)
    await stage.sql(
        "insert into tasks (account_id, id, contact_id, title, due_at, author_kind, author_id, author_name) "
        "values ($1, $2, $3, 'Call', now(), 'member', '1', 'Olive')",
        stage.account, uuid7(), person,
    )  # fmt: skip
    stage.clock.forward(seconds=1)
    with pytest.raises(DBAPIError, match="division by zero"):
        await run_schedules(stage.runtime, stage.account)
    assert len(await emitted_events(stage, "task.overdue")) == 1
    members = await stage.sql("select contact_id from segment_members where segment_id = $1", texans)
    assert [row["contact_id"] for row in members] == [person]


async def test_account_without_schedules_has_nothing_due(stage: Stage) -> None:
    await publish_live(stage, Manual(key="t1"))
    await publish_live(stage, ContactUpdated(key="t1"))
    assert await run_schedules(stage.runtime, stage.account) == 0
