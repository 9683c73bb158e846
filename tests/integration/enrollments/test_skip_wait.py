"""Skipping each kind of wait, as a person does it."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest

from app.engine.advancing.runner import advance_enrollments
from app.engine.core.steps import (
    AddNote,
    AskApproval,
    Drip,
    Goal,
    SendEmail,
    StepConfig,
    Unit,
    Wait,
    WaitFor,
    Webhook,
    Window,
    blank,
)
from app.engine.core.triggers import ContactCreated
from app.enrollments.use_cases.progress import skip_wait
from app.errors import Conflict
from app.filters.ast import Op
from app.ports import Refused
from app.work import open_work
from tests.support.scenario import USER, Stage, ask

LANES: Mapping[str, list[StepConfig]] = {
    "met": [AddNote(text="met")],
    "timeout": [AddNote(text="timeout")],
}


async def begin(stage: Stage, step: Any) -> tuple[UUID, Any]:
    await stage.workflow([step, AddNote(text="end")], ContactCreated(key="t1"))
    [first, second] = await stage.contacts(2)  # of a drip, the second one waits
    await stage.emit("contact.created", first)
    await stage.drain()
    await stage.emit("contact.created", second)
    await stage.drain()
    return second, await stage.enrollment(second)


async def skip(stage: Stage, enrollment: UUID) -> None:
    async with open_work(stage.runtime, stage.account, USER) as work:
        await skip_wait(work, enrollment)
    await stage.drain()


async def closed_window(stage: Stage) -> Window:
    """Opens in three days."""
    return Window(days=[((await stage.now()).weekday() + 3) % 7], zone="UTC")


@pytest.mark.parametrize(
    ("reason", "step", "notes"),
    [
        ("timer", Wait(amount=9, unit=Unit.DAYS), ["end"]),
        ("timer", Wait(mode="until", until="2099-01-01T09:00"), ["end"]),
        ("drip_slot", Drip(count=1, amount=9, unit=Unit.DAYS), ["end"]),
        ("event", (WaitFor(mode="event", event="note.added"), LANES), ["timeout", "end"]),
        ("condition", (WaitFor(mode="condition", filter=ask("city", Op.IS, "Rome")), LANES),
         ["timeout", "end"]),
        ("condition", Goal(filter=ask("city", Op.IS, "Rome"), on_unmet="wait"), []),
        ("approval", (blank("approval"), {"timeout": [AddNote(text="timeout")]}), ["timeout", "end"]),
        ("window", SendEmail(subject="Hi", body="Hi"), ["end"]),
    ],
)  # fmt: skip
async def test_wait_is_skipped(stage: Stage, reason: str, step: Any, notes: list[str]) -> None:
    if isinstance(step, SendEmail):
        step = SendEmail(subject="Hi", body="Hi", window=await closed_window(stage))
    if isinstance(step, tuple) and isinstance(step[0], AskApproval):
        step = (AskApproval(question="Call?", options=step[0].options), step[1])
    person, row = await begin(stage, step)
    assert row["wait_reason"] == reason
    await skip(stage, row["id"])
    rows = await stage.sql("select body from notes where contact_id = $1 order by id", person)
    assert [note["body"] for note in rows] == notes
    after = await stage.enrollment(person)
    assert after["status"] == ("completed" if notes else "incomplete")
    assert len(stage.outside.letters) == int(reason == "window")
    visit = await stage.row(
        "select detail ->> 'skipped_by' as by from enrollment_executions"
        " where enrollment_id = $1 and seq = $2",
        row["id"], row["seq"],
    )  # fmt: skip
    assert visit["by"] == "Olive"


async def test_effect_in_flight_is_not_a_wait(stage: Stage) -> None:
    stage.outside.answers = [Refused("busy", permanent=False)] * 2
    _, row = await begin(stage, Webhook(url="https://crm.example/x"))
    assert row["wait_reason"] == "retry"
    with pytest.raises(Conflict, match="nothing to skip"):
        await skip(stage, row["id"])


async def test_an_event_wait_that_is_skipped_does_not_wait_for_the_matcher(stage: Stage) -> None:
    """What was waited for counts as not having happened, also where it did a moment before."""
    person, row = await begin(stage, (WaitFor(mode="event", event="note.added"), LANES))
    await stage.emit("note.added", person)
    async with open_work(stage.runtime, stage.account, USER) as work:
        await skip_wait(work, row["id"])
    async with open_work(stage.runtime, stage.account, USER) as work:
        await advance_enrollments(work)  # before the matcher has come to it
    assert (await stage.enrollment(person))["status"] == "completed"
    rows = await stage.sql("select body from notes where contact_id = $1 order by id", person)
    assert [note["body"] for note in rows] == ["timeout", "end"]
