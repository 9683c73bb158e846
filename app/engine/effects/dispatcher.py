"""Effects: what leaves the house. Claimed by a lease, begun in a commit of its own right before the call, and
its outcome written only by whoever still holds the fence."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import msgspec
import structlog

from app.engine.core.timing.sending_window import closed_until
from app.engine.effects.backoff import MAX_ATTEMPTS, retry_delay
from app.engine.effects.channels import destination_of, send_by_channel
from app.engine.effects.circuit_breakers import (
    apply_breakers,
    error_class,
    is_general_refusal,
    record_outcome,
)
from app.engine.effects.delivery_events import emit_delivery_event
from app.engine.effects.unsubscribe_links import link_key
from app.engine.recovery.transient_errors import is_transient
from app.failpoints import Boundary, Moment, commit, hit
from app.ports import Outcome, Refused, Sent, Unknown
from app.redaction import redact
from app.runtime import Runtime
from app.work import SYSTEM, Work, open_work
from db.queries.batch_session import BatchSession
from db.queries.effect_claims import (
    BEGIN_EFFECT,
    CLAIM_EFFECTS,
    LOCK_CLAIMED_EFFECT,
    LOCK_EFFECT,
    MARK_INTERRUPTED_CALLS,
    POSTPONE_EFFECT,
    UNCLAIM_EFFECTS,
    WAKE_WAITING_ENROLLMENTS,
    WRITE_EFFECT_OUTCOME,
)

log = structlog.get_logger(__name__)
BATCH = 40
MAX_CONCURRENT = 12  # calls of one account under way in one process
MAX_PER_DESTINATION = 8  # of these to one host
SLICE_SECONDS = 8.0  # after which a slice begins no more calls
WRITE_TIMEOUT = (0.1, 0.3, 1.0, 3.0, 5.0, 10.0)  # seconds between tries to write an outcome


async def send_effects(
    runtime: Runtime, account_id: UUID, most: int = BATCH, keep_going: Callable[[], bool] = lambda: True
) -> int:
    """Claim what is due and send it, some at a time; how many were settled, claimed or put elsewhere. As soon
    as `keep_going` says no or the slice is over, nothing more is begun and what is left is given back."""
    lease = runtime.settings.lease_seconds
    async with open_work(runtime, account_id, SYSTEM) as work:
        doubtful = await mark_interrupted(work)
        moved, probes = await apply_breakers(work, lease)
        rows = await BatchSession(work.session).all(CLAIM_EFFECTS, now=work.now, most=most, lease=lease)
        await commit(work.session, Boundary.SEND_CLAIMED)
    claimed = [*probes, *rows]
    left, errors = await _send(runtime, account_id, claimed, keep_going)
    if left:
        await give_back(runtime, account_id, left)
    if errors:
        raise errors[0]
    return doubtful + moved + len(claimed)


async def _send(
    runtime: Runtime, account_id: UUID, claimed: Sequence[Any], keep_going: Callable[[], bool]
) -> tuple[list[Any], list[BaseException]]:
    """Attempts them; those that were not begun, and what went wrong. A place that hangs takes some of the
    slots and never all."""
    gate = asyncio.Semaphore(MAX_CONCURRENT)
    places: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(MAX_PER_DESTINATION))
    over = time.monotonic() + SLICE_SECONDS
    left: list[Any] = []

    async def attempt_or_skip(effect: Any) -> None:
        async with places[destination_of(effect)], gate, runtime.batch_lock.shared():
            if keep_going() and time.monotonic() < over:
                await attempt_effect(runtime, account_id, effect)
            else:
                left.append(effect)

    results = await asyncio.gather(*(attempt_or_skip(effect) for effect in claimed), return_exceptions=True)
    return left, [result for result in results if isinstance(result, BaseException)]


async def give_back(runtime: Runtime, account_id: UUID, effects: Sequence[Any]) -> None:
    """Claimed effects that nothing was done with."""
    async with open_work(runtime, account_id, SYSTEM) as work:
        ids, fences = [effect.id for effect in effects], [effect.fence for effect in effects]
        await BatchSession(work.session).do(UNCLAIM_EFFECTS, ids=ids, fences=fences)
        await commit(work.session, Boundary.SEND_GIVEN_BACK)


async def mark_interrupted(work: Work) -> int:
    """Calls that a dead worker had begun wait for a person unless they may be repeated once more."""
    db = BatchSession(work.session)
    rows = await db.all(MARK_INTERRUPTED_CALLS, attempts=MAX_ATTEMPTS)
    if rows:
        log.warning("effect.unknown", count=len(rows))
        await wake_enrollments(work, rows)
        hit(Moment.SEND_DOUBTED)
    return len(rows)


async def wake_enrollments(work: Work, rows: Sequence[Any]) -> None:
    """The enrollments parked on these visits (enrollment_id, seq) are looked at now."""
    await BatchSession(work.session).do(
        WAKE_WAITING_ENROLLMENTS,
        ids=[row.enrollment_id for row in rows],
        seqs=[row.seq for row in rows],
        now=work.now,
    )


async def attempt_effect(runtime: Runtime, account_id: UUID, effect: Any) -> None:
    """One claimed effect: begun, called, written."""
    attempts = await begin_effect(runtime, account_id, effect)
    if attempts is None:
        return
    try:
        outcome = await send_by_channel(runtime, account_id, effect)
    except Exception as error:
        log.exception("effect.adapter", kind=effect.kind)
        outcome = Unknown(redact(f"{type(error).__name__}: {error}"))
    hit(Moment.SEND_CALLED)
    await _retry_write(runtime, account_id, effect, attempts, outcome)


async def _retry_write(
    runtime: Runtime, account_id: UUID, effect: Any, attempts: int, outcome: Outcome
) -> None:
    """What happened outside is known only here: a database that is away for some seconds must not turn it
    into a doubt. Tried for as long as the lease may hold."""
    for pause_seconds in WRITE_TIMEOUT:
        try:
            await write_outcome(runtime, account_id, effect, attempts, outcome)
            return
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("effect.unwritten", effect=str(effect.id), error=repr(error))
            await asyncio.sleep(pause_seconds)
    await write_outcome(runtime, account_id, effect, attempts, outcome)


async def begin_effect(runtime: Runtime, account_id: UUID, effect: Any) -> int | None:
    """The number of this attempt, from 1; None when it is not ours any more, has to wait or is not wanted. A
    probe counts as none. The key of links is read before: failing to read it must not look like a call."""
    await link_key(runtime)
    async with open_work(runtime, account_id, SYSTEM) as work:
        opens = closed_until(effect.payload, work.now)
        rows: Sequence[Any] = ()
        if opens is not None:
            await _postpone_to_window(work, effect, opens)
        else:
            lease, db = runtime.settings.lease_seconds, BatchSession(work.session)
            await db.all(LOCK_EFFECT, id=effect.id)
            rows = await db.all(
                BEGIN_EFFECT, id=effect.id, fence=effect.fence, lease=lease, probe=effect.probe
            )
        if rows and rows[0].status == "cancelled":
            await wake_enrollments(work, [effect])
        await commit(work.session, Boundary.SEND_BEGUN)
        return cast("int", rows[0].attempts) if rows and rows[0].status == "claimed" else None


async def _postpone_to_window(work: Work, effect: Any, opens: datetime) -> None:
    """The window closed since the visit: no attempt is made of it before it opens again."""
    await wake_enrollments(work, [effect])  # first, as in `settle`; it then says until when it waits
    await BatchSession(work.session).do(POSTPONE_EFFECT, id=effect.id, fence=effect.fence, due_at=opens)


class EffectResult(msgspec.Struct, frozen=True):
    """What the ledger says after an attempt: `what` is the class of the error, `wait` seconds for a retry."""

    status: str
    error: str | None = None
    what: str | None = None
    detail: dict[str, Any] | None = None
    wait: float = 0.0


def result_of(
    outcome: Outcome, attempts: int, on_doubt: str, *, probe: bool = False, stopped: bool = False
) -> EffectResult:
    """What an outcome means: pure but for the jitter. The probe of a breaker that fails as those before it
    waits on: nobody is given up for having been the one it was tried with. So does whoever is refused for
    what has `stopped` the step: it is not about them."""
    if isinstance(outcome, Sent):
        return EffectResult("sent", detail=outcome.detail)
    what = outcome.what or None
    if isinstance(outcome, Unknown) and on_doubt == "hold":
        return EffectResult("unknown", outcome.error, what)
    spared = (probe or stopped) and error_class(outcome) is not None
    if isinstance(outcome, Refused) and outcome.permanent and not spared:
        return EffectResult("failed_permanent", outcome.error, what)
    if attempts >= MAX_ATTEMPTS and not spared:
        return EffectResult("failed_permanent", f"Given up after {attempts} attempts. {outcome.error}", what)
    wish = outcome.after if isinstance(outcome, Refused) else None
    return EffectResult("retry", outcome.error, what, wait=retry_delay(attempts, wish).total_seconds())


async def write_outcome(
    runtime: Runtime, account_id: UUID, effect: Any, attempts: int, outcome: Outcome
) -> bool:
    """Write the outcome and wake the enrollment; False when somebody else holds the effect by now."""
    async with open_work(runtime, account_id, SYSTEM) as work:
        await wake_enrollments(
            work, [effect]
        )  # first: the enrollment is locked before its effect, everywhere
        # Whether it is for good depends on what others were told, themselves included. A second refusal is:
        # between the two the breaker was closed, so others fared well.
        general_refusal = is_general_refusal(outcome)
        stopped = general_refusal and await _record_refusal_first(work, effect, outcome) and attempts == 1
        end = result_of(outcome, attempts, effect.on_doubt, probe=effect.probe, stopped=stopped)
        rows = await BatchSession(work.session).all(
            WRITE_EFFECT_OUTCOME,
            id=effect.id,
            fence=effect.fence,
            status=end.status,
            error=end.error,
            what=end.what,
            result=None if end.detail is None else msgspec.json.encode(end.detail).decode(),
            due_at=work.now + timedelta(seconds=end.wait),
        )
        if rows:
            if end.status != "retry":
                await emit_delivery_event(work, effect, outcome)
            if not general_refusal:
                await record_outcome(work, effect, outcome)
            await commit(work.session, Boundary.SEND_SETTLED)
        else:
            log.warning("effect.stale", effect=str(effect.id), status=end.status)
    return bool(rows)


async def _record_refusal_first(work: Work, effect: Any, outcome: Outcome) -> bool:
    """Whether the step is stopped for this refusal, and it is the first that the contact gets here; it counts
    only while the effect is ours."""
    what = error_class(outcome)
    rows = await BatchSession(work.session).all(
        LOCK_CLAIMED_EFFECT, id=effect.id, fence=effect.fence, what=what
    )
    return bool(rows) and await record_outcome(work, effect, outcome) and not rows[0].before
