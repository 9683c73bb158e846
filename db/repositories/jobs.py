"""Durable jobs. A worker claims them with `db/queries/job_claims.py`; `job_queues.py` counts them."""

from datetime import datetime
from uuid import UUID

from db.models import Job
from db.queries.job_claims import cancel_unfinished_job
from db.queries.paging import get_page_of
from db.tenancy import TenantRepository


class JobRepository(TenantRepository[Job]):
    model_type = Job

    async def page(
        self,
        status: str = "",
        queue: str = "",
        *,
        after: UUID | None = None,
        before: UUID | None = None,
        limit: int,
    ) -> tuple[list[Job], bool]:
        """At most `limit` jobs, of one status or queue if given, newest first, older than `after` or newer
        than `before`, and whether there are more in that direction."""
        conditions = [Job.status == status] if status else []
        conditions += [Job.queue == queue] if queue else []
        return await get_page_of(self, Job.id, *conditions, after=after, before=before, limit=limit)

    async def lock(self, job_id: UUID) -> Job | None:
        """The row, locked until the transaction ends."""
        return await self.get_one_or_none(Job.id == job_id, with_for_update=True)

    async def cancel(self, job_id: UUID, now: datetime) -> None:
        """Cancels a job that has not ended."""
        await cancel_unfinished_job(self.session, job_id, now)
