"""Sentences about enrollments: wait reasons, visits, decisions. Pure."""

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from app.engine.core.steps.base import first_line
from app.json_types import Json
from db.queries.enrollment_pages import ListedEnrollment, StoredDecision

SKIPPED = ("timer", "window", "event", "condition", "drip_slot", "approval")
THING = {"email": "email", "sms": "SMS", "chat": "chat message", "webhook": "webhook call"}
ENDS = {
    "finished": "Reached the end of the workflow.",
    "goal_met": "A goal was met.",
    "replied": "The contact replied.",
    "removed_by_user": "Removed manually.",
    "removed_by_workflow": "Removed by a workflow.",
    "no_longer_matches": "The contact no longer matches the entry condition.",
    "superseded": "Replaced by a newer enrollment.",
    "past_window": "The time to wait for had already passed.",
    "subject_deleted": "The contact was deleted.",
    "subject_merged": "The contact was merged with another one.",
    "workflow_archived": "The workflow was archived.",
    "failed_permanent": "A step failed permanently.",
}
# Wait reasons whose sentence depends on neither an effect nor a time; `waits_for` writes the others.
WAITS = {
    "timer": "Waiting until {until}: “{title}”.",
    "window": "Waiting until {until}, when the sending window for “{title}” opens.",
    "event": "Waiting for “{title}” until {until} at the latest.",
    "condition": "Waiting for “{title}” until {until} at the latest.",
    "approval": "Waiting for an answer to “{title}” until {until} at the latest.",
    "drip_slot": "Waiting for its turn at {until}: “{title}”.",
    "breaker_open": "“{title}” is stopped because it failed for too many contacts. It resumes automatically "
    "when the step works again. Next try: {until}.",
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
    "segment.entered": "The contact entered a segment",
    "segment.left": "The contact left a segment",
    "webhook.received": "A webhook was received",
    "email.delivered": "An email was delivered",
    "email.bounced": "An email bounced",
    "date.reached": "A date was reached",
    "schedule.fired": "A schedule ran",
    "enrollment.ended": "Another workflow ended",
    "enrollment.requested": "The contact was added manually",
}
SOURCES = {
    "user": "by a member",
    "api": "by an API call",
    "bulk": "by a bulk edit",
    "import": "by an import",
    "workflow": "by a workflow",
    "system": "by the system",
}


def visit_note(
    step: str,
    detail: Mapping[str, Json],
    names: Mapping[str, str],
    labels: Mapping[str, str],
    now: datetime,
    zone: str,
) -> str:
    """The detail of a visit of `step` as a sentence. `names` has the titles of steps and lanes; `labels` has
    tags, workflows and members by id and fields by key."""
    parts = [*_ways(step, detail, names), *_things(detail, labels)]
    if until := detail.get("until"):
        window = "sending window opens at " if detail.get("window") else "until "
        parts.append(window + moment_label(datetime.fromisoformat(str(until)), now, zone))
    elif detail.get("window"):
        parts.append("sending window opened")
    if detail.get("again") and not detail.get("window"):
        parts.append("recalculated")
    if detail.get("past"):
        parts.append("that time had already passed")
    if detail.get("timeout"):
        parts.append("timed out")
    if reason := detail.get("reason"):
        parts.append(str(reason).replace("_", " "))
    if by := detail.get("skipped_by") or detail.get("resolved_by") or detail.get("by"):
        parts.append(f"by {by}")
    return ", ".join(parts)


def _ways(step: str, detail: Mapping[str, Json], names: Mapping[str, str]) -> list[str]:
    parts = []
    if branch := detail.get("branch"):
        parts.append(f"took “{names.get(f'{step}.{branch}', branch)}”")
    if goal := detail.get("goal"):
        parts.append(f"because of “{names.get(str(goal), goal)}”")
    if (to := str(detail.get("to"))) in names:
        parts.append(f"continued at “{names[to]}”")
    return parts


def _things(detail: Mapping[str, Json], labels: Mapping[str, str]) -> list[str]:
    """What the step was about: a tag, a field, a text, another workflow or a member."""
    parts = []
    if tag := detail.get("tag"):
        parts.append(labels.get(str(tag), "a deleted tag"))
    if "field" in detail:
        label = labels.get(str(detail["field"]), "a deleted field")
        old, new = (labels.get(str(detail.get(name)), detail.get(name)) for name in ("old", "new"))
        parts.append(f"{label}: {_value(old)} → {_value(new)}")
    if "workflow" in detail:
        named = labels.get(str(detail["workflow"]), "a deleted workflow")
        parts.append(named if detail["workflow"] else "all other workflows")
    parts += [first_line(str(detail[name])) for name in ("note", "title", "question") if detail.get(name)]
    if detail.get("changed") is False:
        parts.append("changed nothing")
    return parts


def _value(value: object) -> str:
    return "empty" if value in (None, "") else str(value)


def moment_label(at: datetime, now: datetime, zone: str) -> str:
    """A moment in the account's zone: 14:03 on the same day, otherwise with the day."""
    local, today = at.astimezone(ZoneInfo(zone)), now.astimezone(ZoneInfo(zone))
    if local.date() == today.date():
        return f"{local:%H:%M}"
    return f"{local.day} {local:%b} {local:%H:%M}" if local.year == today.year else f"{local:%Y-%m-%d %H:%M}"


def _moment(at: datetime | None, now: datetime, zone: str) -> str:
    return moment_label(at, now, zone) if at else ""


def reason_of(row: ListedEnrollment) -> str | None:
    """The wait reason of an active enrollment. Where several hold, the one that has to end first."""
    if row.status != "active":
        return None
    if row.paused_at is not None:
        return "paused_enrollment"
    if row.held:
        return "paused_workflow"
    return "timer" if _settles(row) else row.wait_reason


def _settles(row: ListedEnrollment) -> bool:
    """Whether the enrollment waits for the settle time before its first step."""
    return row.wait_reason is None and row.step_key is None and row.wait_until is not None


def waits_for(row: ListedEnrollment, title: str, now: datetime, zone: str) -> str:
    """One sentence: what an enrollment waits for, or how it ended."""
    reason = reason_of(row)
    until = _moment(row.wait_until, now, zone)
    if row.status != "active":
        sentence = (
            f"{ENDS.get(row.exit_reason or '', row.status.capitalize() + '.')} {row.error or ''}".strip()
        )
    elif reason == "paused_enrollment":
        sentence = f"Paused since {_moment(row.paused_at, now, zone)}: it stays here until you resume it."
    elif reason == "paused_workflow":
        sentence = f"On hold: no enrollment in “{row.workflow_name}” moves until the workflow is released."
    elif _settles(row):
        later = row.due_at is not None and row.due_at > now
        sentence = f"Starts at {until} if the contact still matches." if later else "About to start."
    elif reason in ("effect", "retry", "hold"):
        sentence = _effect(row, now, zone)
    elif reason == "condition" and title.startswith("Goal: "):
        sentence = f"Waiting until {until} for the goal “{title.removeprefix('Goal: ')}”."
    elif reason is not None:
        short = title.removeprefix("Wait ").removeprefix("for: ").removeprefix("Ask: ")
        sentence = WAITS.get(reason, "Waiting.").format(until=until, title=short)
    else:
        sentence = f"About to continue with “{title}”." if title else "About to start."
    return sentence


def _effect(row: ListedEnrollment, now: datetime, zone: str) -> str:
    thing = THING.get(row.effect_kind or "", "effect")
    if row.effect_status == "unknown":
        return f"In doubt: the {thing} may have been sent. Mark it as sent, or send it again."
    if row.effect_status == "retry":
        attempt, when = (row.effect_attempts or 0) + 1, _moment(row.effect_due_at, now, zone)
        return f"Waiting to send the {thing} (attempt {attempt} at {when}): {row.effect_error}"
    if row.effect_status == "pending" and row.effect_due_at is not None and row.effect_due_at > now:
        return f"Waiting until {_moment(row.effect_due_at, now, zone)} to send the {thing}."
    return f"Waiting to send the {thing}."


def why(decision: StoredDecision | None) -> str:
    """Why the contact entered, from the stored decision."""
    if decision is None:
        return "The decision is no longer stored."
    what = EVENTS.get(decision.kind or "", decision.kind or "An event happened")
    return f"{what} {SOURCES.get(decision.source or '', '')}".strip() + "."
