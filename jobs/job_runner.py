"""Runs background jobs (imports, bulk edits, schedule occurrences). `run_jobs` claims one due job and calls
its handler batch by batch; the lease is renewed before each batch, and every write names the fence of the
claim."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from uuid import UUID

import msgspec
import structlog

from app.engine.effects.backoff import retry_delay
from app.errors import NotNow, SwitchyardError
from app.fault_hook import Boundary, Moment, commit, hit
from app.redaction import redact
from app.runtime import Runtime
from app.work import SYSTEM, Actor, open_work
from db.models import Job
from db.queries.job_claims import ClaimedJob, claim_job, fail_job, finish_job, renew_job, requeue_job
from jobs.registry import HANDLERS, Handler

log = structlog.get_logger(__name__)
BATCHES = 20  # of one job before other jobs of the account get their turn


async def run_jobs(
    runtime: Runtime,
    account_id: UUID,
    handlers: Mapping[str, Handler] = HANDLERS,
    keep_going: Callable[[], bool] = lambda: True,
) -> int:
    """Claims one due job and runs up to 20 batches of it, while `keep_going()` is true. 0 when none was
    due."""
    async with open_work(runtime, account_id, SYSTEM) as work:
        job = await claim_job(work.session, work.now, runtime.settings.lease_seconds)
        await commit(work.session, Boundary.JOB_CLAIMED)
    if job is None:
        return 0
    try:
        await _run_batches(runtime, account_id, job, handlers, keep_going)
    except NotNow as waits:
        await _requeue(runtime, account_id, job, waits.wait, None, forgiven=1)
    except Exception as error:  # noqa: BLE001 -- whatever a handler raises is the error of its job
        log.warning("job.error", task=job.task, job=str(job.id), error=repr(error))
        await _retry_or_fail(runtime, account_id, job, error)
    return 1


async def _run_batches(
    runtime: Runtime,
    account_id: UUID,
    job: ClaimedJob,
    handlers: Mapping[str, Handler],
    keep_going: Callable[[], bool],
) -> None:
    handler = handlers.get(job.task)
    if handler is None:
        await _end(runtime, account_id, job, f"This version can't run this kind of job ({job.task}).")
        return
    if job.attempts > job.max_attempts:
        message = f"Stopped in the middle {job.max_attempts} times. Look at what it does before trying again."
        await _end(runtime, account_id, job, message)
        return
    for _ in range(BATCHES):
        finished = await _run_batch(runtime, account_id, job, handler)
        if finished is None:
            return
        if finished:
            await _end(runtime, account_id, job)
            return
        if not keep_going():
            break
    await _requeue(runtime, account_id, job, timedelta(), None, forgiven=1)


async def _run_batch(runtime: Runtime, account_id: UUID, job: ClaimedJob, handler: Handler) -> bool | None:
    """One batch, with the job's row locked until the handler commits. None when this worker lost the job (it
    was canceled, or another worker took it over after the lease ran out)."""
    async with runtime.batch_lock.shared(), open_work(runtime, account_id, SYSTEM) as work:
        if not await renew_job(work.session, job, runtime.settings.lease_seconds):
            return None
        row = await work.jobs.get_one(Job.id == job.id)
        actor = {"kind": row.actor_kind, "id": row.actor_id, "name": row.actor_name}
        work.actor = msgspec.convert(actor, Actor)
        finished = await handler(work, row)
        hit(Moment.JOB_BATCH)
        await work.commit()
        return finished


async def _retry_or_fail(runtime: Runtime, account_id: UUID, job: ClaimedJob, error: Exception) -> None:
    """Retries the job later, with backoff; fails it when it has no attempts left or its input is refused."""
    message = error.message if isinstance(error, SwitchyardError) else f"{type(error).__name__}: {error}"
    message = redact(message)
    if isinstance(error, SwitchyardError) or job.attempts >= job.max_attempts:
        await _end(runtime, account_id, job, message[:2000])
    else:
        await _requeue(runtime, account_id, job, retry_delay(job.attempts), message[:2000], forgiven=0)


async def _requeue(
    runtime: Runtime, account_id: UUID, job: ClaimedJob, wait: timedelta, error: str | None, *, forgiven: int
) -> None:
    async with open_work(runtime, account_id, SYSTEM) as work:
        await requeue_job(work.session, job, work.now + wait, error, forgiven)
        await commit(work.session, Boundary.JOB_REQUEUED)


async def _end(runtime: Runtime, account_id: UUID, job: ClaimedJob, error: str | None = None) -> None:
    """Ends the job: done, or failed with this error."""
    async with open_work(runtime, account_id, SYSTEM) as work:
        if error is None:
            await finish_job(work.session, job)
        else:
            await fail_job(work.session, job, error)
        await commit(work.session, Boundary.JOB_FINISHED)
