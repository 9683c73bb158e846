"""Circles without a way out: whoever came to such a go-to would be told the same thing thousands of times,
and stopped only by the guard on the number of visits.

Only what is certain is refused. A circle with a wait in it is a reminder, and one with lanes may be left when
the contact changes; the guard is there for those."""

from collections.abc import Iterator

from app.engine.core.draft import Draft, walk
from app.engine.core.steps import DeleteContact, Drip, Exit, Goal, GoTo, Step, Wait, lane_keys

# Where somebody stands still, ends, or may go elsewhere.
_BREAKS = (Wait, Drip, Goal, Exit, DeleteContact)


def circles(draft: Draft) -> Iterator[str]:
    """The keys of the go-tos from which the only way leads back to them."""
    steps = {step.key: step for _, _, step in walk(draft.steps)}
    following = dict(_following(draft.steps, None))
    for key, step in steps.items():
        if isinstance(step.config, GoTo) and step.config.step != key and _returns(key, steps, following):
            yield key


def _following(steps: list[Step], after: str | None) -> Iterator[tuple[str, str | None]]:
    """Each step with the one where its list goes on; a lane goes on after the step it belongs to."""
    for place, step in enumerate(steps):
        then = steps[place + 1].key if place + 1 < len(steps) else after
        yield step.key, then
        for lane in step.lanes.values():
            yield from _following(lane, then)


def _returns(start: str, steps: dict[str, Step], following: dict[str, str | None]) -> bool:
    seen: set[str] = set()
    at: str | None = start
    while at is not None and at in steps and at not in seen:
        seen.add(at)
        config = steps[at].config
        if isinstance(config, _BREAKS) or lane_keys(config):
            return False
        at = config.step if isinstance(config, GoTo) else following[at]
    return at == start
