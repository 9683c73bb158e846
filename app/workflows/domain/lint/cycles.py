"""Finds cycles without a way out: an enrollment that reached such a go-to would execute the same steps
thousands of times, until the guard on the number of visits stops it.

Only certain cycles are refused. A cycle with a wait in it is a reminder, and an enrollment may leave one with
lanes when the contact changes; the guard stops those that never end."""

from collections.abc import Iterator

from app.engine.core.draft import Draft, walk
from app.engine.core.steps import GoTo, Step, kind_of, lane_keys


def find_cycles(draft: Draft) -> Iterator[str]:
    """The keys of the go-tos from which the only path leads back to them."""
    steps = {step.key: step for _, _, step in walk(draft.steps)}
    following = dict(_following(draft.steps, None))
    for key, step in steps.items():
        if isinstance(step.config, GoTo) and step.config.step != key and _returns(key, steps, following):
            yield key


def _following(steps: list[Step], after: str | None) -> Iterator[tuple[str, str | None]]:
    """Each step with the step where its list continues; a lane continues after the step it belongs to."""
    for place, step in enumerate(steps):
        then = steps[place + 1].key if place + 1 < len(steps) else after
        yield step.key, then
        for lane in step.lanes.values():
            yield from _following(lane, then)


def _returns(start: str, steps: dict[str, Step], following: dict[str, str | None]) -> bool:
    visited: set[str] = set()
    key: str | None = start
    while key is not None and key in steps and key not in visited:
        visited.add(key)
        config = steps[key].config
        if kind_of(config).interrupts or lane_keys(config):
            return False
        key = config.step if isinstance(config, GoTo) else following[key]
    return key == start
