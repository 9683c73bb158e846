"""What becomes of a wait when its enrollment moves to another version; which contacts an audience
includes."""

from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from app.engine.core.draft import Draft
from app.engine.core.steps import (
    AddNote,
    ApprovalOption,
    AskApproval,
    Drip,
    Goal,
    SendEmail,
    StepConfig,
    Unit,
    Wait,
    WaitFor,
)
from app.engine.core.triggers import ContactCreated, SegmentEntered, TagAdded, Trigger
from app.engine.core.version_migration import STARTS_AGAIN, MovedWait, wait_after_move
from app.filters.ast import Filter, Group, Op, Predicate
from app.workflows.domain.audience import audience_filter

PARIS = ZoneInfo("Europe/Paris")
BEGAN = datetime(2026, 3, 27, 9, 0, tzinfo=UTC)  # two days before the clocks change
UNTIL = datetime(2026, 4, 10, 9, 0, tzinfo=UTC)
DAYS = Wait(amount=14, unit=Unit.DAYS)
ASK = AskApproval(question="Call?", options=[ApprovalOption("b1", "Yes")], amount=2, unit=Unit.DAYS)
FOR = WaitFor(mode="event", event="note.added", amount=14, unit=Unit.DAYS)
GOAL = Goal(on_unmet="wait", amount=14, unit=Unit.DAYS)


@pytest.mark.parametrize(
    ("old", "new", "reason", "expected"),
    [
        (DAYS, DAYS, "timer", MovedWait(True, UNTIL)),
        # Days keep the clock time of the account across a change to summer time.
        (DAYS, Wait(amount=3, unit=Unit.DAYS), "timer", MovedWait(True, BEGAN + timedelta(days=3, hours=-1))),
        (DAYS, Wait(amount=3, unit=Unit.HOURS), "timer", MovedWait(True, BEGAN + timedelta(hours=3))),
        (DAYS, Wait(mode="until", until="2026-05-01"), "timer",
         MovedWait(True, datetime(2026, 4, 30, 22, 0, tzinfo=UTC))),
        (DAYS, Wait(mode="date_field", field="custom.x"), "timer", STARTS_AGAIN),
        (DAYS, Wait(mode="until", until="never"), "timer", STARTS_AGAIN),
        (FOR, WaitFor(mode="event", event="task.added", amount=14, unit=Unit.DAYS), "event",
         MovedWait(True, UNTIL)),
        (FOR, WaitFor(mode="event", event="note.added", amount=1, unit=Unit.HOURS), "event",
         MovedWait(True, BEGAN + timedelta(hours=1))),
        (FOR, WaitFor(mode="condition", amount=14, unit=Unit.DAYS), "event", STARTS_AGAIN),
        (GOAL, Goal(on_unmet="wait", amount=1, unit=Unit.HOURS), "condition",
         MovedWait(True, BEGAN + timedelta(hours=1))),
        (GOAL, Goal(on_unmet="end"), "condition", STARTS_AGAIN),
        (ASK, AskApproval(question="Call?", options=[ApprovalOption("b1", "Yes")], amount=3, unit=Unit.HOURS),
         "approval", MovedWait(True, BEGAN + timedelta(hours=3))),
        (ASK, AskApproval(question="Really?", options=[ApprovalOption("b1", "Yes")]), "approval",
         STARTS_AGAIN),
        (Drip(count=1), Drip(count=9), "drip_slot", MovedWait(True, UNTIL)),
        (SendEmail(subject="a"), SendEmail(subject="b"), "effect", MovedWait(True, UNTIL)),
        (SendEmail(subject="a"), SendEmail(subject="b"), "window", STARTS_AGAIN),
        (DAYS, None, "timer", STARTS_AGAIN),
        (DAYS, DAYS, None, STARTS_AGAIN),
        (None, DAYS, "timer", STARTS_AGAIN),
    ],
)  # fmt: skip
def test_migration_of_a_wait(
    old: StepConfig | None, new: StepConfig | None, reason: str | None, expected: MovedWait
) -> None:
    assert wait_after_move(old, new, reason, UNTIL, BEGAN, PARIS) == expected


TAG, SEGMENT = UUID(int=1), UUID(int=2)
ROME, VIP = Predicate("city", Op.IS, "Rome"), Predicate("tags", Op.ANY_OF, [str(TAG)])
INSIDE = Predicate("segments", Op.ANY_OF, [str(SEGMENT)])


@pytest.mark.parametrize(
    ("triggers", "entry", "expected"),
    [
        ([ContactCreated(key="t1")], None, None),
        ([ContactCreated(key="t1")], ROME, Group("all", [ROME])),
        ([TagAdded(key="t1", tag=TAG)], None, Group("all", [Group("any", [Group("all", [VIP])])])),
        ([TagAdded(key="t1", tag=TAG, filter=ROME), SegmentEntered(key="t2", segment=SEGMENT)], None,
         Group("all", [Group("any", [Group("all", [VIP, ROME]), Group("all", [INSIDE])])])),
        ([TagAdded(key="t1", tag=TAG), ContactCreated(key="t2")], ROME, Group("all", [ROME])),
    ],
)  # fmt: skip
def test_who_is_in_the_audience(
    triggers: list[Trigger], entry: Filter | None, expected: Filter | None
) -> None:
    assert audience_filter(Draft(triggers=triggers, entry=entry)) == expected


def test_notes_do_not_change_the_audience() -> None:
    assert wait_after_move(AddNote(text="a"), AddNote(text="b"), "timer", UNTIL, BEGAN, PARIS) == STARTS_AGAIN
