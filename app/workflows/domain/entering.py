"""Who enters: the index that finds candidates for an event, and the verdict on each with the values seen."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from app.filters.ast import Filter, predicates
from app.filters.facts import Facts
from app.workflows.domain.draft import Reentry
from app.workflows.domain.events import Event, offered
from app.workflows.domain.triggers import Trigger, wanted
from app.workflows.domain.version import Program

DEEPEST = 10
MOST_ENTRIES_PER_HOUR = 20


class Verdict(StrEnum):
    """Why an event did or did not start a workflow. `suppressed` and `entry_cap` come with their subjects."""

    ENROLLED = "enrolled"
    FILTER_FALSE = "filter_false"
    SOURCE_NOT_LISTENED = "source_not_listened"
    ALREADY_ACTIVE = "already_active"
    REENTRY_ONCE = "reentry_once"
    REENTRY_COOLDOWN = "reentry_cooldown"
    GOAL_ALREADY_MET = "goal_already_met"
    WORKFLOW_PAUSED = "workflow_paused"
    LOOP_GUARD = "loop_guard"


class Candidate(msgspec.Struct, frozen=True):
    """One workflow that may care about an event, with the positions of its triggers that admit it."""

    program: Program
    triggers: list[int]


class TriggerIndex:
    """Every trigger of an account's live versions by what it listens for, so that an event costs the same
    whether ten or ten thousand other workflows exist."""

    def __init__(self, programs: Iterable[Program]) -> None:
        self._by_key: dict[tuple[str, str], list[tuple[Program, int]]] = {}
        for program in programs:
            for position, trigger in enumerate(program.version.triggers):
                for key in wanted(trigger, program.version.workflow_id):
                    self._by_key.setdefault(key, []).append((program, position))

    def candidates(self, event: Event, *, any_source: bool = False) -> list[Candidate]:
        """The workflows with a trigger that admits this event and listens to its source, each once; with
        `any_source` also those that do not listen, for "why not"."""
        found: dict[UUID, Candidate] = {}
        for key in offered(event):
            for program, position in self._by_key.get(key, ()):
                if not any_source and event.source not in program.version.triggers[position].sources:
                    continue
                candidate = found.setdefault(program.version.workflow_id, Candidate(program, []))
                if position not in candidate.triggers:
                    candidate.triggers.append(position)
        return list(found.values())


class History(msgspec.Struct, frozen=True):
    """What a contact has done in this workflow so far. `last_ended_at` is when the latest enrollment ended;
    `entries_last_hour` counts the contact's entries into this workflow."""

    active: bool = False
    entered_before: bool = False
    last_ended_at: datetime | None = None
    entries_last_hour: int = 0


class EntryDecision(msgspec.Struct, frozen=True):
    """A verdict with the values seen, fit for JSON: one row of `trigger_decisions`."""

    verdict: Verdict
    detail: dict[str, Any]


_Refusal = tuple[Verdict, dict[str, Any]] | None


def decide_entry(
    candidate: Candidate,
    event: Event,
    history: History,
    facts: Facts,
    now: datetime,
    *,
    accepting: bool = True,
) -> EntryDecision:
    """Whether the contact enters. `accepting` is false for a workflow that is paused or archived. The first
    trigger that lets the contact through counts; the reasons are asked in the order of the code."""
    program = candidate.program
    seen: dict[str, Any] = {"source": event.source.value}
    if not accepting:
        return EntryDecision(Verdict.WORKFLOW_PAUSED, seen)
    refused = _loop(event, history) or _triggers(candidate, event, facts, now, seen)
    if refused is None and history.active:
        refused = Verdict.ALREADY_ACTIVE, {}
    refused = refused or _reentry(program, history, now) or _goal(program, facts, now)
    verdict, detail = refused or (Verdict.ENROLLED, {})
    return EntryDecision(verdict, seen | detail)


def _loop(event: Event, history: History) -> _Refusal:
    if event.depth >= DEEPEST:
        return Verdict.LOOP_GUARD, {"depth": event.depth, "limit": DEEPEST}
    if history.entries_last_hour >= MOST_ENTRIES_PER_HOUR:
        return Verdict.LOOP_GUARD, {
            "entries_last_hour": history.entries_last_hour,
            "limit": MOST_ENTRIES_PER_HOUR,
        }
    return None


def _triggers(
    candidate: Candidate, event: Event, facts: Facts, now: datetime, seen: dict[str, Any]
) -> _Refusal:
    """None when a trigger and the entry condition let the contact in; notes the trigger in `seen`."""
    program, version = candidate.program, candidate.program.version
    heard = [
        position for position in candidate.triggers if event.source in version.triggers[position].sources
    ]
    if not heard:
        return Verdict.SOURCE_NOT_LISTENED, {}
    let_in = next((position for position in heard if program.trigger_matches[position](facts, now)), None)
    trigger: Trigger = version.triggers[heard[0] if let_in is None else let_in]
    seen["trigger"] = trigger.key
    if let_in is None:
        return Verdict.FILTER_FALSE, {"filter": "trigger", "seen": values_seen(trigger.filter, facts)}
    if not program.entry_match(facts, now):
        return Verdict.FILTER_FALSE, {"filter": "entry", "seen": values_seen(version.entry, facts)}
    return None


def values_seen(expression: Filter | None, facts: Facts) -> dict[str, Any]:
    """The contact's values of the fields that a filter asks about, fit for JSON."""
    seen: dict[str, Any] = {}
    for predicate in predicates(expression):
        value = facts.values.get(predicate.field)
        if predicate.field == "tags":
            seen["tags"] = sorted(str(tag) for tag in facts.tags)
        else:
            seen[predicate.field] = value.isoformat() if isinstance(value, datetime) else value
    return seen


def _reentry(program: Program, history: History, now: datetime) -> _Refusal:
    settings = program.version.settings
    if not history.entered_before:
        return None
    if settings.reentry is not Reentry.AFTER_EXIT:
        return Verdict.REENTRY_ONCE, {}
    if history.last_ended_at is None:
        return None
    until = history.last_ended_at + timedelta(seconds=settings.cooldown_seconds)
    return (Verdict.REENTRY_COOLDOWN, {"until": until.isoformat()}) if now < until else None


def _goal(program: Program, facts: Facts, now: datetime) -> _Refusal:
    goal = program.last_goal
    return (Verdict.GOAL_ALREADY_MET, {"goal": goal.key}) if goal and goal.match(facts, now) else None
