"""A draft as rows of `workflow_actions`, `workflow_conditions` and `workflow_goals`, and back."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from app.engine.core.draft import Draft, WorkflowSettings, walk
from app.engine.core.steps import MAIN, Goal, Step, StepConfig, lane_keys
from app.engine.core.triggers import Trigger
from app.filters.ast import Filter
from app.json_types import JsonObject

ENTRY = "entry"


class ActionRow(msgspec.Struct, frozen=True):
    """One step; `config` is its JSON with `kind`, and `note` if it has one; a goal's is in its GoalRow."""

    key: str
    kind: str
    config: JsonObject
    name: str | None
    list_id: str
    position: int


class ConditionRow(msgspec.Struct, frozen=True):
    """A trigger (its JSON with `kind`), or the entry condition (key "entry", the filter's JSON)."""

    key: str
    role: Literal["trigger", "entry"]
    position: int
    config: JsonObject


class GoalRow(msgspec.Struct, frozen=True):
    """The goal of a goal step; `config` is the step's config without kind and name."""

    step_key: str
    name: str
    config: JsonObject


def rows_of(draft: Draft) -> tuple[list[ActionRow], list[ConditionRow], list[GoalRow]]:
    """The draft flattened; `settings` and `next_key` have columns of their own on the workflow."""
    actions, goals = [], []
    for list_id, position, step in walk(draft.steps):
        config: JsonObject = msgspec.to_builtins(step.config)
        if isinstance(step.config, Goal):
            own = {key: value for key, value in config.items() if key not in ("kind", "name")}
            goals.append(GoalRow(step.key, step.config.name, own))
            config = {"kind": config["kind"]}
        if step.note:
            config["note"] = step.note
        actions.append(ActionRow(step.key, step.kind, config, step.name or None, list_id, position))
    conditions = [
        ConditionRow(trigger.key, "trigger", position, msgspec.to_builtins(trigger))
        for position, trigger in enumerate(draft.triggers)
    ]
    if draft.entry is not None:
        conditions.append(ConditionRow(ENTRY, "entry", 0, msgspec.to_builtins(draft.entry)))
    return actions, conditions, goals


def draft_of(
    actions: Iterable[ActionRow],
    conditions: Iterable[ConditionRow],
    goals: Iterable[GoalRow],
    settings: JsonObject | None = None,
    next_key: int = 1,
) -> Draft:
    """The draft that these rows stand for; their order doesn't matter. Raises msgspec.ValidationError when a
    config does not fit its kind."""
    goal_of = {goal.step_key: goal for goal in goals}
    by_list: dict[str, list[ActionRow]] = {}
    for action in sorted(actions, key=lambda row: row.position):
        by_list.setdefault(action.list_id, []).append(action)
    triggers: list[Trigger] = []
    entry: Filter | None = None
    for condition in sorted(conditions, key=lambda row: row.position):
        if condition.role == "entry":
            entry = msgspec.convert(condition.config, Filter)
        else:
            triggers.append(msgspec.convert(condition.config, Trigger))
    steps = _steps(MAIN, by_list, goal_of)
    return Draft(triggers, entry, steps, msgspec.convert(settings or {}, WorkflowSettings), next_key)


def _steps(list_id: str, by_list: dict[str, list[ActionRow]], goals: dict[str, GoalRow]) -> list[Step]:
    steps = []
    for row in by_list.get(list_id, ()):
        config = dict(row.config) | {"kind": row.kind}
        note = str(config.pop("note", ""))
        if row.key in goals:
            config |= goals[row.key].config | {"name": goals[row.key].name}
        typed: StepConfig = msgspec.convert(config, StepConfig)
        lanes = {lane: _steps(f"{row.key}.{lane}", by_list, goals) for lane in lane_keys(typed)}
        steps.append(Step(row.key, typed, row.name or "", note, lanes))
    return steps
