"""The draft: a tree of steps with its triggers, entry condition and settings, and how to find a step in it.
`app.workflows.domain.draft_edits` edits it."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from app.engine.core.steps import MAIN, Step, Unit, Window, lane_keys, lane_name
from app.engine.core.triggers import Trigger
from app.filters.ast import Filter

SECONDS = {Unit.SECONDS: 1, Unit.MINUTES: 60, Unit.HOURS: 3600, Unit.DAYS: 86_400}


class Reentry(StrEnum):
    """Whether a contact may be enrolled again; no trigger bypasses it. `restart` ends the active enrollment
    as superseded; `concurrent_per_key` allows one active enrollment per entry key."""

    ONCE_EVER = "once_ever"
    AFTER_EXIT = "after_exit"
    CONCURRENT_PER_KEY = "concurrent_per_key"
    RESTART = "restart"


class Audience(StrEnum):
    """Which contacts a published version enrolls: by events from now on, also those that match now, or only
    those."""

    FUTURE_ONLY = "future_only"
    CURRENT_AND_FUTURE = "current_and_future"
    CURRENT_ONLY = "current_only"


class WorkflowSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cooldown` counts from the end of the last enrollment; 0 is none. `key_field` tells entries apart under
    `concurrent_per_key`: a field's key, or a path into the event ("event.order_id"). `settle_seconds` is the
    delay before the first step; the entry condition is checked again after it. `window` is the sending window
    of every step that sends and has none of its own. `leave_when_unmatched` ends enrollments when the entry
    condition no longer holds. `entry_cap` is the most entries in any 24 hours; 0 is none."""

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
    settings: WorkflowSettings = WorkflowSettings()
    next_key: int = 1


class DraftError(Exception):
    """An edit that cannot be done, with a message for the member. `missing` means that a step, trigger or
    list does not exist (404), else it must not be changed like this (422)."""

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
    for place in walk(draft.steps):
        if place[2].key == key:
            return place
    raise DraftError("This step no longer exists. Reload the page.", missing=True)


def lists(draft: Draft) -> dict[str, list[Step]]:
    """Every list of the draft by its id: "main", then "<step>.<lane>" in the order of the tree."""
    lists_by_id = {MAIN: draft.steps}
    for _, _, step in walk(draft.steps):
        lists_by_id.update(
            {f"{step.key}.{lane}": step.lanes.get(lane, []) for lane in lane_keys(step.config)}
        )
    return lists_by_id


def find_trigger(draft: Draft, key: str) -> Trigger:
    """The trigger with this key; DraftError (missing) when there is none."""
    for trigger in draft.triggers:
        if trigger.key == key:
            return trigger
    raise DraftError(f"This draft has no trigger {key[:20]}.", missing=True)


def lane_label(step: Step, lane: str) -> str:
    """The display name of a lane of this step."""
    return lane_name(step.config, lane)
