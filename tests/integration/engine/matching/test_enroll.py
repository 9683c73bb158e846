"""Events to enrollments on the real database: re-entry, keys, caps, settling, deleted contacts, and waits
that hear."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app.engine.advancing.runner import advance_enrollments
from app.engine.core import entry_rules
from app.engine.core.draft import Reentry, WorkflowSettings
from app.engine.core.steps import AddNote, AddTag, SendEmail, StepConfig, Unit, UpdateField, Wait, WaitFor
from app.engine.core.triggers import (
    ContactDeleted,
    ContactUpdated,
    FieldChanged,
    InboundWebhook,
    Manual,
    TagAdded,
    WorkflowEnded,
)
from app.engine.matching.matcher import match_events
from app.work import SYSTEM, open_work
from db.queries.counters import make_unknown
from tests.support.scenario import USER, Stage, ask

DAY = Wait(amount=1, unit=Unit.DAYS)
LATER = SendEmail(subject="Hi", body="Hi")


async def states(stage: Stage, contact: UUID) -> list[tuple[str, str | None]]:
    rows = await stage.sql(
        "select status, exit_reason from enrollments where contact_id = $1 order by entered_at, id", contact
    )
    return [(row["status"], row["exit_reason"]) for row in rows]


async def verdicts(stage: Stage, contact: UUID) -> list[str]:
    rows = await stage.sql(
        "select verdict from trigger_decisions where contact_id = $1 order by event_id", contact
    )
    return [row["verdict"] for row in rows]


async def match(stage: Stage) -> None:
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        await match_events(work)


async def hook(stage: Stage, workflow: UUID, contact: UUID, **body: Any) -> UUID:
    return await stage.emit("webhook.received", contact, {"trigger": f"{workflow}:t1", "body": body})


async def test_restart_ends_the_active_enrollment_first(stage: Stage) -> None:
    window_closed = SendEmail(subject="Hi", body="Hi")
    await stage.workflow(
        [window_closed, DAY],
        ContactUpdated(key="t1", fields=["city"]),
        settings=WorkflowSettings(reentry=Reentry.RESTART),
    )
    person = await stage.contact()
    await stage.change(person, "city", "Oslo")
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        await match_events(work)
    await stage.sql("update enrollments set due_at = now() where contact_id = $1", person)
    await stage.drain()
    await stage.change(person, "city", "Bergen")
    await stage.drain()
    assert await states(stage, person) == [("exited", "superseded"), ("active", None)]
    first = await stage.row(
        "select outcome, detail from enrollment_executions x join enrollments e on e.id = x.enrollment_id "
        "where e.contact_id = $1 and e.status = 'exited' order by x.seq desc limit 1",
        person,
    )
    assert (first["outcome"], "superseded" in first["detail"]) == ("left", True)


async def test_restart_cancels_unsent_effects(stage: Stage) -> None:
    await stage.workflow(
        [LATER], ContactUpdated(key="t1", fields=["city"]), settings=WorkflowSettings(reentry=Reentry.RESTART)
    )
    person = await stage.contact()
    await stage.change(person, "city", "Oslo")
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        await match_events(work)
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        await advance_enrollments(work)
    await stage.change(person, "city", "Bergen")
    await match(stage)
    statuses = await stage.sql("select status from effects where contact_id = $1", person)
    assert [row["status"] for row in statuses] == ["cancelled"]
    await stage.drain()
    assert len(stage.outside.letters) == 1


async def test_restarts_within_a_batch_leave_one_active(stage: Stage) -> None:
    await stage.workflow(
        [DAY], ContactUpdated(key="t1", fields=["city"]), settings=WorkflowSettings(reentry=Reentry.RESTART)
    )
    person = await stage.contact()
    for city in ("Oslo", "Bergen", "Bodø"):
        await stage.change(person, "city", city)
    await match(stage)
    statuses = await states(stage, person)
    assert sorted(statuses) == [("active", None), ("exited", "superseded"), ("exited", "superseded")]
    assert await verdicts(stage, person) == ["enrolled"] * 3


async def test_hourly_limit_of_workflows_per_contact(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of this batch count, and those of others; another contact has an hour of its own."""
    monkeypatch.setattr(entry_rules, "MOST_ENTRIES_ANYWHERE", 3)
    for _ in range(2):
        await stage.workflow([DAY], ContactUpdated(key="t1", fields=["city"]))
    person, other = await stage.contact(), await stage.contact()
    await stage.change(person, "city", "Oslo")
    await match(stage)
    for _ in range(2):
        await stage.workflow([DAY], ContactUpdated(key="t1", fields=["state"]))
    for contact_id in (person, other):
        await stage.change(contact_id, "state", "TX")
    await match(stage)
    assert sorted(await verdicts(stage, person)) == ["enrolled"] * 3 + ["loop_guard"]
    assert await verdicts(stage, other) == ["enrolled"] * 2
    await stage.workflow([DAY], ContactUpdated(key="t1", fields=["city"]))
    stage.clock.forward(hours=1, minutes=1)
    await stage.change(person, "city", "Bergen")
    await match(stage)
    assert (await verdicts(stage, person)).count("enrolled") == 4


async def test_each_restart_within_a_batch_emits_an_event(stage: Stage) -> None:
    flow = await stage.workflow(
        [DAY], ContactUpdated(key="t1", fields=["city"]), settings=WorkflowSettings(reentry=Reentry.RESTART)
    )
    ended = WorkflowEnded(key="t1", workflow=flow)
    await stage.workflow(
        [AddNote(text="ended")], ended, settings=WorkflowSettings(reentry=Reentry.AFTER_EXIT)
    )
    person = await stage.contact()
    await stage.change(person, "city", "Narvik")
    await stage.drain()
    for city in ("Oslo", "Bergen", "Bodø"):
        await stage.change(person, "city", city)
    await match(stage)
    rows = await stage.sql(
        "select source, depth, data->>'status' as status, data->>'reason' as reason from events"
        " where subject_id = $1 and kind = 'enrollment.ended'", person,
    )  # fmt: skip
    assert [tuple(row) for row in rows] == [("workflow", 1, "exited", "superseded")] * 3
    await stage.drain()
    assert await stage.sql("select from notes where contact_id = $1", person)
    assert ("active", None) in await states(stage, person)


async def test_one_live_enrollment_per_key(stage: Stage) -> None:
    flow = await stage.workflow(
        [DAY],
        InboundWebhook(key="t1", sources=["user"]),  # type: ignore[list-item]  # a StrEnum
        settings=WorkflowSettings(reentry=Reentry.CONCURRENT_PER_KEY, key_field="event.order"),
    )
    person = await stage.contact()
    for order in ("a", "b", "a", None, None):
        await hook(stage, flow, person, order=order)
    await stage.drain()
    rows = await stage.sql(
        "select entry_key, data from enrollments where contact_id = $1 order by entry_key", person
    )
    assert [row["entry_key"] for row in rows] == ["", "a", "b"]
    assert '"order": "a"' in rows[1]["data"]
    assert await verdicts(stage, person) == [
        "enrolled", "enrolled", "already_active", "enrolled", "already_active",
    ]  # fmt: skip
    await stage.drain(days=2)
    await hook(stage, flow, person, order="a")
    await stage.drain()
    assert (await verdicts(stage, person))[-1] == "enrolled"


async def test_concurrent_events_enroll_once(stage: Stage) -> None:
    await stage.workflow(
        [DAY], ContactUpdated(key="t1"), settings=WorkflowSettings(reentry=Reentry.AFTER_EXIT)
    )
    person = await stage.contact()
    for number in range(20):
        await stage.change(person, "city", f"c{number}")
    await asyncio.gather(*(match(stage) for _ in range(4)))
    await match(stage)
    assert await states(stage, person) == [("active", None)]
    assert sorted(await verdicts(stage, person)) == ["already_active"] * 19 + ["enrolled"]


async def test_entry_cap_counts_24_hours(stage: Stage) -> None:
    await stage.workflow([DAY], ContactUpdated(key="t1"), settings=WorkflowSettings(entry_cap=3))
    people = await stage.contacts(5)
    for person in people[:4]:
        await stage.change(person, "city", "Oslo")
    await stage.drain()
    await stage.change(people[4], "city", "Oslo")
    await stage.drain(hours=23)
    assert [(await verdicts(stage, person))[0] for person in people] == ["enrolled"] * 3 + ["entry_cap"] * 2
    await stage.change(people[3], "city", "Rome")
    await stage.drain(hours=2)
    assert (await verdicts(stage, people[3]))[-1] == "enrolled"


async def test_entry_condition_is_checked_after_the_settle_time(stage: Stage) -> None:
    city = ask("city", "is", "Oslo")
    await stage.workflow(
        [UpdateField(field="company", value="In")],
        ContactUpdated(key="t1", fields=["city"]),
        entry=city,
        settings=WorkflowSettings(settle_seconds=600),
    )
    stays, leaves = await stage.contact(), await stage.contact()
    for person in (stays, leaves):
        await stage.change(person, "city", "Oslo")
    await stage.drain(seconds=30)
    row = await stage.enrollment(stays)
    assert (row["status"], row["step_key"], row["wait_reason"]) == ("active", None, None)
    assert (row["wait_until"] - row["entered_at"]).total_seconds() == 600
    await stage.change(leaves, "city", "Rome")
    await stage.drain(minutes=11)
    assert await states(stage, stays) == [("completed", "finished")]
    assert await states(stage, leaves) == [("exited", "no_longer_matches")]


async def test_deletion_event_starts_a_workflow_without_the_contact(stage: Stage) -> None:
    await stage.workflow([AddNote(text="Gone"), DAY], ContactDeleted(key="t1"))
    other = await stage.workflow([DAY], Manual(key="t1"))
    person = await stage.contact()
    await stage.emit("enrollment.requested", person, {"workflow_id": str(other)})
    await stage.drain()
    await stage.sql("update contacts set deleted_at = now() where id = $1", person)
    await stage.emit("contact.deleted", person)
    await stage.change(person, "city", "Oslo")
    await stage.drain()
    rows = await stage.sql(
        "select workflow_id, status, exit_reason, contact_deleted from enrollments where contact_id = $1",
        person,
    )
    by = {row["workflow_id"] == other: row for row in rows}
    assert by[True]["exit_reason"] == "subject_deleted"
    assert by[False]["contact_deleted"] is True
    assert by[False]["exit_reason"] != "subject_deleted"


async def test_event_of_a_deleted_contact_gets_a_decision(stage: Stage) -> None:
    await stage.workflow([DAY], ContactUpdated(key="t1"))
    person = await stage.contact()
    await stage.change(person, "city", "Oslo")
    await stage.sql("update contacts set deleted_at = now() where id = $1", person)
    await stage.drain()
    assert await verdicts(stage, person) == ["suppressed"]


async def test_publishing_enrolls_without_a_manual_trigger(stage: Stage) -> None:
    flow = await stage.workflow([DAY], FieldChanged(key="t1", field="city"), entry=ask("city", "is", "Oslo"))
    inside, outside = await stage.contact(city="Oslo"), await stage.contact(city="Rome")
    for person in (inside, outside):
        await stage.emit("enrollment.requested", person, {"workflow_id": str(flow), "audience": True})
        await stage.emit("enrollment.requested", person, {"workflow_id": str(flow)})
    await stage.drain()
    assert await verdicts(stage, inside) == ["enrolled"]
    assert await verdicts(stage, outside) == ["filter_false"]


WAITING = WaitFor(mode="event", event="tag.added", amount=7, unit=Unit.DAYS)


async def waits(stage: Stage, **config: Any) -> tuple[UUID, UUID, UUID]:
    """The tag, an enrollment that waits for it, and the workflow."""
    tag, started = await stage.tag("paid"), await stage.tag("start")
    step = WaitFor(mode="event", event="tag.added", about=str(tag), amount=7, unit=Unit.DAYS, **config)
    lanes: dict[str, list[StepConfig]] = {
        "met": [UpdateField(field="company", value="Met")],
        "timeout": [UpdateField(field="company", value="Late")],
    }
    flow = await stage.workflow([(step, lanes)], TagAdded(key="t1", tag=started))
    person = await stage.contact()
    await stage.add_tag(person, tag)
    await stage.add_tag(person, started)
    await stage.drain()
    assert (await stage.enrollment(person))["wait_reason"] == "event"
    return tag, person, flow


async def company(stage: Stage, person: UUID) -> str | None:
    row = await stage.row("select company from contacts where id = $1", person)
    return row["company"]  # type: ignore[no-any-return]  # asyncpg's rows are untyped


async def test_event_wait_counts_events_since_it_began(stage: Stage) -> None:
    tag, person, _ = await waits(stage)
    await stage.change(person, "city", "Oslo")
    await stage.drain(hours=1)
    assert (await stage.enrollment(person))["wait_reason"] == "event"
    event = await stage.emit("tag.added", person, {"tag_id": str(tag)})
    await match(stage)
    assert (await stage.enrollment(person))["wake_event_id"] == event
    await stage.drain()
    assert await company(stage, person) == "Met"


async def test_an_event_wait_times_out(stage: Stage) -> None:
    _, person, _ = await waits(stage)
    await stage.drain(days=8)
    assert await company(stage, person) == "Late"


async def test_event_wait_checks_its_filter(stage: Stage) -> None:
    tag, person, _ = await waits(stage, filter=ask("city", "is", "Oslo"))
    await stage.emit("tag.added", person, {"tag_id": str(tag)})
    await stage.drain()
    assert (await stage.enrollment(person))["wait_reason"] == "event"
    await stage.change(person, "city", "Oslo")
    await stage.emit("tag.added", person, {"tag_id": str(tag)})
    await stage.drain()
    assert await company(stage, person) == "Met"


async def test_event_during_a_version_move_is_not_lost(stage: Stage) -> None:
    """The mover has them in its hands, and they come to wait in the very moment in which the event is
    matched: the matcher waits for the mover."""
    tag = await stage.tag("paid")
    step = WaitFor(mode="event", event="tag.added", about=str(tag), amount=7, unit=Unit.DAYS)
    flow = await stage.workflow([(step, {"met": [AddTag(tag=tag)]})], Manual(key="t1"))
    person = await stage.contact()
    await stage.emit("enrollment.requested", person, {"workflow_id": str(flow)})
    await match(stage)
    row = await stage.enrollment(person)
    async with open_work(stage.runtime, stage.account, USER) as mover:
        await mover.session.execute(
            text("select from enrollments where id = :id for update"), {"id": row["id"]}
        )
        await stage.emit("tag.added", person, {"tag_id": str(tag)})
        matching = asyncio.create_task(match(stage))
        await asyncio.sleep(0.3)
        assert not matching.done()
        await mover.session.execute(
            text(
                "insert into enrollment_executions (enrollment_id, seq, step_key, kind, started_at) "
                "values (:id, 1, 's1', 'wait_for', :at)"
            ),
            {"id": row["id"], "at": mover.now},
        )
        await mover.session.execute(
            text(
                "update enrollments set step_key = 's1', seq = 1, wait_reason = 'event', "
                "due_at = :until, wait_until = :until where id = :id"
            ),
            {"id": row["id"], "until": mover.now + timedelta(days=7)},
        )
        await make_unknown(mover.session, "enrollments")
        await mover.commit()
    await matching
    assert (await stage.enrollment(person))["wake_event_id"] is not None


async def test_unrelated_change_does_not_wake_an_enrollment(stage: Stage) -> None:
    await stage.workflow(
        [DAY, UpdateField(field="company", value="Done")], ContactUpdated(key="t1", fields=["city"])
    )
    person = await stage.contact()
    await stage.change(person, "city", "Oslo")
    await stage.drain()
    before = (await stage.enrollment(person))["due_at"]
    await stage.change(person, "state", "TX")
    await match(stage)
    assert (await stage.enrollment(person))["due_at"] == before
