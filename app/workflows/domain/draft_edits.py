"""Edits of a draft. Each returns a new draft and leaves the old one unchanged, so a rejected edit has no
effect. Raises DraftError for an edit that is not possible."""

from typing import Literal

from msgspec.structs import replace

from app.engine.core.draft import Draft, DraftError, WorkflowSettings, find_trigger, lists, locate, walk
from app.engine.core.steps import MAIN, Step, StepConfig, kind_of, lane_keys
from app.engine.core.triggers import Trigger
from app.filters.ast import Filter

MOST_STEPS = 500
DEEPEST_LANES = 20
MOST_TRIGGERS = 20


def _copy(draft: Draft) -> Draft:
    return replace(draft, triggers=list(draft.triggers), steps=_copy_steps(draft.steps))


def _copy_steps(steps: list[Step]) -> list[Step]:
    return [
        replace(step, lanes={key: _copy_steps(lane) for key, lane in step.lanes.items()}) for step in steps
    ]


def _list(draft: Draft, list_id: str) -> list[Step]:
    steps = lists(draft).get(list_id)
    if steps is None:
        raise DraftError(f"This draft has no list {list_id[:40]}.", missing=True)
    return steps


def _with_lanes(step: Step) -> Step:
    return replace(step, lanes={lane: step.lanes.get(lane, []) for lane in lane_keys(step.config)})


def insert(
    draft: Draft, list_id: str, position: int, config: StepConfig, name: str = "", note: str = ""
) -> Draft:
    """The draft with a new step before `position` of the list (a position past the end means the end). Its
    key is `s<draft.next_key>`."""
    if sum(1 for _ in walk(draft.steps)) >= MOST_STEPS:
        raise DraftError(f"A workflow can have at most {MOST_STEPS} steps.")
    if _depth(draft, list_id) >= DEEPEST_LANES and lane_keys(config):
        raise DraftError(f"Branches can be nested at most {DEEPEST_LANES} levels deep.")
    changed = _copy(draft)
    step = _with_lanes(Step(f"s{draft.next_key}", config, name, note))
    _list(changed, list_id).insert(max(position, 0), step)
    return replace(changed, next_key=draft.next_key + 1)


def _depth(draft: Draft, list_id: str) -> int:
    """How many steps with lanes enclose a list."""
    depth = 0
    while list_id != MAIN:
        owner = list_id.partition(".")[0]
        list_id, _, _ = locate(draft, owner)
        depth += 1
    return depth


def update(
    draft: Draft, key: str, config: StepConfig, *, name: str | None = None, note: str | None = None
) -> Draft:
    """The draft with a new config of the same kind for the step. A step with lanes may gain, reorder and
    rename them, and lose empty ones; a lane with steps in it must be emptied first."""
    changed = _copy(draft)
    list_id, position, step = locate(changed, key)
    if kind_of(config).key != step.kind:
        raise DraftError("A step can't change its type. Insert a new step and delete this one.")
    keys = lane_keys(config)
    if len(set(keys)) != len(keys):
        raise DraftError("Two lanes of a branch have the same key.")
    for lane, inside in step.lanes.items():
        if inside and lane not in keys:
            raise DraftError("A lane you removed still has steps. Move or delete them first.")
    edited = replace(
        step,
        config=config,
        name=step.name if name is None else name,
        note=step.note if note is None else note,
    )
    _list(changed, list_id)[position] = _with_lanes(edited)
    return changed


def move(draft: Draft, key: str, list_id: str, position: int) -> Draft:
    """The draft with the step, and all steps inside it, before `position` of a list. Refused into a list of
    its own lanes."""
    changed = _copy(draft)
    from_list, from_position, step = locate(changed, key)
    target = _list(changed, list_id)
    if any(list_id.partition(".")[0] == inside.key for _, _, inside in walk([step])):
        raise DraftError("A branch cannot be moved into one of its own lanes.")
    if _depth(draft, list_id) + _height(step) > DEEPEST_LANES:
        raise DraftError(f"Branches can be nested at most {DEEPEST_LANES} levels deep.")
    if from_list == list_id and from_position < position:
        position -= 1
    del _list(changed, from_list)[from_position]
    target.insert(max(position, 0), step)
    return changed


def _height(step: Step) -> int:
    inner = [_height(child) for lane in step.lanes.values() for child in lane]
    return max(inner, default=0) + (1 if lane_keys(step.config) else 0)


def nudge(draft: Draft, key: str, direction: Literal["up", "down"]) -> Draft:
    """The draft with the step one place up or down within its list; unchanged at the edge."""
    list_id, position, _ = locate(draft, key)
    if direction == "up":
        return move(draft, key, list_id, max(position - 1, 0))
    return move(draft, key, list_id, min(position + 2, len(_list(draft, list_id))))


def delete(draft: Draft, key: str) -> Draft:
    """The draft without the step and everything in its lanes."""
    changed = _copy(draft)
    list_id, position, _ = locate(changed, key)
    del _list(changed, list_id)[position]
    return changed


def add_trigger(draft: Draft, trigger: Trigger) -> Draft:
    """The draft with one more trigger; its key is `t<draft.next_key>`."""
    if len(draft.triggers) >= MOST_TRIGGERS:
        raise DraftError(f"A workflow can have at most {MOST_TRIGGERS} triggers.")
    keyed = replace(trigger, key=f"t{draft.next_key}")
    return replace(_copy(draft), triggers=[*draft.triggers, keyed], next_key=draft.next_key + 1)


def update_trigger(draft: Draft, key: str, trigger: Trigger) -> Draft:
    """The draft with the trigger replaced, also by one of another kind; it keeps its key and place."""
    find_trigger(draft, key)
    keyed = replace(trigger, key=key)
    return replace(_copy(draft), triggers=[keyed if old.key == key else old for old in draft.triggers])


def delete_trigger(draft: Draft, key: str) -> Draft:
    """The draft without the trigger."""
    find_trigger(draft, key)
    return replace(_copy(draft), triggers=[old for old in draft.triggers if old.key != key])


def set_entry(draft: Draft, entry: Filter | None) -> Draft:
    """The draft with this entry condition; None admits every contact that a trigger admits."""
    return replace(_copy(draft), entry=entry)


def set_settings(draft: Draft, settings: WorkflowSettings) -> Draft:
    """The draft with these settings."""
    return replace(_copy(draft), settings=settings)
