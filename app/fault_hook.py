"""Named points around every commit of the engine, where a fault test can interfere.

The engine commits with `commit` and passes a few moments between commits with `hit`. Both call `on_point`,
which only the fault tests set (`tests/faults/injector.py`). Unset, a point costs one comparison.
"""

from collections.abc import Callable
from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncSession


class Boundary(StrEnum):
    """Every commit of the engine (`tests/rules/test_commits.py`). Points end in `.before` and `.after`."""

    WORK = "work.commit"
    MATCH = "match"
    MATCH_SKIPPED = "match.skipped"
    ADVANCE = "advance"
    ADVANCE_PARKED = "advance.parked"
    MARK_SET = "mark.set"
    MARK_REMOVED = "mark.removed"
    MARK_SPLIT = "mark.split"
    MARK_CLAIMED = "mark.claimed"
    EFFECT_CLAIMED = "effect.claimed"
    EFFECT_RELEASED = "effect.released"
    EFFECT_STARTED = "effect.started"
    EFFECT_FINISHED = "effect.finished"
    JOB_CLAIMED = "job.claimed"
    JOB_REQUEUED = "job.requeued"
    JOB_FINISHED = "job.finished"


class Moment(StrEnum):
    """Moments between commits that matter as well."""

    MATCH_CONTACT = "match.contact"  # before the decision whether a contact enters; context: its facts
    ADVANCE_CONTACT = "advance.contact"  # before the steps of a contact's enrollment; context: its facts
    EFFECT_CALLED = "effect.called"  # the receiver has the call, its outcome isn't stored yet
    EFFECT_IN_DOUBT = "effect.in_doubt"  # interrupted calls are marked as unknown, not committed yet
    JOB_BATCH = "job.batch"  # a handler wrote its batch, not committed yet


on_point: Callable[[str, object], None] | None = None  # called with a point and its context


async def commit(session: AsyncSession, boundary: Boundary) -> None:
    """Commit the session's transaction: the only way for the engine to do so."""
    if on_point is None:
        await session.commit()
        return
    on_point(f"{boundary}.before", None)
    await session.commit()
    on_point(f"{boundary}.after", None)


def hit(moment: Moment, context: object = None) -> None:
    """Report a moment to the fault tests, with its context."""
    if on_point is not None:
        on_point(moment, context)
