"""Runs background jobs (imports, bulk edits, schedule occurrences). `run_jobs` claims one due job and calls
its handler batch by batch; the lease is renewed before each batch, and every write names the fence of the
claim."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import structlog
from sqlalchemy import select

from app.engine.effects.backoff import retry_delay
from app.errors import NotNow, SwitchyardError
from app.fault_hook import Boundary, Moment, commit, hit
from app.redaction import redact
from app.runtime import Runtime
from app.work import SYSTEM, Actor, open_work
from db.models import Job
from db.queries.batch_session import BatchSession
from db.queries.job_claims import CLAIM_JOB, FAIL_JOB, FINISH_JOB, RENEW_JOB, REQUEUE_JOB
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
        claimed = await BatchSession(work.session).all(
            CLAIM_JOB, now=work.now, lease=runtime.settings.lease_seconds
        )
        await commit(work.session, Boundary.JOB_CLAIMED)
    if not claimed:
        return 0
    job = claimed[0]
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
    job: Any,
    handlers: Mapping[str, Handler],
    keep_going: Callable[[], bool],
) -> None:
    handler = handlers.get(job.task)
    if handler is None:
        await _write(
            runtime, account_id, job, FAIL_JOB, error=f"This version can't run this kind of job ({job.task})."
        )
        return
    if job.attempts > job.max_attempts:
        message = f"Stopped in the middle {job.max_attempts} times. Look at what it does before trying again."
        await _write(runtime, account_id, job, FAIL_JOB, error=message)
        return
    for _ in range(BATCHES):
        finished = await _run_batch(runtime, account_id, job, handler)
        if finished is None:
            return
        if finished:
            await _write(runtime, account_id, job, FINISH_JOB)
            return
        if not keep_going():
            break
    await _requeue(runtime, account_id, job, timedelta(), None, forgiven=1)


async def _run_batch(runtime: Runtime, account_id: UUID, job: Any, handler: Handler) -> bool | None:
    """One batch, with the job's row locked until the handler commits. None when this worker lost the job (it
    was canceled, or another worker took it over after the lease ran out)."""
    async with runtime.batch_lock.shared(), open_work(runtime, account_id, SYSTEM) as work:
        lease = runtime.settings.lease_seconds
        if not await BatchSession(work.session).all(RENEW_JOB, id=job.id, fence=job.fence, lease=lease):
            return None
        statement = select(Job).where(Job.account_id == account_id, Job.id == job.id)
        row = (await work.session.scalars(statement)).one()
        actor = {"kind": row.actor_kind, "id": row.actor_id, "name": row.actor_name}
        work.actor = msgspec.convert(actor, Actor)
        finished = await handler(work, row)
        hit(Moment.JOB_BATCH)
        await work.commit()
        return finished


async def _retry_or_fail(runtime: Runtime, account_id: UUID, job: Any, error: Exception) -> None:
    """Retries the job later, with backoff; fails it when it has no attempts left or its input is refused."""
    message = error.message if isinstance(error, SwitchyardError) else f"{type(error).__name__}: {error}"
    message = redact(message)
    if isinstance(error, SwitchyardError) or job.attempts >= job.max_attempts:
        await _write(runtime, account_id, job, FAIL_JOB, error=message[:2000])
    else:
        await _requeue(runtime, account_id, job, retry_delay(job.attempts), message[:2000], forgiven=0)


async def _requeue(
    runtime: Runtime, account_id: UUID, job: Any, wait: timedelta, error: str | None, *, forgiven: int
) -> None:
    async with open_work(runtime, account_id, SYSTEM) as work:
        await BatchSession(work.session).all(
            REQUEUE_JOB,
            id=job.id,
            fence=job.fence,
            due_at=work.now + wait,
            error=error,
            forgiven=forgiven,
        )
        await commit(work.session, Boundary.JOB_REQUEUED)


async def _write(runtime: Runtime, account_id: UUID, job: Any, statement: Any, **values: Any) -> None:
    async with open_work(runtime, account_id, SYSTEM) as work:
        await BatchSession(work.session).all(statement, id=job.id, fence=job.fence, **values)
        await commit(work.session, Boundary.JOB_FINISHED)
