"""Retry and cancel a durable job."""

from uuid import UUID

from app.errors import Conflict, NotFound
from app.work import Work
from db.models import Job


async def _locked(work: Work, job_id: UUID) -> Job:
    job = await work.jobs.lock(job_id)
    if job is None:
        raise NotFound("job")
    return job


async def retry_job(work: Work, job_id: UUID) -> None:
    """Queues a failed or canceled job again; it continues where it stopped. Raises `NotFound`, `Conflict`."""
    job = await _locked(work, job_id)
    if job.status not in ("failed", "cancelled"):
        raise Conflict("Only a failed or canceled job can be retried.", {"status": job.status})
    if (job.result or {}).get("undone_by"):
        raise Conflict("This job was undone, so it can't be retried. Select the contacts again instead.")
    work.audit("job.retried", "job", job.id, {"status": (job.status, "queued")})
    job.status, job.due_at, job.attempts, job.fence = "queued", work.now, 0, job.fence + 1
    job.error = job.started_at = job.finished_at = job.lease_until = None
    work.notify_worker("jobs")
    await work.commit()


async def cancel_job(work: Work, job_id: UUID) -> None:
    """Cancels a job; the rows that it has written stay. Raises `NotFound`, `Conflict`."""
    job = await _locked(work, job_id)
    if job.status not in ("queued", "running"):
        raise Conflict("This job has already ended.", {"status": job.status})
    work.audit("job.cancelled", "job", job.id, {"status": (job.status, "cancelled")})
    job.status, job.finished_at, job.lease_until, job.fence = "cancelled", work.now, None, job.fence + 1
    await work.commit()
