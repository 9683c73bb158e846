"""Claims background jobs, renews the claim before each batch and writes how a job ended.

`claim_job` and `cancel_unfinished_job` raise the fence; each of the others names the fence of its claim: a
worker that lost its lease updates no row.
"""

from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db.queries.effect_claims import LEASE_INTERVAL
from db.queries.statements import execute, fetch_one, fetch_scalar

# Short, because the row stays locked while a batch is written: it only bridges the time between two batches.
JOB_LEASE_INTERVAL = f"{LEASE_INTERVAL} / 4"

_CLAIM_JOB = text(f"""
with x as materialized (
        select id from jobs
         where account_id = current_account() and due_at <= cast(:now as timestamptz)
           and (status = 'queued' or status = 'running' and lease_until < clock_timestamp())
         order by due_at, id limit 1 for update skip locked)
update jobs j set status = 'running', fence = j.fence + 1,
       lease_until = clock_timestamp() + {JOB_LEASE_INTERVAL},
       attempts = j.attempts + 1, started_at = coalesce(j.started_at, clock_timestamp())
  from x
 where j.account_id = current_account() and j.id = x.id
returning j.id, j.fence, j.attempts, j.max_attempts, j.task
""")  # noqa: S608 -- a constant
# The row stays locked through the batch: no other transaction can claim or cancel the job meanwhile.
_RENEW_JOB = text(f"""
update jobs set lease_until = clock_timestamp() + {JOB_LEASE_INTERVAL}
 where account_id = current_account() and id = :id and fence = :fence and status = 'running' returning id
""")  # noqa: S608 -- a constant
_FINISH_JOB = text("""
update jobs set status = 'done', finished_at = clock_timestamp(), lease_until = null, error = null
 where account_id = current_account() and id = :id and fence = :fence and status = 'running' returning id
""")
_REQUEUE_JOB = text("""
update jobs set status = 'queued', due_at = cast(:due_at as timestamptz), lease_until = null, error = :error,
       attempts = attempts - :forgiven
 where account_id = current_account() and id = :id and fence = :fence and status = 'running' returning id
""")
_FAIL_JOB = text("""
update jobs set status = 'failed', finished_at = clock_timestamp(), lease_until = null, error = :error
 where account_id = current_account() and id = :id and fence = :fence and status = 'running' returning id
""")
_CANCEL_JOB = text("""
update jobs set status = 'cancelled', finished_at = cast(:now as timestamptz), lease_until = null,
       fence = fence + 1
 where account_id = current_account() and id = :id and status in ('queued', 'running')
""")


class ClaimedJob(msgspec.Struct, frozen=True):
    """A job that this worker may run while its lease lasts; `fence` is the value of this claim."""

    id: UUID
    fence: int
    attempts: int
    max_attempts: int
    task: str


async def claim_job(session: AsyncSession, now: datetime, lease: float) -> ClaimedJob | None:
    """Claims the job that has been due for longest; None when none is due."""
    return await fetch_one(session, ClaimedJob, _CLAIM_JOB, now=now, lease=lease)


async def renew_job(session: AsyncSession, job: ClaimedJob, lease: float) -> bool:
    """Locks the job until the transaction ends, for its next batch. False when the claim is lost."""
    renewed = await fetch_scalar(session, UUID, _RENEW_JOB, id=job.id, fence=job.fence, lease=lease)
    return renewed is not None


async def finish_job(session: AsyncSession, job: ClaimedJob) -> None:
    await execute(session, _FINISH_JOB, id=job.id, fence=job.fence)


async def requeue_job(
    session: AsyncSession, job: ClaimedJob, due_at: datetime, error: str | None, forgiven: int
) -> None:
    """Ends the claim; the job is due again at that time. `forgiven` attempts do not count."""
    await execute(
        session, _REQUEUE_JOB, id=job.id, fence=job.fence, due_at=due_at, error=error, forgiven=forgiven
    )


async def fail_job(session: AsyncSession, job: ClaimedJob, error: str) -> None:
    await execute(session, _FAIL_JOB, id=job.id, fence=job.fence, error=error)


async def cancel_unfinished_job(session: AsyncSession, job_id: UUID, now: datetime) -> None:
    """Cancels a job that has not ended. A worker that still holds its claim writes nothing more, because the
    fence is raised."""
    await execute(session, _CANCEL_JOB, id=job_id, now=now)
