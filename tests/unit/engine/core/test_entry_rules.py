"""Whether an event lets a contact enter: triggers, re-entry, caps and the loop guard."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from app.engine.core.draft import Reentry, WorkflowSettings
from app.engine.core.entry_rules import DEEPEST, History, Verdict, decide_entry
from app.engine.core.events import EngineEvent, Source
from app.engine.core.steps import Exit, Goal, Unit
from app.engine.core.trigger_index import TriggerIndex
from app.engine.core.triggers import ContactCreated, ContactUpdated, Manual, TagAdded, Trigger
from app.filters.ast import Filter
from tests.support.engine_kit import (
    COLD,
    CONTACT,
    NOW,
    TAGS,
    VIP,
    WORKFLOW,
    ask,
    contact_facts,
    every,
    program,
)

OTHER = UUID(int=101)


def event(kind: str, source: str = "user", depth: int = 0, **data: Any) -> EngineEvent:
    return EngineEvent(UUID(int=1), kind, Source(source), CONTACT, data, depth)


VIP_ADDED = event("tag.added", tag_id=str(VIP))


@pytest.mark.parametrize(
    ("trigger", "happened", "expected"),
    [
        (ContactCreated(), event("contact.created"), True),
        (ContactCreated(), event("contact.updated", changes={}), False),
        (ContactUpdated(), event("contact.updated", changes={"city": ["a", "b"]}), True),
        (
            ContactUpdated(fields=["state", "city"]),
            event("contact.updated", changes={"city": ["a", "b"]}),
            True,
        ),
        (ContactUpdated(fields=["state"]), event("contact.updated", changes={"city": ["a", "b"]}), False),
        (TagAdded(tag=VIP), VIP_ADDED, True),
        (TagAdded(tag=COLD), VIP_ADDED, False),
        (TagAdded(), VIP_ADDED, False),
        (Manual(), event("enrollment.requested", workflow_id=str(WORKFLOW)), True),
        (Manual(), event("enrollment.requested", workflow_id=str(OTHER)), False),
    ],
)
def test_triggers_admit_their_events(trigger: Trigger, happened: EngineEvent, expected: bool) -> None:
    index = TriggerIndex([program(Exit(), triggers=[trigger])])
    assert bool(index.candidates(happened)) is expected


def test_trigger_index_returns_each_listening_workflow_once() -> None:
    both = program(Exit(), triggers=[TagAdded(key="t1", tag=VIP), TagAdded(key="t2", tag=VIP)])
    deaf = program(Exit(), triggers=[TagAdded(key="t1", tag=VIP, sources=[Source.IMPORT])], workflow_id=OTHER)
    index = TriggerIndex([both, deaf])
    assert [(candidate.program, candidate.triggers) for candidate in index.candidates(VIP_ADDED)] == [
        (both, [0, 1])
    ]
    assert len(index.candidates(VIP_ADDED, any_source=True)) == 2
    assert index.candidates(event("tag.added", "workflow", tag_id=str(VIP))) == []
    # Two of its fields changed at once, and it is indexed under both.
    twice = program(Exit(), triggers=[ContactUpdated(fields=["city", "state"])])
    changed = event("contact.updated", changes={"city": [1, 2], "state": [1, 2]})
    assert [candidate.triggers for candidate in TriggerIndex([twice]).candidates(changed)] == [[0]]


def verdict(
    happened: EngineEvent = VIP_ADDED,
    history: History | None = None,
    accepting: bool = True,
    entry: Filter | None = None,
    entry_filter: Filter | None = None,
    settings: WorkflowSettings | None = None,
    **person: Any,
) -> tuple[Verdict, dict[str, Any]]:
    goal = Goal(filter=ask("tags", "any_of", [str(COLD)]))
    compiled_program = program(
        Exit(),
        goal,
        triggers=[TagAdded(key="t1", tag=VIP, filter=entry_filter)],
        entry=entry,
        settings=settings,
    )
    [candidate] = TriggerIndex([compiled_program]).candidates(happened, any_source=True)
    decided = decide_entry(
        candidate, happened, history or History(), contact_facts(**person), NOW, accepting=accepting
    )
    return decided.verdict, decided.detail


AGAIN = WorkflowSettings(reentry=Reentry.AFTER_EXIT, cooldown=2, cooldown_unit=Unit.HOURS)


def before(**ago: float) -> History:
    return History(entered_before=True, last_ended_at=NOW - timedelta(**ago))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "enrolled"),
        ({"accepting": False}, "workflow_paused"),
        ({"happened": event("tag.added", "workflow", tag_id=str(VIP))}, "source_not_listened"),
        ({"happened": event("tag.added", depth=DEEPEST, tag_id=str(VIP))}, "loop_guard"),
        ({"happened": event("tag.added", depth=DEEPEST - 1, tag_id=str(VIP))}, "enrolled"),
        ({"history": History(entries_last_hour=20)}, "loop_guard"),
        ({"history": History(entries_anywhere=99)}, "enrolled"),
        ({"history": History(entries_anywhere=100)}, "loop_guard"),
        ({"entry_filter": ask("city", "is", "Rome"), "city": "Paris"}, "filter_false"),
        ({"entry": ask("city", "is", "Rome"), "city": "Paris"}, "filter_false"),
        ({"history": History(frozenset({""}), True)}, "already_active"),
        ({"history": before(days=9)}, "reentry_once"),
        ({"history": before(hours=1), "settings": AGAIN}, "reentry_cooldown"),
        ({"history": before(hours=2), "settings": AGAIN}, "enrolled"),
        ({"tags": {COLD}}, "goal_already_met"),
    ],
)
def test_verdicts(arguments: dict[str, Any], expected: str) -> None:
    assert verdict(**arguments)[0].value == expected


def test_decisions_record_the_values_compared() -> None:
    condition = every(ask("city", "is", "Rome"), ask("tags", "any_of", [*TAGS]), ask("created_at", "today"))
    code, detail = verdict(entry=condition, city="Paris", tags={VIP}, created_at=NOW)
    assert code is Verdict.FILTER_FALSE
    assert detail == {
        "source": "user",
        "trigger": "t1",
        "filter": "entry",
        "values": {"city": "Paris", "tags": [str(VIP)], "created_at": NOW.isoformat()},
    }


def test_the_first_admitting_trigger_counts() -> None:
    compiled_program = program(
        Exit(),
        triggers=[
            TagAdded(key="t1", tag=VIP, filter=ask("city", "is", "Rome")),
            TagAdded(key="t2", tag=VIP),
        ],
    )
    [candidate] = TriggerIndex([compiled_program]).candidates(VIP_ADDED)
    decided = decide_entry(candidate, VIP_ADDED, History(), contact_facts(), NOW)
    assert (decided.verdict, decided.detail["trigger"]) == (Verdict.ENROLLED, "t2")
