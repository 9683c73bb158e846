"""Routes of the Jobs page: what is due, what runs, what failed, and the buttons that retry and cancel."""

from typing import Literal
from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from app.operations.circuit_breakers import try_now
from app.operations.pages import RUN, job_list, job_page
from app.operations.schemas import JobList, JobPage
from app.operations.use_cases import cancel_job, retry_job
from app.permissions import Permission
from app.web.guards import may
from app.web.paging import Paging
from app.web.responses import Saved
from app.work import Work

FORMER_QUEUES = {"clocks": "schedules"}  # in links of earlier releases
StatusFilter = Literal["", "queued", "running", "done", "failed", "cancelled"]
SHOW = "/jobs/{job_id}"


class JobController(Controller):
    path = "/jobs"
    tags = ("jobs",)

    @get(page="jobs/index.html", fragment="jobs/_dashboard.html", guards=[may(Permission.VIEW)])
    async def index(
        self,
        work: NamedDependency[Work],
        paging: NamedDependency[Paging],
        status: FromQuery[StatusFilter] = "",
        queue: FromQuery[str] = "",
    ) -> JobList:
        """Queues, present failures, turns, workers and the latest jobs of this account."""
        return await job_list(work, status, FORMER_QUEUES.get(queue, queue), paging)

    @get("/{job_id:uuid}", page="jobs/show.html", fragment="jobs/_job.html",
         guards=[may(Permission.VIEW)])  # fmt: skip
    async def show(self, job_id: FromPath[UUID], work: NamedDependency[Work]) -> JobPage:
        """One job and its progress."""
        return await job_page(work, job_id)

    @post("/{job_id:uuid}/retry", form=SHOW, guards=[may(RUN)], status_code=200)
    async def retry(self, job_id: FromPath[UUID], work: NamedDependency[Work]) -> Saved[JobPage]:
        """Queues a failed or canceled job again."""
        await retry_job(work, job_id)
        return await _saved(work, job_id, "The job is being retried.")

    @post("/{job_id:uuid}/cancellation", form=SHOW, guards=[may(RUN)], status_code=200)
    async def cancel(self, job_id: FromPath[UUID], work: NamedDependency[Work]) -> Saved[JobPage]:
        """Cancels a job; the rows that it has written stay."""
        await cancel_job(work, job_id)
        return await _saved(work, job_id, "The job was canceled.")


class BreakerController(Controller):
    path = "/breakers"
    tags = ("jobs",)

    @post("/{workflow_id:uuid}/{step_key:str}/trial", form="/jobs", guards=[may(RUN)], status_code=200)
    async def trial(
        self, workflow_id: FromPath[UUID], step_key: FromPath[str], work: NamedDependency[Work]
    ) -> Saved[JobList]:
        """Tries a stopped step at once, with one of the contacts that wait there. 409 while it is not
        stopped."""
        await try_now(work, workflow_id, step_key)
        page = await job_list(work)
        return Saved(page, see="/jobs", created=False, note="The step is being tried again with one contact.")


async def _saved(work: Work, job_id: UUID, note: str) -> Saved[JobPage]:
    return Saved(await job_page(work, job_id), see=f"/jobs/{job_id}", created=False, note=note)
