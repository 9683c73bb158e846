"""Enrollments in sentences. Pure."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from app.workflows.domain.draft import lane_label, walk
from app.workflows.domain.steps import (
    LABELS,
    Exit,
    Goal,
    SendEmail,
    Step,
    StepConfig,
    UpdateField,
    Wait,
    Webhook,
    lane_keys,
)
from app.workflows.domain.version import Version

MERGE = re.compile(r"\{\{\s*(?:contact\.)?(?:custom\.)?(\w+).*?\}\}")
THING = {"email": "e-mail", "webhook": "webhook call"}
GOAL_MET = "A goal was met."
ENDS = {
    "finished": "It came to its end.",
    "goal_met": GOAL_MET,
    "removed_by_user": "Removed by hand.",
    "past_window": "The moment it was to wait for was over already.",
    "subject_deleted": "The contact was deleted.",
    "workflow_archived": "The workflow was archived.",
    "failed_permanent": "A step failed for good.",
    "superseded": "A newer enrollment took its place.",
}
EVENTS = {
    "contact.created": "The contact was created",
    "contact.updated": "The contact was changed",
    "tag.added": "A tag was added",
    "enrollment.requested": "Somebody added the contact",
}
SOURCES = {
    "user": "on a screen",
    "api": "by a script",
    "bulk": "by a bulk edit",
    "import": "by an import",
    "workflow": "by a workflow",
    "system": "by the system",
}


def step_title(step: Step) -> str:
    """What people call a step: its own name, else what it does."""
    said = step.name or _does(step.config) or LABELS.get(step.kind, step.kind)
    return MERGE.sub(lambda found: f"[{found[1].replace('_', ' ')}]", said)


def _does(config: StepConfig) -> str:
    said = ""
    if isinstance(config, SendEmail):
        said = f"E-mail: {config.subject}" if config.subject else ""
    elif isinstance(config, Webhook):
        said = f"{config.method} {config.url}" if config.url else ""
    elif isinstance(config, Wait):
        unit = config.unit.value.removesuffix("s") if config.amount == 1 else config.unit.value
        said = f"Wait {config.amount} {unit}" if config.mode == "duration" else f"Wait until {config.until}"
    elif isinstance(config, Goal):
        said = f"Goal: {config.name}" if config.name else ""
    elif isinstance(config, UpdateField):
        said = f"Update field: {config.field}" if config.field else ""
    elif isinstance(config, Exit):
        said = f"Exit: {config.reason}" if config.reason else ""
    return said


def titles(version: Version) -> dict[str, str]:
    """What people call each step of a version, by its key, from top to bottom; lanes of branches by
    "<step>.<lane>"."""
    found = {}
    for _, _, step in walk(version.steps):
        found[step.key] = step_title(step)
        found |= {f"{step.key}.{lane}": lane_label(step, lane) for lane in lane_keys(step.config)}
    return found


def visit_note(row: Any, names: Mapping[str, str], known: Mapping[str, str], now: datetime, zone: str) -> str:
    """What a visit's detail says. `known` names tags by id and fields by key."""
    detail, said = row.detail, []
    if branch := detail.get("branch"):
        said.append(f"took “{names.get(f'{row.step_key}.{branch}', branch)}”")
    if goal := detail.get("goal"):
        said.append(f"because of “{names.get(goal, goal)}”")
    if tag := detail.get("tag"):
        said.append(known.get(tag, "a tag that is gone"))
    if "field" in detail:
        label = known.get(detail["field"], "a field that is gone")
        said.append(f"{label}: {_value(detail.get('old'))} → {_value(detail.get('new'))}")
    if detail.get("changed") is False:
        said.append("changed nothing")
    if until := detail.get("until"):
        said.append(f"until {clock(datetime.fromisoformat(until), now, zone)}")
    if by := detail.get("skipped_by") or detail.get("settled_by"):
        said.append(f"by {by}")
    if reason := detail.get("reason"):
        said.append(str(reason).replace("_", " "))
    return ", ".join(said)


def _value(value: object) -> str:
    return "empty" if value in (None, "") else str(value)


def clock(at: datetime, now: datetime, zone: str) -> str:
    """A moment in the account's zone: 14:03 on the same day, otherwise with the day."""
    local, today = at.astimezone(ZoneInfo(zone)), now.astimezone(ZoneInfo(zone))
    if local.date() == today.date():
        return f"{local:%H:%M}"
    return f"{local.day} {local:%b} {local:%H:%M}" if local.year == today.year else f"{local:%Y-%m-%d %H:%M}"


def waits_for(row: Any, title: str, now: datetime, zone: str) -> str:
    """One sentence: what an enrollment waits for, or how it ended. `row` is one of the repository's, with
    the effect of its open visit."""
    until = clock(row.wait_until, now, zone) if row.wait_until else ""
    if row.status != "active":
        said = f"{ENDS.get(row.exit_reason or '', row.status.capitalize() + '.')} {row.error or ''}".strip()
    elif row.held:
        said = f"Held: nobody in “{row.workflow_name}” moves until it is released."
    elif row.wait_reason in ("effect", "retry", "hold"):
        said = _effect(row, now, zone)
    elif row.wait_reason == "timer":
        said = f"Waits until {until} for the wait “{title.removeprefix('Wait ')}”."
    elif row.wait_reason == "condition":
        said = f"Waits until {until} for the goal “{title.removeprefix('Goal: ')}”."
    else:
        said = f"Is about to go on with “{title}”." if title else "Is about to begin."
    return said


def _effect(row: Any, now: datetime, zone: str) -> str:
    thing = THING.get(row.effect_kind or "", "effect")
    if row.effect_status == "unknown":
        return f"In doubt: the {thing} may have gone out. Say whether it did, or send it again."
    if row.effect_status == "retry":
        when = clock(row.effect_due_at, now, zone)
        return (
            f"Waits for the {thing} to be sent (try {row.effect_attempts + 1} at {when}): {row.effect_error}"
        )
    return f"Waits for the {thing} to be sent."


def why(decision: Any) -> str:
    """Why somebody entered, from the stored decision."""
    if decision is None:
        return "The decision is not kept any more."
    what = EVENTS.get(decision.kind or "", decision.kind or "An event happened")
    return f"{what} {SOURCES.get(decision.source or '', '')}".strip() + "."
