"""Enrollments in sentences. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from app.engine.core.steps.base import first_line

THING = {"email": "e-mail", "sms": "SMS", "chat": "chat message", "webhook": "webhook call"}
ENDS = {
    "finished": "It came to its end.",
    "goal_met": "A goal was met.",
    "replied": "The contact replied.",
    "removed_by_user": "Removed by hand.",
    "removed_by_workflow": "Taken out by a workflow.",
    "no_longer_matches": "The contact no longer matches the entry condition.",
    "superseded": "A newer enrollment took its place.",
    "past_window": "The moment it was to wait for was over already.",
    "subject_deleted": "The contact was deleted.",
    "subject_merged": "The contact was merged with another one.",
    "workflow_archived": "The workflow was archived.",
    "failed_permanent": "A step failed for good.",
}
# What stands still without an effect or a moment; the rest is told in `waits_for`.
WAITS = {
    "timer": "Waits until {until} for the wait “{title}”.",
    "window": "Waits until {until}, when “{title}” may be sent.",
    "event": "Waits for “{title}”, until {until} at most.",
    "condition": "Waits for “{title}”, until {until} at most.",
    "approval": "Waits for an answer to “{title}”, until {until} at most.",
    "drip_slot": "Waits for its turn at {until}: “{title}”.",
    "breaker_open": "“{title}” is stopped, because it failed for too many people. It goes on by itself when "
    "the step works again; the next try is at {until}.",
}
EVENTS = {
    "contact.created": "The contact was created",
    "contact.updated": "The contact was changed",
    "contact.deleted": "The contact was deleted",
    "tag.added": "A tag was added",
    "tag.removed": "A tag was removed",
    "note.added": "A note was added",
    "task.added": "A task was added",
    "task.completed": "A task was completed",
    "task.overdue": "A task became overdue",
    "segment.entered": "The contact came into a segment",
    "segment.left": "The contact left a segment",
    "webhook.received": "A webhook was received",
    "email.delivered": "An e-mail was delivered",
    "email.bounced": "An e-mail bounced",
    "date.reached": "A date was reached",
    "schedule.struck": "A schedule struck",
    "enrollment.ended": "Another workflow ended",
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


def visit_note(
    row: Any, names: Mapping[str, str], labels: Mapping[str, str], now: datetime, zone: str
) -> str:
    """What a visit's detail says. `known` names tags, workflows and members by id and fields by key."""
    detail = row.detail
    parts = [*_ways(row.step_key, detail, names), *_things(detail, labels)]
    if until := detail.get("until"):
        window = "its window opens at " if detail.get("window") else "until "
        parts.append(window + clock(datetime.fromisoformat(until), now, zone))
    elif detail.get("window"):
        parts.append("its window opened")
    if detail.get("again") and not detail.get("window"):
        parts.append("reckoned anew")
    if detail.get("past"):
        parts.append("that moment was over already")
    if detail.get("timeout"):
        parts.append("timed out")
    if reason := detail.get("reason"):
        parts.append(str(reason).replace("_", " "))
    if by := detail.get("skipped_by") or detail.get("settled_by") or detail.get("by"):
        parts.append(f"by {by}")
    return ", ".join(parts)


def _ways(step: str, detail: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    parts = []
    if branch := detail.get("branch"):
        parts.append(f"took “{names.get(f'{step}.{branch}', branch)}”")
    if goal := detail.get("goal"):
        parts.append(f"because of “{names.get(goal, goal)}”")
    if (to := str(detail.get("to"))) in names:
        parts.append(f"went on at “{names[to]}”")
    return parts


def _things(detail: Mapping[str, Any], labels: Mapping[str, str]) -> list[str]:
    """What a step was about: a tag, a field, a text, another workflow, somebody."""
    parts = []
    if tag := detail.get("tag"):
        parts.append(labels.get(tag, "a tag that is gone"))
    if "field" in detail:
        label = labels.get(detail["field"], "a field that is gone")
        old, new = (labels.get(str(detail.get(name)), detail.get(name)) for name in ("old", "new"))
        parts.append(f"{label}: {_value(old)} → {_value(new)}")
    if "workflow" in detail:
        named = labels.get(str(detail["workflow"]), "a workflow that is gone")
        parts.append(named if detail["workflow"] else "every other workflow")
    parts += [first_line(str(detail[name])) for name in ("note", "title", "question") if detail.get(name)]
    if detail.get("changed") is False:
        parts.append("changed nothing")
    return parts


def _value(value: object) -> str:
    return "empty" if value in (None, "") else str(value)


def clock(at: datetime, now: datetime, zone: str) -> str:
    """A moment in the account's zone: 14:03 on the same day, otherwise with the day."""
    local, today = at.astimezone(ZoneInfo(zone)), now.astimezone(ZoneInfo(zone))
    if local.date() == today.date():
        return f"{local:%H:%M}"
    return f"{local.day} {local:%b} {local:%H:%M}" if local.year == today.year else f"{local:%Y-%m-%d %H:%M}"


def reason_of(row: Any) -> str | None:
    """What an active enrollment waits for, of the closed set: one reason, the one that keeps it."""
    if row.status != "active":
        return None
    if row.paused_at is not None:
        return "paused_enrollment"
    if row.held:
        return "paused_workflow"
    return "timer" if _settles(row) else row.wait_reason


def _settles(row: Any) -> bool:
    """Whether it stands still before its first step."""
    return row.wait_reason is None and row.step_key is None and row.wait_until is not None


def waits_for(row: Any, title: str, now: datetime, zone: str) -> str:
    """One sentence: what an enrollment waits for, or how it ended. `row` is one of the repository's, with
    the effect of its open visit."""
    reason = reason_of(row)
    until = clock(row.wait_until, now, zone) if row.wait_until else ""
    if row.status != "active":
        sentence = (
            f"{ENDS.get(row.exit_reason or '', row.status.capitalize() + '.')} {row.error or ''}".strip()
        )
    elif reason == "paused_enrollment":
        sentence = f"Paused since {clock(row.paused_at, now, zone)}: it stays here until somebody resumes it."
    elif reason == "paused_workflow":
        sentence = f"Held: nobody in “{row.workflow_name}” moves until it is released."
    elif _settles(row):
        later = row.due_at is not None and row.due_at > now
        sentence = (
            f"Settles until {until}; then it begins if it still matches." if later else "Is about to begin."
        )
    elif reason in ("effect", "retry", "hold"):
        sentence = _effect(row, now, zone)
    elif reason == "condition" and title.startswith("Goal: "):
        sentence = f"Waits until {until} for the goal “{title.removeprefix('Goal: ')}”."
    elif reason is not None:
        short = title.removeprefix("Wait ").removeprefix("for: ").removeprefix("Ask: ")
        sentence = WAITS.get(reason, "Waits.").format(until=until, title=short)
    else:
        sentence = f"Is about to go on with “{title}”." if title else "Is about to begin."
    return sentence


def _effect(row: Any, now: datetime, zone: str) -> str:
    thing = THING.get(row.effect_kind or "", "effect")
    if row.effect_status == "unknown":
        return f"In doubt: the {thing} may have gone out. Say whether it did, or send it again."
    if row.effect_status == "retry":
        when = clock(row.effect_due_at, now, zone)
        return (
            f"Waits for the {thing} to be sent (try {row.effect_attempts + 1} at {when}): {row.effect_error}"
        )
    if row.effect_status == "pending" and row.effect_due_at > now:
        return f"Waits until {clock(row.effect_due_at, now, zone)} for the {thing} to be sent."
    return f"Waits for the {thing} to be sent."


def why(decision: Any) -> str:
    """Why somebody entered, from the stored decision."""
    if decision is None:
        return "The decision is not kept any more."
    what = EVENTS.get(decision.kind or "", decision.kind or "An event happened")
    return f"{what} {SOURCES.get(decision.source or '', '')}".strip() + "."
