"""Circuit breakers of steps that send, one per step and error class. The rules are in
`core.circuit_breaker`; this module applies them to the stored effects.

 * `apply_breakers` runs before each claim: it delays due effects behind open breakers, claims probes, and
   releases delayed effects when a breaker has closed.
 * `record_outcome` runs with each outcome and opens or closes breakers.

A permanent refusal counts against one contact as long as other contacts succeed. Once it has opened the
breaker of its step, effects that get it wait behind the breaker, and enrollments that failed for it before
are retried."""

import random
from collections.abc import Mapping
from datetime import timedelta
from itertools import groupby
from uuid import UUID

import msgspec
import structlog

from app.engine.core.circuit_breaker import BreakerState, State, after_attempt, probing
from app.engine.effects.backoff import MAX_ATTEMPTS
from app.ports import ADDRESS_ERROR, MESSAGE_ERROR, CallOutcome, Refused, Sent
from app.work import Work
from db.queries.circuit_breakers import (
    StepPlace,
    claim_probe,
    create_breaker,
    delay_due_effects,
    delete_breaker,
    has_unsent_effects,
    lock_active_breakers,
    lock_step_breakers,
    release_delayed_effects,
    retry_given_up,
    update_breaker,
)
from db.queries.effect_claims import ClaimedEffect

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


async def apply_breakers(work: Work, lease: float) -> tuple[int, list[ClaimedEffect]]:
    """Delays due effects behind open breakers, releases those whose breaker has closed, and claims due
    probes. Call it before claiming. Returns how many effects were delayed, released or retried,
    and the probes."""
    stored = await lock_active_breakers(work.session)
    moved, probes = 0, list[ClaimedEffect]()
    for step, group in groupby(stored, key=lambda row: StepPlace(row.workflow_id, row.step_key)):
        breakers = {row.error_class: row.breaker for row in group}
        stopped = {
            error_class: breaker
            for error_class, breaker in breakers.items()
            if breaker.state is not State.CLOSED
        }
        moved += await _retry_given_up(work, step, stopped)
        tried = {error_class: probing(breaker, work.now) for error_class, breaker in stopped.items()}
        if not stopped:
            moved += await _release(work, step, breakers)
        elif all(probe is not None for probe in tried.values()):
            probes += await _probe(work, step, tried, lease)
        elif all(breaker.state is State.OPEN for breaker in stopped.values()):
            until = max(breaker.until for breaker in stopped.values() if breaker.until is not None)
            moved += await delay_due_effects(work.session, step, work.now, until, BATCH)
    return moved, probes


async def _retry_given_up(work: Work, step: StepPlace, stopped: Mapping[str, BreakerState]) -> int:
    """Retries the enrollments that failed before the breaker opened for the same error: they begin the step
    again, behind the breaker, as if a member had retried them. Each once per error class; returns how
    many."""
    count = 0
    for error_class, breaker in stopped.items():
        if not breaker.affected:
            continue
        contact_ids = [UUID(contact_id) for contact_id in breaker.affected]
        retried = await retry_given_up(work.session, step, error_class, contact_ids, MAX_ATTEMPTS, work.now)
        for enrollment in retried:
            work.audit("enrollment.retried", "enrollment", enrollment.id, {"error": (enrollment.error, None)})
        if retried:
            log.warning(
                "circuit_breaker.enrollments_retried",
                step=step.step_key,
                error_class=error_class,
                count=len(retried),
            )
        count += len(retried)
    return count


async def _probe(
    work: Work, step: StepPlace, tried: Mapping[str, BreakerState | None], lease: float
) -> list[ClaimedEffect]:
    """Claims one effect as the probe. If the step has no unsent effects left, its breakers are deleted."""
    claimed = await claim_probe(work.session, step, lease)
    nothing_left = claimed is None and not await has_unsent_effects(work.session, step)
    for error_class, breaker in tried.items():
        if nothing_left:
            await delete_breaker(work.session, step, error_class)
        elif claimed is not None and breaker is not None:
            await _write_breaker(work, step, error_class, breaker)
    return [] if claimed is None else [claimed]


async def _release(work: Work, step: StepPlace, breakers: Mapping[str, BreakerState]) -> int:
    base = max([work.now, *(breaker.until for breaker in breakers.values() if breaker.until is not None)])
    count = await release_delayed_effects(work.session, step, base, 1 / RELEASED_PER_SECOND, BATCH)
    until = base + timedelta(seconds=count / RELEASED_PER_SECOND) if count == BATCH else None
    for error_class, breaker in breakers.items():
        await _write_breaker(work, step, error_class, msgspec.structs.replace(breaker, until=until))
    return count


async def record_outcome(work: Work, effect: ClaimedEffect, outcome: CallOutcome) -> bool:
    """Updates the breakers of the effect's step, in the transaction that writes the outcome. An inconclusive
    outcome changes nothing. Returns whether the step is now stopped for this outcome's error class."""
    if _is_inconclusive(outcome):
        return False
    step = StepPlace(effect.workflow_id, effect.step_key)
    error_class, stopped = counted_error_class(outcome), False
    final = is_general_refusal(outcome)
    if error_class is not None:
        await create_breaker(work.session, step, error_class)
    for row in await lock_step_breakers(work.session, step):
        before = row.breaker
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
            await _write_breaker(work, step, row.error_class, after)
    return stopped


async def _write_breaker(work: Work, step: StepPlace, error_class: str, breaker: BreakerState) -> None:
    if breaker.idle:
        await delete_breaker(work.session, step, error_class)
    else:
        await update_breaker(work.session, step, error_class, breaker, work.now)
