"""The publication plan: the differences as sentences, and the enrollments at each step."""

from collections.abc import Iterable, Mapping
from zoneinfo import ZoneInfo

import msgspec

from app.engine.core.draft import Audience, Draft, WorkflowSettings, walk
from app.engine.core.events import SOURCE_LABELS
from app.engine.core.steps import Chat, SendSms, Step, StepConfig, Window
from app.engine.core.triggers import Manual, Trigger
from app.engine.core.triggers.base import StartedBy
from app.engine.core.version import Version
from app.engine.core.version_migration import STARTS_AGAIN, rerenders_effect, wait_after_move
from app.work import Work
from app.workflows.schemas.publication import (
    EXIT,
    FINISH,
    START,
    EnrollmentGroup,
    MoveOption,
    PlanLine,
    TriggerView,
)
from app.workflows.use_cases.input_reader import BuilderNames
from app.workflows.use_cases.read import LoadedWorkflow, entry_sentence, live_steps
from app.workflows.use_cases.settings_labels import SETTINGS, setting_label
from app.workflows.use_cases.step_labels import lookup_for, step_sentence
from db.queries.version_migration import EnrollmentsAtStep, count_enrollments_by_step

Configs = Mapping[str, StepConfig]

CLOSED = "It no longer starts the workflow: only contacts that match now enter."
PAUSED = (
    "The workflow is paused and stays paused after publishing. To accept new contacts, choose “Resume new "
    "entries” in its settings."
)
REFUSED = " Contacts that match now would be rejected and not checked again, so resume new entries first."


def warnings_of(work: Work, opened: LoadedWorkflow) -> list[str]:
    """Warnings about a pause, which publishing does not change, and about steps that could send nothing
    because no provider is configured."""
    ways = {SendSms: ("SMS", "sms_url"), Chat: ("chat messages", "chat_url")}
    kinds = {type(step.config) for _, _, step in walk(opened.draft.steps)}
    future = opened.draft.settings.audience is Audience.FUTURE_ONLY
    paused = [PAUSED if future else PAUSED + REFUSED] if opened.view.status == "paused" else []
    return paused + [
        f"No provider for {what} is set up. Until {name.upper()} is set, these steps fail for every contact."
        for kind, (what, name) in ways.items()
        if kind in kinds and not getattr(work.runtime.settings, name)
    ]


def plan_of(opened: LoadedWorkflow) -> list[PlanLine]:
    """What publishing changes against the live version; everything is added when none is live."""
    old = live_steps(opened) or {}
    new = {step.key: step for _, _, step in walk(opened.draft.steps)}
    before_places = _places(opened.live.steps) if opened.live is not None else {}
    places = _places(opened.draft.steps)
    live_lookup = lookup_for(opened.live.steps if opened.live else (), opened.lookup)
    lines = []
    for key, step in new.items():
        title, after = step_sentence(step, opened.lookup)
        if key not in old:
            lines.append(PlanLine("added", key, title, "", after))
        elif (old[key].config, old[key].name) != (step.config, step.name):
            lines.append(PlanLine("changed", key, title, *_differ(old[key], step, opened, live_lookup)))
        elif before_places.get(key) != places[key]:
            lines.append(PlanLine("moved", key, title))
    for key, step in old.items():
        if key not in new:
            title, before = step_sentence(step, live_lookup)
            lines.append(PlanLine("removed", key, title, before))
    return lines + (_around(opened) if opened.live is not None else [])


def _differ(old: Step, new: Step, opened: LoadedWorkflow, live_lookup: BuilderNames) -> tuple[str, str]:
    """The step before and after: its title if that changed, else the settings that did."""
    before, after = step_sentence(old, live_lookup), step_sentence(new, opened.lookup)
    if before != after:
        parts = zip(before, after, strict=True)
        first, second = next(pair for pair in parts if pair[0] != pair[1])
        return first, second
    was, becomes = msgspec.to_builtins(old.config), msgspec.to_builtins(new.config)
    names = [name for name in becomes if was.get(name) != becomes[name]]
    return _listed(opened.shown(old.config), names), _listed(opened.shown(new.config), names)


def _listed(config: StepConfig, names: Iterable[str]) -> str:
    values = msgspec.to_builtins(config)
    return ", ".join(f"{name.replace('_', ' ')}: {_short(values.get(name))}" for name in names)


def _short(value: object) -> str:
    text = "none" if value in (None, "", [], {}) else str(value)
    return text if len(text) <= 80 else text[:79] + "…"


def _around(opened: LoadedWorkflow) -> list[PlanLine]:
    """Differences of triggers, entry condition and settings."""
    live, draft = opened.live, opened.draft
    assert live is not None  # noqa: S101 -- the caller looked
    lines = _triggers(live.triggers, draft.triggers, opened.lookup)
    if live.entry != draft.entry:
        lines.append(
            PlanLine(
                "changed", "", "Entry condition", entry_sentence(live.entry, opened.lookup) or "All contacts",
                entry_sentence(draft.entry, opened.lookup) or "All contacts",
            )
        )  # fmt: skip
    return lines + _settings(live.settings, draft.settings)


def _triggers(old: Iterable[Trigger], new: Iterable[Trigger], lookup: BuilderNames) -> list[PlanLine]:
    before, after = {trigger.key: trigger for trigger in old}, {trigger.key: trigger for trigger in new}
    fields, names = lookup.fields, lookup.names
    lines = []
    for key, trigger in after.items():
        title, summary = trigger.title(fields, names), trigger.summary(fields, names)
        if key not in before:
            lines.append(PlanLine("added", key, title, "", summary))
        elif before[key] != trigger:
            was = f"{before[key].title(fields, names)} · {before[key].summary(fields, names)}"
            lines.append(PlanLine("changed", key, title, was, f"{title} · {summary}"))
    for key, trigger in before.items():
        if key not in after:
            summary = trigger.summary(fields, names)
            lines.append(PlanLine("removed", key, trigger.title(fields, names), summary))
    return lines


def trigger_views(draft: Draft, lookup: BuilderNames) -> list[TriggerView]:
    """Every trigger with what starts it."""
    closed = draft.settings.audience is Audience.CURRENT_ONLY
    return [_trigger_view(trigger, lookup, closed) for trigger in draft.triggers]


def _trigger_view(trigger: Trigger, lookup: BuilderNames, closed: bool) -> TriggerView:
    started_by = trigger.started_by()
    if closed and not isinstance(trigger, Manual):
        labels = [SOURCE_LABELS[source] for source in trigger.sources]
        started_by = StartedBy(labels, False, False, CLOSED)
    return TriggerView(
        trigger.key, trigger.title(lookup.fields, lookup.names),
        trigger.filter_sentence(lookup.fields, lookup.names),
        started_by.sources, started_by.imports, started_by.bulk_edits, started_by.sentence,
    )  # fmt: skip


def _settings(old: WorkflowSettings, new: WorkflowSettings) -> list[PlanLine]:
    return [
        PlanLine("changed", "", label, _setting(getattr(old, name)), _setting(getattr(new, name)))
        for name, label in SETTINGS.items()
        if getattr(old, name) != getattr(new, name)
    ]


def _setting(value: object) -> str:
    if isinstance(value, Window):
        return f"{value.start} to {value.end}"
    if label := setting_label(value):
        return label
    return "none" if value in (None, "", 0) else str(value).replace("_", " ").lower()


def _places(steps: list[Step]) -> dict[str, tuple[str, str]]:
    """Each step's list and the step before it, which shows a move, and not an insert further up."""
    places: dict[str, tuple[str, str]] = {}
    last: dict[str, str] = {}
    for list_id, _, step in walk(steps):
        places[step.key] = (list_id, last.get(list_id, ""))
        last[list_id] = step.key
    return places


async def groups_of(work: Work, opened: LoadedWorkflow) -> list[EnrollmentGroup]:
    """The enrollments at each step, in every version in use, and the choices for them."""
    rows = await count_enrollments_by_step(work.session, opened.view.id)
    new = {step.key: step for _, _, step in walk(opened.draft.steps)}
    titles = {key: step_sentence(step, opened.lookup).title for key, step in new.items()}
    zone = ZoneInfo((await work.accounts.own()).time_zone)
    number = target_number(opened)
    versions: dict[int, Version | None] = {}
    places = []
    for row in rows:
        if row.version == number:
            continue  # they are on it
        if row.version not in versions:
            versions[row.version] = await work.versions.load(opened.view.id, row.version)
        old = versions[row.version]
        steps = {step.key: step for _, _, step in walk(old.steps)} if old else {}
        step = steps.get(row.step_key or "")
        lookup = lookup_for(old.steps if old else (), opened.lookup)
        title = step_sentence(step, lookup).title if step else "Before the first step"
        group = _group(row, title, step, new.get(row.step_key or ""), titles, zone)
        if rerenders_effect(old, opened.draft, group.step):
            group.renewed, group.unchanged = row.untried, row.tried
        places.append(group)
    return places


def target_number(opened: LoadedWorkflow) -> int:
    """The number that the published version will have: that of the live one when nothing has changed."""
    view = opened.view
    return view.next_version if view.changed or view.live_version is None else view.live_version


def _group(
    row: EnrollmentsAtStep,
    title: str,
    old: Step | None,
    new: Step | None,
    titles: Mapping[str, str],
    zone: ZoneInfo,
) -> EnrollmentGroup:
    configs = old.config if old else None, new.config if new else None
    first = last = STARTS_AGAIN
    if row.reasons == 1:
        first = wait_after_move(*configs, row.reason, row.due_first, row.began_first, zone)
        last = wait_after_move(*configs, row.reason, row.due_last, row.began_last, zone)
    moved = first.goes_on and last.goes_on
    return EnrollmentGroup(
        version=row.version,
        step=row.step_key or "",
        title=title,
        enrollments=row.enrollments,
        under_way=row.under_way,
        renewed=0,
        unchanged=0,
        reason=row.reason if row.reasons == 1 else None,
        due_first=row.due_first,
        due_last=row.due_last,
        wait_unchanged=moved and (first.until, last.until) == (row.due_first, row.due_last),
        new_first=first.until if moved else None,
        new_last=last.until if moved else None,
        default=FINISH,
        options=_options(row, new, titles),
    )


def _options(row: EnrollmentsAtStep, new: Step | None, titles: Mapping[str, str]) -> list[MoveOption]:
    """The choices: stay, move (the same step first), exit."""
    places = [MoveOption(FINISH, f"Finish on version {row.version}")]
    if row.step_key is None:
        places.append(MoveOption(START, "Restart on the new version"))
    if new is not None:
        places.append(MoveOption(new.key, f"Move along: “{titles[new.key]}”"))
    places += [
        MoveOption(key, f"Move to “{title}”")
        for key, title in titles.items()
        if new is None or key != new.key
    ]
    return [*places, MoveOption(EXIT, "Leave the workflow")]
