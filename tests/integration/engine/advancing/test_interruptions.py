"""What pauses, moves, goals and skips do to an enrollment that waits or whose effect is in flight."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from uuid import UUID

from app.engine.advancing.runner import AdvanceTask
from app.engine.core.draft import WorkflowSettings
from app.engine.core.steps import AddNote, Goal, SendEmail, StepConfig, Unit, Wait, WaitFor
from app.engine.core.triggers import ContactCreated
from app.engine.effects.dispatcher import attempt_effect, begin_effect, mark_interrupted
from app.enrollments.use_cases.effects import cancel_effect, settle_effect
from app.enrollments.use_cases.progress import pause_enrollment, resume_enrollment, skip_wait
from app.filters.ast import Op
from app.ports import Refused, Unknown
from app.work import SYSTEM, open_work
from db.queries.enrollment_batches import claim_due_enrollments
from jobs.turns import match_and_advance
from tests.support.pending_effects import claim_effect, expire_lease
from tests.support.scenario import USER, Stage, ask

CREATED = ContactCreated(key="t1")
MAIL = SendEmail(subject="Buy it", body="Hi")
ROME = Goal(filter=ask("city", Op.IS, "Rome"))


async def waiting_contact(stage: Stage) -> UUID:
    person = await stage.contact()
    await stage.emit("contact.created", person)
    return person


async def pause(stage: Stage, enrollment: UUID) -> None:
    async with open_work(stage.runtime, stage.account, USER) as work:
        await pause_enrollment(work, enrollment)


async def resume(stage: Stage, enrollment: UUID) -> None:
    async with open_work(stage.runtime, stage.account, USER) as work:
        await resume_enrollment(work, enrollment)


async def test_settling_or_canceling_does_not_make_a_paused_enrollment_due(stage: Stage) -> None:
    stage.outside.answers = [Unknown("cut after DATA"), Refused("451 later", permanent=False)]
    await stage.workflow([MAIL], CREATED)
    people = [await waiting_contact(stage)]
    await stage.drain()
    people.append(await waiting_contact(stage))
    await stage.drain()
    for person in people:
        await pause(stage, (await stage.enrollment(person))["id"])
    doubt, again = [(await stage.effect(person))["id"] for person in people]
    async with open_work(stage.runtime, stage.account, USER) as work:
        await settle_effect(work, doubt, sent=True)
    async with open_work(stage.runtime, stage.account, USER) as work:
        await cancel_effect(work, again)
    assert [(await stage.enrollment(person))["due_at"] for person in people] == [None, None]
    for person in people:
        await resume(stage, (await stage.enrollment(person))["id"])
    await stage.drain()
    assert [(await stage.enrollment(person))["status"] for person in people] == ["completed", "failed"]


async def test_goal_met_between_two_attempts_cancels_the_email(stage: Stage) -> None:
    stage.outside.answers = [Refused("451 later", permanent=False)] * 20
    await stage.workflow([MAIL, ROME], CREATED)
    person = await waiting_contact(stage)
    await stage.drain()
    assert (await stage.enrollment(person))["wait_reason"] == "retry"
    await stage.change(person, "city", "Rome")
    await stage.drain()
    row, effect = await stage.enrollment(person), await stage.effect(person)
    assert (row["status"], row["exit_reason"]) == ("completed", "goal_met")
    reason = "The goal was met before this was sent. Last try: 451 later"
    assert (effect["status"], effect["error"]) == ("cancelled", reason)
    assert await stage.path(person) == [("send_email", "skipped"), ("goal", "met")]
    await stage.drain(hours=5)
    assert len(stage.outside.letters) == 1


async def test_goal_met_before_the_call_begins_cancels_it(stage: Stage) -> None:
    await stage.workflow([MAIL, ROME, Wait(amount=9, unit=Unit.DAYS)], CREATED)
    person = await waiting_contact(stage)
    await match_and_advance(stage.runtime, stage.account)
    claimed = await claim_effect(stage)
    await stage.change(person, "city", "Rome")
    await match_and_advance(stage.runtime, stage.account)
    assert (await stage.enrollment(person))["wait_reason"] == "timer"
    assert await begin_effect(stage.runtime, stage.account, claimed) is None
    await stage.drain()
    assert stage.outside.letters == []
    assert (await stage.effect(person))["status"] == "cancelled"


async def test_goal_waits_for_a_call_in_flight(stage: Stage) -> None:
    await stage.workflow([MAIL, ROME], CREATED)
    person = await waiting_contact(stage)
    await match_and_advance(stage.runtime, stage.account)
    claimed = await claim_effect(stage)
    assert await begin_effect(stage.runtime, stage.account, claimed) == 1
    await stage.change(person, "city", "Rome")
    await match_and_advance(stage.runtime, stage.account)
    assert (await stage.enrollment(person))["wait_reason"] == "effect"
    await stage.sql("update effects set started_at = null where id = $1", claimed.id)
    await attempt_effect(stage.runtime, stage.account, claimed)
    await stage.drain()
    assert await stage.path(person) == [("send_email", "sent"), ("goal", "met")]


async def test_event_during_a_pause_counts_on_resume(stage: Stage) -> None:
    lanes: dict[str, list[StepConfig]] = {"met": [AddNote(text="met")], "timeout": [AddNote(text="timeout")]}
    wait = WaitFor(mode="event", event="task.completed", amount=2, unit=Unit.DAYS)
    await stage.workflow([(wait, lanes)], CREATED)
    person = await waiting_contact(stage)
    await stage.drain()
    row = await stage.enrollment(person)
    await pause(stage, row["id"])
    await stage.emit("task.completed", person, {})
    await stage.drain(hours=1)
    assert (await stage.enrollment(person))["wait_reason"] == "event"
    await resume(stage, row["id"])
    await stage.drain()
    notes = await stage.sql("select body from notes where contact_id = $1", person)
    assert [note["body"] for note in notes] == ["met"]


async def test_pause_does_not_shorten_the_settle_time(stage: Stage) -> None:
    await stage.workflow([AddNote(text="in")], CREATED, settings=WorkflowSettings(settle_seconds=3600))
    person = await waiting_contact(stage)
    await stage.drain()
    row = await stage.enrollment(person)
    await pause(stage, row["id"])
    await stage.drain(minutes=5)
    await resume(stage, row["id"])
    await stage.drain()
    assert await stage.path(person) == []
    await stage.drain(hours=1)
    assert await stage.path(person) == [("add_note", "done")]


async def test_marking_interrupted_effects_skips_locked_enrollments(stage: Stage) -> None:
    """An enrollment is locked before its effect, everywhere: the other order could deadlock with it."""
    await stage.workflow([MAIL], CREATED)
    person = await waiting_contact(stage)
    await match_and_advance(stage.runtime, stage.account)
    await begin_effect(stage.runtime, stage.account, await claim_effect(stage))
    await expire_lease(stage)
    async with open_work(stage.runtime, stage.account, SYSTEM) as mover:
        row = await stage.enrollment(person)
        assert await mover.enrollments.lock(row["id"]) is not None
        async with asyncio.timeout(5), open_work(stage.runtime, stage.account, SYSTEM) as work:
            assert await mark_interrupted(work) == 0
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        assert await mark_interrupted(work) == 1


async def fails_after(stage: Stage, meanwhile: Callable[[UUID], Awaitable[None]]) -> None:
    """Claims the due enrollment and lets its batch fail; before that is written, a member changes the
    enrollment."""
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        [row] = await claim_due_enrollments(work.session, work.now, 5)
        await work.session.rollback()  # it failed, and its lock is gone
        await meanwhile(row.id)
        await AdvanceTask(work).park(row, ValueError("Once."))


async def test_enrollment_with_skipped_wait_is_not_parked_for_an_old_error(stage: Stage) -> None:
    await stage.workflow([Wait(amount=1, unit=Unit.HOURS), AddNote(text="on")], CREATED)
    person = await waiting_contact(stage)
    await stage.drain()
    stage.clock.forward(hours=2)

    async def skip(enrollment: UUID) -> None:
        async with open_work(stage.runtime, stage.account, USER) as work:
            await skip_wait(work, enrollment)

    await fails_after(stage, skip)
    assert (await stage.enrollment(person))["status"] == "active"


async def test_moved_enrollment_is_not_parked_for_an_old_error(stage: Stage) -> None:
    await stage.workflow([AddNote(text="in")], CREATED, settings=WorkflowSettings(settle_seconds=60))
    person = await waiting_contact(stage)
    await stage.drain()
    stage.clock.forward(minutes=2)
    await fails_after(stage, partial(pause, stage))
    after = await stage.enrollment(person)
    assert (after["status"], after["paused_at"] is not None) == ("active", True)
