"""Entry rules: decide whether an event starts a workflow for a contact, and explain the decision.

`decide_entry` is the entry point. It checks in order: loop guard, triggers and entry condition, re-entry
policy, suppression, goal already met, entry cap."""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from app.engine.core.draft import Reentry
from app.engine.core.events import EngineEvent, stored_event_data
from app.engine.core.trigger_index import Candidate
from app.engine.core.triggers import Trigger
from app.engine.core.version import Program
from app.filters.explain import explain
from app.filters.facts import Facts
from app.json_types import JsonObject

DEEPEST = 10
MOST_ENTRIES_PER_HOUR = 20  # into one workflow
MOST_ENTRIES_ANYWHERE = 100  # into all of them: one import may well start thirty
LONGEST_KEY = 200


class Verdict(StrEnum):
    """Why an event started a workflow or did not."""

    ENROLLED = "enrolled"
    FILTER_FALSE = "filter_false"
    SOURCE_NOT_LISTENED = "source_not_listened"
    ALREADY_ACTIVE = "already_active"
    REENTRY_ONCE = "reentry_once"
    REENTRY_COOLDOWN = "reentry_cooldown"
    GOAL_ALREADY_MET = "goal_already_met"
    SUPPRESSED = "suppressed"
    WORKFLOW_PAUSED = "workflow_paused"
    LOOP_GUARD = "loop_guard"
    ENTRY_CAP = "entry_cap"


class History(msgspec.Struct, frozen=True):
    """What a contact has done in this workflow so far. `live` are the entry keys of those enrollments that
    have not ended; `last_ended_at` is when the latest one ended; `entries_last_hour` counts the contact's
    entries into this workflow, `entries_anywhere` those of the hour into all workflows of the account."""

    live: frozenset[str] = frozenset()
    entered_before: bool = False
    last_ended_at: datetime | None = None
    entries_last_hour: int = 0
    entries_anywhere: int = 0


class EntryDecision(msgspec.Struct, frozen=True):
    """A verdict with the values seen, ready for JSON: one row of `trigger_decisions`. A contact that enters
    does so under `entry_key`; with `supersedes` the active enrollment ends first."""

    verdict: Verdict
    detail: JsonObject
    entry_key: str = ""
    supersedes: bool = False


_Refusal = tuple[Verdict, JsonObject] | None


def decide_entry(
    candidate: Candidate,
    event: EngineEvent,
    history: History,
    facts: Facts | None,
    now: datetime,
    *,
    accepting: bool = True,
    entries_last_day: int = 0,
) -> EntryDecision:
    """Whether the contact enters. `accepting` is false for a workflow that is paused or archived; `facts` are
    None for a deleted contact; `entries_last_day` counts all entries of the workflow. The first trigger that
    admits the contact counts; the reasons are checked in the order of the code."""
    program = candidate.program
    detail: JsonObject = {"source": event.source.value}
    if not accepting:
        return EntryDecision(Verdict.WORKFLOW_PAUSED, detail)
    if facts is None:
        return EntryDecision(Verdict.SUPPRESSED, detail | {"contact": "deleted"})
    key = entry_key(program, event, facts)
    refused = (
        _loop(event, history)
        or _triggers(candidate, event, facts, now, detail)
        or _reentry(program, history, key, now)
        or _suppressed(candidate, facts)
        or _goal(program, facts, now)
        or _cap(program, entries_last_day)
    )
    if refused is not None:
        return EntryDecision(refused[0], detail | refused[1])
    supersedes = program.version.settings.reentry is Reentry.RESTART and bool(history.live)
    return EntryDecision(Verdict.ENROLLED, detail, key, supersedes)


def entry_key(program: Program, event: EngineEvent, facts: Facts) -> str:
    """The key that distinguishes this entry from others of the same contact; "" if the workflow has no key
    field or the field is empty: an empty value is a key like any other."""
    settings = program.version.settings
    if settings.reentry is not Reentry.CONCURRENT_PER_KEY:
        return ""
    named = settings.key_field
    value: object = facts.values.get(named)
    if named.startswith("event."):
        value = at_path(stored_event_data(event), named.removeprefix("event."))
    if value is None or isinstance(value, str):
        key = (value or "").strip()
    else:
        key = msgspec.json.encode(value, order="sorted").decode()
    return key if len(key) <= LONGEST_KEY else hashlib.sha256(key.encode()).hexdigest()


def at_path(body: object, path: str) -> object:
    """The value at a path of names and list positions such as "items.0.email"; None if there is none."""
    for part in path.split("."):
        if isinstance(body, Mapping):
            body = body.get(part)
        elif isinstance(body, list) and part.isdecimal() and int(part) < len(body):
            body = body[int(part)]
        else:
            return None
    return body


def _loop(event: EngineEvent, history: History) -> _Refusal:
    if event.depth >= DEEPEST:
        return Verdict.LOOP_GUARD, {"depth": event.depth, "limit": DEEPEST}
    if history.entries_last_hour >= MOST_ENTRIES_PER_HOUR:
        return Verdict.LOOP_GUARD, {
            "entries_last_hour": history.entries_last_hour,
            "limit": MOST_ENTRIES_PER_HOUR,
        }
    if history.entries_anywhere >= MOST_ENTRIES_ANYWHERE:
        return Verdict.LOOP_GUARD, {
            "entries_anywhere": history.entries_anywhere,
            "limit": MOST_ENTRIES_ANYWHERE,
        }
    return None


def _triggers(
    candidate: Candidate, event: EngineEvent, facts: Facts, now: datetime, detail: JsonObject
) -> _Refusal:
    """None when a trigger and the entry condition admit the contact; records the trigger in `detail`."""
    program, version = candidate.program, candidate.program.version
    if candidate.audience:
        detail["audience"] = True
    else:
        listening = [at for at in candidate.triggers if event.source in version.triggers[at].sources]
        if not listening:
            return Verdict.SOURCE_NOT_LISTENED, {}
        let_in = next((at for at in listening if _trigger_matches(program, at, event, facts, now)), None)
        trigger: Trigger = version.triggers[listening[0] if let_in is None else let_in]
        detail["trigger"] = trigger.key
        if let_in is None:
            return Verdict.FILTER_FALSE, {
                "filter": "trigger",
                "values": _seen_by(program, trigger, event, facts, now),
            }
    if not program.entry_match(facts, now):
        seen_now = explain(version.entry, facts, program.fields, now)
        return Verdict.FILTER_FALSE, {"filter": "entry", "values": seen_now}
    return None


def _trigger_matches(program: Program, at: int, event: EngineEvent, facts: Facts, now: datetime) -> bool:
    trigger = program.version.triggers[at]
    return trigger.previous_value_matches(event) and program.trigger_matches[at](facts, now)


def _seen_by(
    program: Program, trigger: Trigger, event: EngineEvent, facts: Facts, now: datetime
) -> JsonObject:
    values = explain(trigger.filter, facts, program.fields, now)
    if not trigger.previous_value_matches(event):
        values["changes"] = event.data.get("changes")
    return values


def _reentry(program: Program, history: History, key: str, now: datetime) -> _Refusal:
    settings = program.version.settings
    if settings.reentry is Reentry.RESTART:
        return None
    if settings.reentry is Reentry.CONCURRENT_PER_KEY:
        return (Verdict.ALREADY_ACTIVE, {"entry_key": key}) if key in history.live else None
    if history.live:
        return Verdict.ALREADY_ACTIVE, {}
    if settings.reentry is Reentry.ONCE_EVER:
        return (Verdict.REENTRY_ONCE, {}) if history.entered_before else None
    until = history.last_ended_at and history.last_ended_at + timedelta(seconds=settings.cooldown_seconds)
    return (Verdict.REENTRY_COOLDOWN, {"until": until.isoformat()}) if until and now < until else None


def _suppressed(candidate: Candidate, facts: Facts) -> _Refusal:
    """A workflow that does nothing but send to the contact does not admit one who denied every channel it
    uses."""
    consents = sorted(candidate.required_consents)
    if not consents or any(facts.values.get(consent) != "denied" for consent in consents):
        return None
    return Verdict.SUPPRESSED, {"denied": [*consents]}


def _goal(program: Program, facts: Facts, now: datetime) -> _Refusal:
    goal = program.last_goal
    return (Verdict.GOAL_ALREADY_MET, {"goal": goal.key}) if goal and goal.match(facts, now) else None


def _cap(program: Program, entries_last_day: int) -> _Refusal:
    cap = program.version.settings.entry_cap
    if not cap or entries_last_day < cap:
        return None
    return Verdict.ENTRY_CAP, {"entries_last_day": entries_last_day, "limit": cap}
