"""The draft: a tree of steps with its triggers, and the operations that edit it. Each returns a new draft;
nothing here changes one in place, so a refused edit leaves no trace."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from app.engine.core.steps import MAIN, Branch, Step, StepConfig, Unit, Window, kind_of, lane_keys, lane_name
from app.engine.core.triggers import Trigger
from app.filters.ast import Filter

MOST_STEPS = 500
DEEPEST_LANES = 20
SECONDS = {Unit.SECONDS: 1, Unit.MINUTES: 60, Unit.HOURS: 3600, Unit.DAYS: 86_400}


class Reentry(StrEnum):
    """Whether somebody who was in the workflow may enter again; no trigger may bypass it. `restart` takes
    the live one out as superseded; `concurrent_per_key` lets the contact be in once for each entry key."""

    ONCE_EVER = "once_ever"
    AFTER_EXIT = "after_exit"
    CONCURRENT_PER_KEY = "concurrent_per_key"
    RESTART = "restart"


class Audience(StrEnum):
    """Whom publishing lets in: by events from now on, those who match now as well, or those alone."""

    FUTURE_ONLY = "future_only"
    CURRENT_AND_FUTURE = "current_and_future"
    CURRENT_ONLY = "current_only"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cooldown` counts from the end of the last enrollment; 0 is none. `key_field` is what tells entries
    apart under `concurrent_per_key`: a field's key, or a path into the event ("event.order_id").
    `settle_seconds` is how long somebody who was let in stands still before the first step: the entry
    condition is asked again then. `window` holds for every step that sends and has none of its own.
    `leave_when_unmatched` takes people out when the entry condition holds no longer. `entry_cap` is the most
    entries of the workflow in any 24 hours; 0 is none."""

    reentry: Reentry = Reentry.ONCE_EVER
    cooldown: Annotated[int, Meta(ge=0, le=100_000)] = 0
    cooldown_unit: Unit = Unit.DAYS
    key_field: Annotated[str, Meta(max_length=200)] = ""
    audience: Audience = Audience.FUTURE_ONLY
    settle_seconds: Annotated[int, Meta(ge=0, le=86_400)] = 0
    window: Window | None = None
    leave_when_unmatched: bool = False
    entry_cap: Annotated[int, Meta(ge=0, le=10_000_000)] = 0

    @property
    def cooldown_seconds(self) -> int:
        return self.cooldown * SECONDS[self.cooldown_unit]


class Draft(msgspec.Struct, forbid_unknown_fields=True):
    """`next_key` numbers the next step or trigger; keys are never used twice in the life of a workflow."""

    triggers: list[Trigger] = []
    entry: Filter | None = None
    steps: list[Step] = []
    settings: Settings = Settings()
    next_key: int = 1


class DraftError(Exception):
    """An edit that cannot be done, with a sentence for the person who tried it. `missing` tells a step,
    trigger or list that is not there (404) from one that must not be changed like this (422)."""

    def __init__(self, message: str, *, missing: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.missing = missing


def walk(steps: list[Step], list_id: str = MAIN) -> Iterator[tuple[str, int, Step]]:
    """Every step with its list id and position; a branch comes before its lanes, lanes in their order."""
    for position, step in enumerate(steps):
        yield list_id, position, step
        for lane in lane_keys(step.config):
            yield from walk(step.lanes.get(lane, []), f"{step.key}.{lane}")


def find(draft: Draft, key: str) -> Step:
    """The step with this key; DraftError (missing) when there is none."""
    return locate(draft, key)[2]


def locate(draft: Draft, key: str) -> tuple[str, int, Step]:
    """List id, position and step of a key; DraftError (missing) when there is none."""
    for found in walk(draft.steps):
        if found[2].key == key:
            return found
    raise DraftError(f"There is no step {key[:20]} in this draft.", missing=True)


def lists(draft: Draft) -> dict[str, list[Step]]:
    """Every list of the draft by its id: "main", then "<step>.<lane>" in the order of the tree."""
    found = {MAIN: draft.steps}
    for _, _, step in walk(draft.steps):
        found.update({f"{step.key}.{lane}": step.lanes.get(lane, []) for lane in lane_keys(step.config)})
    return found


def _copy(draft: Draft) -> Draft:
    return replace(draft, triggers=list(draft.triggers), steps=_copy_steps(draft.steps))


def _copy_steps(steps: list[Step]) -> list[Step]:
    return [
        replace(step, lanes={key: _copy_steps(lane) for key, lane in step.lanes.items()}) for step in steps
    ]


def _list(draft: Draft, list_id: str) -> list[Step]:
    found = lists(draft).get(list_id)
    if found is None:
        raise DraftError(f"There is no list {list_id[:40]} in this draft.", missing=True)
    return found


def _with_lanes(step: Step) -> Step:
    return replace(step, lanes={lane: step.lanes.get(lane, []) for lane in lane_keys(step.config)})


def insert(
    draft: Draft, list_id: str, position: int, config: StepConfig, name: str = "", note: str = ""
) -> Draft:
    """A new step before `position` of the list (positions past the end mean the end). Its key is
    `s<draft.next_key>`."""
    if sum(1 for _ in walk(draft.steps)) >= MOST_STEPS:
        raise DraftError(f"A workflow can have at most {MOST_STEPS} steps.")
    if _depth(draft, list_id) >= DEEPEST_LANES and lane_keys(config):
        raise DraftError(f"Branches can be nested {DEEPEST_LANES} deep at most.")
    changed = _copy(draft)
    step = _with_lanes(Step(f"s{draft.next_key}", config, name, note))
    _list(changed, list_id).insert(max(position, 0), step)
    return replace(changed, next_key=draft.next_key + 1)


def _depth(draft: Draft, list_id: str) -> int:
    """How many branches enclose a list."""
    depth = 0
    while list_id != MAIN:
        owner = list_id.partition(".")[0]
        list_id, _, _ = locate(draft, owner)
        depth += 1
    return depth


def update(
    draft: Draft, key: str, config: StepConfig, *, name: str | None = None, note: str | None = None
) -> Draft:
    """The step with a new config of the same kind. A branch may gain, reorder and rename lanes, and lose
    empty ones; a lane with steps in it must be emptied first."""
    changed = _copy(draft)
    list_id, position, step = locate(changed, key)
    if kind_of(config).key != step.kind:
        raise DraftError("A step keeps its kind. Insert a new step and delete this one.")
    wanted = lane_keys(config)
    if len(set(wanted)) != len(wanted):
        raise DraftError("Two lanes of a branch have the same key.")
    for lane, inside in step.lanes.items():
        if inside and lane not in wanted:
            raise DraftError("A lane that you took away still has steps. Move or delete them first.")
    edited = replace(
        step,
        config=config,
        name=step.name if name is None else name,
        note=step.note if note is None else note,
    )
    _list(changed, list_id)[position] = _with_lanes(edited)
    return changed


def move(draft: Draft, key: str, list_id: str, position: int) -> Draft:
    """The step, with all that is inside it, before `position` of a list as it stands now. Refused into a list
    of its own lanes."""
    changed = _copy(draft)
    from_list, from_position, step = locate(changed, key)
    target = _list(changed, list_id)
    if any(list_id.partition(".")[0] == inside.key for _, _, inside in walk([step])):
        raise DraftError("A branch cannot be moved into one of its own lanes.")
    if _depth(draft, list_id) + _height(step) > DEEPEST_LANES:
        raise DraftError(f"Branches can be nested {DEEPEST_LANES} deep at most.")
    if from_list == list_id and from_position < position:
        position -= 1
    del _list(changed, from_list)[from_position]
    target.insert(max(position, 0), step)
    return changed


def _height(step: Step) -> int:
    inner = [_height(child) for lane in step.lanes.values() for child in lane]
    return max(inner, default=0) + (1 if lane_keys(step.config) else 0)


def nudge(draft: Draft, key: str, direction: Literal["up", "down"]) -> Draft:
    """The step one place up or down within its list; at the edge nothing changes."""
    list_id, position, _ = locate(draft, key)
    if direction == "up":
        return move(draft, key, list_id, max(position - 1, 0))
    return move(draft, key, list_id, min(position + 2, len(_list(draft, list_id))))


def delete(draft: Draft, key: str) -> Draft:
    """Without the step and everything in its lanes."""
    changed = _copy(draft)
    list_id, position, _ = locate(changed, key)
    del _list(changed, list_id)[position]
    return changed


def add_trigger(draft: Draft, trigger: Trigger) -> Draft:
    """With one more trigger; its key is `t<draft.next_key>`."""
    if len(draft.triggers) >= 20:
        raise DraftError("A workflow can have at most 20 triggers.")
    named = replace(trigger, key=f"t{draft.next_key}")
    return replace(_copy(draft), triggers=[*draft.triggers, named], next_key=draft.next_key + 1)


def find_trigger(draft: Draft, key: str) -> Trigger:
    """The trigger with this key; DraftError (missing) when there is none."""
    for trigger in draft.triggers:
        if trigger.key == key:
            return trigger
    raise DraftError(f"There is no trigger {key[:20]} in this draft.", missing=True)


def update_trigger(draft: Draft, key: str, trigger: Trigger) -> Draft:
    """The trigger replaced, also by one of another kind; it keeps its key and place."""
    find_trigger(draft, key)
    named = replace(trigger, key=key)
    return replace(_copy(draft), triggers=[named if old.key == key else old for old in draft.triggers])


def delete_trigger(draft: Draft, key: str) -> Draft:
    """Without the trigger."""
    find_trigger(draft, key)
    return replace(_copy(draft), triggers=[old for old in draft.triggers if old.key != key])


def set_entry(draft: Draft, entry: Filter | None) -> Draft:
    """With this entry condition; None lets everybody in whom a trigger lets in."""
    return replace(_copy(draft), entry=entry)


def set_settings(draft: Draft, settings: Settings) -> Draft:
    """With these settings."""
    return replace(_copy(draft), settings=settings)


def new_lane_key(config: Branch) -> str:
    """A key for one more lane of this branch."""
    used = {int(lane.key[1:]) for lane in config.branches if lane.key[0] == "b" and lane.key[1:].isdigit()}
    return f"b{max(used, default=0) + 1}"


def lane_label(step: Step, lane: str) -> str:
    """What people call a lane of this step."""
    return lane_name(step.config, lane)
