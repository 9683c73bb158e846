"""Circuit breakers of steps that send, one per step and error class. The rules are in
`core.circuit_breaker`; this module applies them to the stored effects.

 * `apply_breakers` runs before each claim: it delays due effects behind open breakers, claims probes, and
   releases delayed effects when a breaker has closed.
 * `record_outcome` runs with each outcome and opens or closes breakers.

A permanent refusal counts against one contact as long as other contacts succeed. Once it has opened the
breaker of its step, effects that get it wait behind the breaker, and enrollments that failed for it before
are retried."""

import random
from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

import msgspec
import structlog

from app.engine.core.circuit_breaker import BreakerState, State, SubjectOutcome, after_attempt, probing
from app.engine.effects.backoff import MAX_ATTEMPTS
from app.ports import ADDRESS_ERROR, MESSAGE_ERROR, CallOutcome, Refused, Sent
from app.work import Work
from db.queries import circuit_breakers as statements
from db.queries.batch_session import BatchSession

log = structlog.get_logger(__name__)
BATCH = 500
RELEASED_PER_SECOND = 50  # delayed effects
# About one contact only, or without a class: it says nothing about the next contact.
_UNCOUNTED_CLASSES = ("", ADDRESS_ERROR, MESSAGE_ERROR)


def counted_error_class(outcome: CallOutcome) -> str | None:
    """The error class that counts for breakers; None for a success or an error about one contact."""
    if isinstance(outcome, Sent) or outcome.error_class in _UNCOUNTED_CLASSES:
        return None
    return outcome.error_class


def is_general_refusal(outcome: CallOutcome) -> bool:
    """Whether it is a permanent refusal that may be about the step rather than about the contact."""
    return isinstance(outcome, Refused) and outcome.permanent and counted_error_class(outcome) is not None


def _is_inconclusive(outcome: CallOutcome) -> bool:
    """Whether no server answered: a probe that ends so shows nothing about the step."""
    if isinstance(outcome, Sent):
        return not outcome.answered
    return outcome.error_class == "" or (isinstance(outcome, Refused) and not outcome.answered)


async def apply_breakers(work: Work, lease: float) -> tuple[int, list[Any]]:
    """Delays due effects behind open breakers, releases those whose breaker has closed, and claims due
    probes. Call it before claiming. Returns how many effects were delayed, released or retried,
    and the probes."""
    db = BatchSession(work.session)
    rows = await db.all(statements.LOCK_ACTIVE_BREAKERS)
    moved, probes = 0, []
    for (workflow, step), group in groupby(rows, key=lambda row: (row.workflow_id, row.step_key)):
        breakers = [(row.error_class, _breaker(row)) for row in group]
        place = {"workflow": workflow, "step": step}
        stopped = [
            (error_class, breaker) for error_class, breaker in breakers if breaker.state is not State.CLOSED
        ]
        moved += await _retry_given_up(work, db, place, stopped)
        tried = [(error_class, probing(breaker, work.now)) for error_class, breaker in stopped]
        if not stopped:
            moved += await _release(work, db, place, breakers)
        elif all(probe is not None for _, probe in tried):
            probes += await _probe(work, db, place, tried, lease)
        elif all(breaker.state is State.OPEN for _, breaker in stopped):
            until = max(breaker.until for _, breaker in stopped if breaker.until is not None)
            delayed = await db.all(
                statements.DELAY_DUE_EFFECTS, **place, now=work.now, until=until, most=BATCH
            )
            moved += len(delayed)
    return moved, probes


async def _retry_given_up(
    work: Work, db: BatchSession, place: dict[str, Any], stopped: Sequence[tuple[str, BreakerState]]
) -> int:
    """Retries the enrollments that failed before the breaker opened for the same error: they begin the step
    again, behind the breaker, as if a member had retried them. Each once per error class; returns how
    many."""
    count = 0
    for error_class, breaker in stopped:
        if not breaker.affected:
            continue
        contacts = [UUID(contact_id) for contact_id in breaker.affected]
        rows = await db.all(
            statements.RETRY_GIVEN_UP,
            **place,
            error_class=error_class,
            contacts=contacts,
            attempts=MAX_ATTEMPTS,
            now=work.now,
        )
        for row in rows:
            work.audit("enrollment.retried", "enrollment", row.id, {"error": (row.error, None)})
        if rows:
            log.warning(
                "circuit_breaker.enrollments_retried",
                step=place["step"],
                error_class=error_class,
                count=len(rows),
            )
        count += len(rows)
    return count


async def _probe(
    work: Work,
    db: BatchSession,
    place: dict[str, Any],
    tried: Sequence[tuple[str, BreakerState | None]],
    lease: float,
) -> list[Any]:
    """Claims one effect as the probe. If the step has no unsent effects left, its breakers are deleted."""
    claimed = list(await db.all(statements.CLAIM_PROBE, **place, lease=lease))
    nothing_left = not claimed and not (await db.all(statements.HAS_UNSENT_EFFECTS, **place))[0].any
    for error_class, breaker in tried:
        if nothing_left:
            await db.do(statements.DELETE_BREAKER, **place, error_class=error_class)
        elif claimed and breaker is not None:
            await _write_breaker(work, db, place, error_class, breaker)
    return claimed


async def _release(
    work: Work, db: BatchSession, place: dict[str, Any], breakers: Sequence[tuple[str, BreakerState]]
) -> int:
    base = max([work.now, *(breaker.until for _, breaker in breakers if breaker.until is not None)])
    released = await db.all(
        statements.RELEASE_DELAYED_EFFECTS, **place, base=base, each=1 / RELEASED_PER_SECOND, most=BATCH
    )
    more = len(released) == BATCH
    until = base + timedelta(seconds=len(released) / RELEASED_PER_SECOND) if more else None
    for error_class, breaker in breakers:
        await _write_breaker(work, db, place, error_class, msgspec.structs.replace(breaker, until=until))
    return len(released)


async def record_outcome(work: Work, effect: Any, outcome: CallOutcome) -> bool:
    """Updates the breakers of the effect's step, in the transaction that writes the outcome. An inconclusive
    outcome changes nothing. Returns whether the step is now stopped for this outcome's error class."""
    if _is_inconclusive(outcome):
        return False
    db = BatchSession(work.session)
    place = {"workflow": effect.workflow_id, "step": effect.step_key}
    error_class, stopped = counted_error_class(outcome), False
    final = is_general_refusal(outcome)
    if error_class is not None:
        await db.do(statements.CREATE_BREAKER, **place, error_class=error_class)
    for row in await db.all(statements.LOCK_STEP_BREAKERS, **place):
        before = _breaker(row)
        if error_class is not None and error_class != row.error_class and before.state is State.CLOSED:
            continue  # it failed for another reason, which does not clear this one
        # A probe that fails for another reason has not shown that the step works again.
        failed = error_class is not None and (
            error_class == row.error_class or before.state is State.HALF_OPEN
        )
        chance = random.random()  # noqa: S311 -- spread, not a secret
        after = after_attempt(before, str(effect.contact_id), failed, work.now, chance, final=final)
        stopped = stopped or (error_class == row.error_class and after.state is not State.CLOSED)
        if after.state is not before.state:
            log.warning(
                "circuit_breaker.state_changed",
                state=after.state,
                step=effect.step_key,
                error_class=row.error_class,
            )
        if after != before:
            await _write_breaker(work, db, place, row.error_class, after)
    return stopped


def _breaker(row: Any) -> BreakerState:
    sample = msgspec.convert(row.sample, _Sample)
    return BreakerState(State(row.state), sample.recent, sample.opened, row.until, sample.affected)


class _Sample(msgspec.Struct):
    """The part of a breaker that only `core.circuit_breaker` reads."""

    recent: list[SubjectOutcome] = []
    opened: int = 0
    affected: list[str] = []


async def _write_breaker(
    work: Work, db: BatchSession, place: dict[str, Any], error_class: str, breaker: BreakerState
) -> None:
    if breaker.idle:
        await db.do(statements.DELETE_BREAKER, **place, error_class=error_class)
        return
    sample = {"recent": breaker.recent, "opened": breaker.opened, "affected": breaker.affected}
    await db.do(
        statements.UPDATE_BREAKER,
        **place,
        error_class=error_class,
        state=breaker.state.value,
        until=breaker.until,
        sample=msgspec.json.encode(sample).decode(),
        now=work.now,
    )
