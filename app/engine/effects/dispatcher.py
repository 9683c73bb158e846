"""Dispatches outbound effects. Entry point: `send_effects`, one batch of one account per call.

1. Effects whose worker died during the call become unknown (in doubt), unless they may be repeated.
2. Circuit breakers delay and release effects, and claim probes.
3. Claim due effects: each gets a lease and a new fence.
4. Begin each effect in a commit of its own, right before its call: if the worker dies now, it is in doubt.
5. Call the outside world.
6. Write the outcome under the claim's fence and wake the enrollment. A worker that lost its lease writes
   nothing.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import structlog

from app.engine.core.timing.sending_window import closed_until
from app.engine.effects.backoff import MAX_ATTEMPTS, retry_delay
from app.engine.effects.channels import destination_of, send_by_channel
from app.engine.effects.circuit_breakers import (
    apply_breakers,
    counted_error_class,
    is_general_refusal,
    record_outcome,
)
from app.engine.effects.delivery_events import emit_delivery_event
from app.engine.effects.unsubscribe_links import link_key
from app.engine.recovery.transient_errors import is_transient
from app.fault_hook import Boundary, Moment, commit, hit
from app.json_types import JsonObject
from app.ports import CallOutcome, Refused, Sent, Unknown
from app.redaction import redact
from app.runtime import Runtime
from app.work import SYSTEM, Work, open_work
from db.queries.effect_claims import (
    CallStart,
    ClaimedEffect,
    InterruptedCall,
    begin_call,
    claim_effects,
    lock_claimed_effect,
    mark_interrupted_calls,
    postpone_effect,
    unclaim_effects,
    wake_waiting_enrollments,
    write_effect_outcome,
)

log = structlog.get_logger(__name__)
BATCH = 40
MAX_CONCURRENT = 12  # calls of one account at a time in one process
MAX_PER_DESTINATION = 8  # of these, to one host
SLICE_SECONDS = 8.0  # after which a turn begins no more calls
WRITE_RETRY_PAUSES = (0.1, 0.3, 1.0, 3.0, 5.0, 10.0)  # seconds between tries to write an outcome


async def send_effects(
    runtime: Runtime, account_id: UUID, most: int = BATCH, keep_going: Callable[[], bool] = lambda: True
) -> int:
    """Claims due effects and sends them; returns how many were put in doubt, delayed, released or claimed. As
    soon as `keep_going()` is false or SLICE_SECONDS are over, it begins no more calls and unclaims what is
    left."""
    lease = runtime.settings.lease_seconds
    async with open_work(runtime, account_id, SYSTEM) as work:
        interrupted = await mark_interrupted(work)
        moved, probes = await apply_breakers(work, lease)
        claimed = [*probes, *await claim_effects(work.session, work.now, most, lease)]
        await commit(work.session, Boundary.EFFECT_CLAIMED)
    left, errors = await _send(runtime, account_id, claimed, keep_going)
    if left:
        await give_back(runtime, account_id, left)
    if errors:
        raise errors[0]
    return interrupted + moved + len(claimed)


async def _send(
    runtime: Runtime, account_id: UUID, claimed: Sequence[ClaimedEffect], keep_going: Callable[[], bool]
) -> tuple[list[ClaimedEffect], list[BaseException]]:
    """Attempts the effects; returns those that were not begun, and the errors. A destination that hangs
    occupies some of the slots and never all."""
    slots = asyncio.Semaphore(MAX_CONCURRENT)
    destinations: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(MAX_PER_DESTINATION))
    over = time.monotonic() + SLICE_SECONDS
    left: list[ClaimedEffect] = []

    async def attempt_or_skip(effect: ClaimedEffect) -> None:
        async with destinations[destination_of(effect)], slots, runtime.batch_lock.shared():
            if keep_going() and time.monotonic() < over:
                await attempt_effect(runtime, account_id, effect)
            else:
                left.append(effect)

    results = await asyncio.gather(*(attempt_or_skip(effect) for effect in claimed), return_exceptions=True)
    return left, [result for result in results if isinstance(result, BaseException)]


async def give_back(runtime: Runtime, account_id: UUID, effects: Sequence[ClaimedEffect]) -> None:
    """Unclaims effects that were not begun."""
    async with open_work(runtime, account_id, SYSTEM) as work:
        await unclaim_effects(work.session, effects)
        await commit(work.session, Boundary.EFFECT_RELEASED)


async def mark_interrupted(work: Work) -> int:
    """Puts calls in doubt that a dead worker had begun, unless they may be repeated. Returns how many."""
    calls = await mark_interrupted_calls(work.session, MAX_ATTEMPTS)
    if calls:
        log.warning("effect.unknown", count=len(calls))
        await wake_enrollments(work, calls)
        hit(Moment.EFFECT_IN_DOUBT)
    return len(calls)


async def wake_enrollments(work: Work, visits: Sequence[ClaimedEffect | InterruptedCall]) -> None:
    """Makes the enrollments due that wait at these visits."""
    await wake_waiting_enrollments(work.session, visits, work.now)


async def attempt_effect(runtime: Runtime, account_id: UUID, effect: ClaimedEffect) -> None:
    """Begins one claimed effect, calls, and writes the outcome."""
    attempts = await begin_effect(runtime, account_id, effect)
    if attempts is None:
        return
    try:
        outcome = await send_by_channel(runtime, account_id, effect)
    except Exception as error:
        log.exception("effect.adapter_failed", kind=effect.kind)
        outcome = Unknown(redact(f"{type(error).__name__}: {error}"))
    hit(Moment.EFFECT_CALLED)
    await _retry_write(runtime, account_id, effect, attempts, outcome)


async def _retry_write(
    runtime: Runtime, account_id: UUID, effect: ClaimedEffect, attempts: int, outcome: CallOutcome
) -> None:
    """Writes the outcome, and tries again while the database is away: only this worker knows the outcome, and
    without it the effect would be in doubt. Tries for as long as the lease may last."""
    for pause_seconds in WRITE_RETRY_PAUSES:
        try:
            await write_outcome(runtime, account_id, effect, attempts, outcome)
            return
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("effect.outcome_write_failed", effect=str(effect.id), error=repr(error))
            await asyncio.sleep(pause_seconds)
    await write_outcome(runtime, account_id, effect, attempts, outcome)


async def begin_effect(runtime: Runtime, account_id: UUID, effect: ClaimedEffect) -> int | None:
    """Marks the effect as begun. Returns the number of attempts including this one (a probe does not count),
    or None if the effect was lost, has to wait or was canceled. Reads the key of unsubscribe links first: an
    error there must not look like a call."""
    await link_key(runtime)
    async with open_work(runtime, account_id, SYSTEM) as work:
        opens = closed_until(effect.payload, work.now)
        start: CallStart | None = None
        if opens is not None:
            await _postpone_to_window(work, effect, opens)
        else:
            start = await begin_call(work.session, effect, runtime.settings.lease_seconds)
        if start is not None and start.status == "cancelled":
            await wake_enrollments(work, [effect])
        await commit(work.session, Boundary.EFFECT_STARTED)
        return start.attempts if start is not None and start.status == "claimed" else None


async def _postpone_to_window(work: Work, effect: ClaimedEffect, opens: datetime) -> None:
    """Postpones the effect until its sending window opens again."""
    await wake_enrollments(work, [effect])  # first, as in `write_outcome`; it then shows until when it waits
    await postpone_effect(work.session, effect, opens)


class EffectUpdate(msgspec.Struct, frozen=True):
    """What an attempt changes of its effect; `retry_seconds` is the time until a retry."""

    status: str
    error: str | None = None
    error_class: str | None = None
    detail: JsonObject | None = None
    retry_seconds: float = 0.0


def update_after(
    outcome: CallOutcome, attempts: int, on_doubt: str, *, probe: bool = False, stopped: bool = False
) -> EffectUpdate:
    """What an outcome changes of the effect. Pure, except for the jitter of a retry. A probe that fails is
    retried and never given up: it was chosen by chance. So is an effect that is refused for the error that
    has `stopped` the step: that error is not about its contact."""
    if isinstance(outcome, Sent):
        return EffectUpdate("sent", detail=outcome.detail)
    error_class = outcome.error_class or None
    if isinstance(outcome, Unknown) and on_doubt == "hold":
        return EffectUpdate("unknown", outcome.error, error_class)
    spared = (probe or stopped) and counted_error_class(outcome) is not None
    if isinstance(outcome, Refused) and outcome.permanent and not spared:
        return EffectUpdate("failed_permanent", outcome.error, error_class)
    if attempts >= MAX_ATTEMPTS and not spared:
        return EffectUpdate(
            "failed_permanent", f"Gave up after {attempts} attempts. {outcome.error}", error_class
        )
    retry_after = outcome.after if isinstance(outcome, Refused) else None
    return EffectUpdate(
        "retry", outcome.error, error_class, retry_seconds=retry_delay(attempts, retry_after).total_seconds()
    )


async def write_outcome(
    runtime: Runtime, account_id: UUID, effect: ClaimedEffect, attempts: int, outcome: CallOutcome
) -> bool:
    """Writes the outcome and wakes the enrollment. False when another worker has claimed the effect since."""
    async with open_work(runtime, account_id, SYSTEM) as work:
        await wake_enrollments(
            work, [effect]
        )  # first: the enrollment is locked before its effect, everywhere
        # Whether a refusal is final depends on the step's other outcomes, this one included. A second refusal
        # of one enrollment is final: the breaker was closed between the two, so others succeeded.
        general_refusal = is_general_refusal(outcome)
        stopped = general_refusal and await _record_refusal_first(work, effect, outcome) and attempts == 1
        update = update_after(outcome, attempts, effect.on_doubt, probe=effect.probe, stopped=stopped)
        written = await write_effect_outcome(
            work.session,
            effect,
            status=update.status,
            error=update.error,
            error_class=update.error_class,
            result=update.detail,
            due_at=work.now + timedelta(seconds=update.retry_seconds),
        )
        if written:
            if update.status != "retry":
                await emit_delivery_event(work, effect, outcome)
            if not general_refusal:
                await record_outcome(work, effect, outcome)
            await commit(work.session, Boundary.EFFECT_FINISHED)
        else:
            log.warning("effect.stale", effect=str(effect.id), status=update.status)
    return written


async def _record_refusal_first(work: Work, effect: ClaimedEffect, outcome: CallOutcome) -> bool:
    """Records the refusal, if this worker still holds the effect. Whether the step is now stopped for it and
    the enrollment was not refused for it here before."""
    held = await lock_claimed_effect(work.session, effect, counted_error_class(outcome))
    return held is not None and await record_outcome(work, effect, outcome) and not held.before
