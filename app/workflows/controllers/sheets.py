"""Builds the panels beside the canvas."""

from collections import Counter

import msgspec

from app.engine.core.draft import lane_label, lists, locate, walk
from app.engine.core.events import EVENT_KINDS
from app.engine.core.merge_tags import Output, tag_names
from app.engine.core.steps import GROUPS, KINDS, MAIN, Step
from app.engine.core.triggers import GROUPS as TRIGGER_GROUPS
from app.engine.core.triggers import KINDS as TRIGGER_KINDS
from app.engine.core.triggers import Trigger
from app.filters.rows import rows_of
from app.workflows.controllers.form_values import (
    Values,
    all_operators,
    config_values,
    field_choices,
    filter_boxes,
)
from app.workflows.domain.lint import lint
from app.workflows.schemas.pages import Choice, ChoiceGroup, Count, Sheet
from app.workflows.use_cases.input_reader import BuilderNames
from app.workflows.use_cases.read import LoadedWorkflow, entry_sentence, trigger_cards
from app.workflows.use_cases.settings_labels import AUDIENCES, REENTRY
from app.workflows.use_cases.step_labels import step_sentence

# Types of fields that stand for sets of other things: they have no value to set or to watch.
RELATIONS = ("tags", "segments", "workflows", "history")


def picker(list_id: str, position: int) -> Sheet:
    """The kinds of steps, for one place of the flow."""
    groups = [
        ChoiceGroup(group, [Choice(kind.key, kind.label, kind.hint, kind.icon, kind.tone) for kind in kinds])
        for group, kinds in GROUPS.items()
    ]
    return Sheet("picker", "Insert a step", list_id=list_id, position=position, icon="plus", groups=groups)


def trigger_picker() -> Sheet:
    """The kinds of triggers."""
    groups = [
        ChoiceGroup(
            group,
            [
                Choice(str(kind.__struct_config__.tag), kind.label, kind.hint, kind.icon, "violet")
                for kind in TRIGGER_KINDS
                if kind.group == group
            ],
        )
        for group in TRIGGER_GROUPS
    ]
    return Sheet("triggers", "Add a trigger", icon="bolt", tone="violet", groups=groups)


def merge_tags(lookup: BuilderNames, kind: str) -> list[str]:
    """The merge tags that the templates of a step kind may use."""
    templates = KINDS[kind].templates(KINDS[kind].config()) if kind in KINDS else {}
    is_email = any(output is Output.EMAIL for _, output in templates.values())
    output = Output.EMAIL if is_email else Output.TEXT
    return [f"{{{{ {name} }}}}" for name, _ in tag_names(lookup.fields, output)]


def _filled(sheet: Sheet, opened: LoadedWorkflow, values: Values) -> Sheet:
    lookup = opened.lookup
    sheet.values = values
    sheet.fields = field_choices(lookup.fields, values)
    sheet.plain_fields = [(field.key, field.label) for field in sheet.fields if field.type not in RELATIONS]
    sheet.operators = all_operators()
    sheet.tags = list(lookup.tags.values())
    sheet.segments = list(lookup.names.segments.items())
    own = str(opened.view.id)
    sheet.workflows = [workflow for workflow in lookup.names.workflows.items() if workflow[0] != own]
    sheet.members = list(lookup.names.users.items())
    sheet.events = list(EVENT_KINDS.items())
    sheet.steps = [choice for choice in _step_choices(opened) if choice[0] != sheet.key]
    sheet.merge_tags = merge_tags(lookup, sheet.kind)
    sheet.filters = filter_boxes(sheet.step_kind or sheet.kind, values, lookup)
    return sheet


def _step_choices(opened: LoadedWorkflow) -> list[tuple[str, str]]:
    """Key and title of every step; titles that occur again are numbered."""
    choices, title_counts = [], Counter[str]()
    for _, _, step in walk(opened.draft.steps):
        title = step_sentence(step, opened.lookup).title
        title_counts[title] += 1
        number = title_counts[title]
        choices.append((step.key, title if number == 1 else f"{title} ({number})"))
    return choices


def step_sheet(opened: LoadedWorkflow, key: str, values: Values | None = None) -> Sheet:
    """The settings of a step; `values` are the typed ones. Raises DraftError when there is no such step."""
    list_id, position, step = locate(opened.draft, key)
    kind = KINDS[step.kind]
    sheet = Sheet(
        "step", step.name or kind.label, key, kind.key, kind.icon, kind.tone, list_id, position,
        count=opened.counts.get(key, Count()), places=places(opened, step),
        problems=[problem.message for problem in opened.problems if problem.key == key],
    )  # fmt: skip
    if values is not None:
        sheet.stored = " · ".join(step_sentence(step, opened.lookup))
    config = config_values(opened.shown(step.config), opened.lookup)
    stored: Values = {"name": step.name, "note": step.note, "config": config}
    return _filled(sheet, opened, stored if values is None else values)


def places(opened: LoadedWorkflow, moving: Step) -> list[tuple[str, str]]:
    """The places to which a step can move: "list:position" and label."""
    inside = {step.key for _, _, step in walk([moving])}
    owners = {step.key: step for _, _, step in walk(opened.draft.steps)}
    choices = []
    for list_id, steps in lists(opened.draft).items():
        owner, _, lane = list_id.partition(".")
        if owner in inside:
            continue
        where = "" if list_id == MAIN else f"{lane_label(owners[owner], lane)}: "
        for position, step in enumerate(steps):
            if step.key != moving.key:
                choices.append(
                    (f"{list_id}:{position}", f"{where}before {step_sentence(step, opened.lookup).title}")
                )
        choices.append((f"{list_id}:{len(steps)}", f"{where}at the end"))
    return choices


def trigger_sheet(opened: LoadedWorkflow, trigger: Trigger, values: Values | None = None) -> Sheet:
    """The settings of a trigger."""
    problems = lint(opened.draft, opened.lookup.fields, opened.lookup.names)
    sheet = Sheet(
        "trigger", trigger.label, trigger.key, trigger.kind, trigger.icon, "violet",
        problems=[problem.message for problem in problems if problem.key == trigger.key],
    )  # fmt: skip
    if values:
        card = trigger_cards([trigger], opened)[0]
        sheet.stored = f"{card.title} · {card.summary}"
    return _filled(sheet, opened, values or {"config": config_values(trigger, opened.lookup)})


def entry_sheet(opened: LoadedWorkflow, values: Values | None = None) -> Sheet:
    """The entry condition."""
    sheet = Sheet("entry", "Entry condition", icon="filter", tone="violet")
    if values:
        sheet.stored = entry_sentence(opened.draft.entry, opened.lookup) or "No entry condition"
    return _filled(sheet, opened, values or {"filter": rows_of(opened.draft.entry)})


def settings_sheet(opened: LoadedWorkflow, values: Values | None = None) -> Sheet:
    """Name, re-entry, pausing."""
    settings = opened.draft.settings
    stored: Values = msgspec.to_builtins(settings)
    fields = field_choices(opened.lookup.fields, stored)
    return Sheet(
        "settings", "Settings", values=stored | (values or {}), fields=fields,
        reentry=[(policy.value, *labels) for policy, labels in REENTRY.items()],
        audiences=[(audience.value, label) for audience, label in AUDIENCES.items()],
    )  # fmt: skip
