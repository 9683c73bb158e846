"""Durable jobs. A worker claims them with `db/queries/job_claims.py`; `job_queues.py` counts them."""

from datetime import datetime
from uuid import UUID

from advanced_alchemy.filters import LimitOffset

from db.models import Job
from db.queries.job_claims import cancel_unfinished_job
from db.tenancy import TenantRepository


class JobRepository(TenantRepository[Job]):
    model_type = Job

    async def latest(self, status: str = "", queue: str = "", limit: int = 20) -> list[Job]:
        """The newest jobs, of one status or queue if given."""
        conditions = [Job.status == status] if status else []
        conditions += [Job.queue == queue] if queue else []
        return await self.get_many(
            *conditions, LimitOffset(limit, 0), order_by=[Job.created_at.desc(), Job.id.desc()]
        )

    async def lock(self, job_id: UUID) -> Job | None:
        """The row, locked until the transaction ends."""
        return await self.get_one_or_none(Job.id == job_id, with_for_update=True)

    async def cancel(self, job_id: UUID, now: datetime) -> None:
        """Cancels a job that has not ended."""
        await cancel_unfinished_job(self.session, job_id, now)
