"""Enrollments in sentences. Pure."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from app.workflows.domain.draft import walk
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
)
from app.workflows.domain.version import Version

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
    return step.name or _does(step.config) or LABELS.get(step.kind, step.kind)


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
    """What people call each step of a version, by its key, from top to bottom."""
    return {step.key: step_title(step) for _, _, step in walk(version.steps)}


def clock(at: datetime, now: datetime, zone: str) -> str:
    """A moment in the account's zone: 14:03 on the same day, otherwise with the day."""
    local, today = at.astimezone(ZoneInfo(zone)), now.astimezone(ZoneInfo(zone))
    if local.date() == today.date():
        return f"{local:%H:%M}"
    return f"{local.day} {local:%b} {local:%H:%M}" if local.year == today.year else f"{local:%Y-%m-%d %H:%M}"


def waits_for(row: Any, title: str, effect: Any, now: datetime, zone: str) -> str:
    """One sentence: what an enrollment waits for, or how it ended. `effect` is the ledger's row of its open
    visit, None when it has none."""
    if row.status != "active":
        return f"{ENDS.get(row.exit_reason or '', row.status.capitalize() + '.')} {row.error or ''}".strip()
    if row.held:
        return f"Held: nobody in “{row.workflow_name}” moves until it is released."
    if row.wait_reason in ("effect", "retry", "hold"):
        return _effect(row, effect, now, zone)
    until = clock(row.wait_until, now, zone) if row.wait_until else ""
    if row.wait_reason == "timer":
        return f"Waits until {until} for the wait “{title.removeprefix('Wait ')}”."
    if row.wait_reason == "condition":
        return f"Waits until {until} for the goal “{title.removeprefix('Goal: ')}”."
    return f"Is about to go on with “{title}”." if title else "Is about to begin."


def _effect(row: Any, effect: Any, now: datetime, zone: str) -> str:
    thing = THING.get(effect.kind, effect.kind) if effect is not None else "effect"
    status = effect.status if effect is not None else ""
    if status == "unknown" or (effect is None and row.wait_reason == "hold"):
        return f"In doubt: the {thing} may have gone out. Say whether it did, or send it again."
    if status == "retry":
        when = clock(effect.due_at, now, zone)
        return f"Waits for the {thing} to be sent (try {effect.attempts + 1} at {when}): {effect.error}"
    return f"Waits for the {thing} to be sent."


def why(decision: Any) -> str:
    """Why somebody entered, from the stored decision."""
    if decision is None:
        return "The decision is not kept any more."
    what = EVENTS.get(decision.kind or "", decision.kind or "An event happened")
    return f"{what} {SOURCES.get(decision.source or '', '')}".strip() + "."
