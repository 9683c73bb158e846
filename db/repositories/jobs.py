"""Durable jobs, and the counts of the Jobs page, which shows enrollments, effects and jobs as queues."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Float, and_, case, func, literal, not_, or_, select, tuple_, update

from db.models import CircuitBreaker, Effect, Enrollment, Event, Job, Worker, Workflow
from db.repositories.effects import failed_for_good
from db.tenancy import TenantRepository

COUNTED_STATUSES = ("pending", "claimed", "retry", "unknown", "failed_permanent")

COLUMNS = (
    Job.id, Job.queue, Job.task, Job.status, Job.attempts, Job.max_attempts, Job.due_at, Job.progress,
    Job.total, Job.result, Job.error, Job.actor_name, Job.created_at, Job.started_at, Job.finished_at,
    Job.args,
)  # fmt: skip


def _count(condition: Any) -> Any:
    return func.count().filter(condition)


class JobRepository(TenantRepository[Job]):
    model_type = Job

    async def latest(self, status: str = "", queue: str = "", limit: int = 20) -> Sequence[Any]:
        """The newest jobs (COLUMNS), of one status or queue if given."""
        query = select(*COLUMNS).where(Job.account_id == self.account_id)
        query = query.where(Job.status == status) if status else query
        query = query.where(Job.queue == queue) if queue else query
        query = query.order_by(Job.created_at.desc(), Job.id.desc()).limit(limit)
        return (await self.session.execute(query)).all()

    async def row(self, job_id: UUID) -> Any:
        """One job (COLUMNS); None when there is none."""
        query = select(*COLUMNS).where(Job.account_id == self.account_id, Job.id == job_id)
        return (await self.session.execute(query)).one_or_none()

    async def locked(self, job_id: UUID) -> Job | None:
        """The row, locked until the transaction ends."""
        query = (
            select(Job)
            .where(Job.account_id == self.account_id, Job.id == job_id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        job: Job | None = await self.session.scalar(query)
        return job

    async def cancel(self, job_id: UUID, now: datetime) -> None:
        """Cancels a job that has not ended. A worker that still holds its claim writes nothing more, because
        the fence is raised."""
        await self.session.execute(
            update(Job)
            .where(Job.account_id == self.account_id, Job.id == job_id)
            .where(Job.status.in_(("queued", "running")))
            .values(status="cancelled", finished_at=now, lease_until=None, fence=Job.fence + 1)
        )

    async def failing(self, limit: int = 10) -> Sequence[Any]:
        """The latest failed jobs (COLUMNS)."""
        return await self.latest("failed", limit=limit)

    async def enrollments_queue(self, now: datetime) -> Any:
        """ready, waiting, failed, oldest (since when the first is due), next (when the next is)."""
        active = Enrollment.status == "active"
        # A held enrollment isn't late: it isn't supposed to move.
        due = and_(Enrollment.due_at <= now, Enrollment.workflow_id.not_in(self._held()))
        query = select(
            _count(and_(active, due)).label("ready"),
            _count(and_(active, due.is_not(True))).label("waiting"),
            _count(Enrollment.status == "failed").label("failed"),
            func.min(case((and_(active, due), Enrollment.due_at))).label("oldest"),
            func.min(case((and_(active, Enrollment.due_at > now), Enrollment.due_at))).label("next"),
        ).where(Enrollment.account_id == self.account_id, Enrollment.status.in_(("active", "failed")))
        return (await self.session.execute(query)).one()

    async def unmatched(self) -> Any:
        """ready and oldest of the events that the matcher has not processed."""
        query = select(func.count().label("ready"), func.min(Event.occurred_at).label("oldest")).where(
            Event.account_id == self.account_id, Event.matched_at.is_(None)
        )
        return (await self.session.execute(query)).one()

    async def effect_queues(self, now: datetime) -> Sequence[Any]:
        """By kind: ready, running, waiting, failed, doubt, sent in the last hour, oldest, next."""
        lately = and_(Effect.status == "sent", Effect.sent_at > now - timedelta(hours=1))
        open_ = Effect.status.in_(("pending", "retry"))
        due = and_(Effect.due_at <= now, not_(self._stopped()))
        query = (
            select(
                Effect.kind.label("queue"),
                _count(and_(open_, due)).label("ready"),
                _count(Effect.status == "claimed").label("running"),
                _count(and_(open_, ~due)).label("waiting"),
                _count(failed_for_good()).label("failed"),
                _count(Effect.status == "unknown").label("doubt"),
                _count(lately).label("done"),
                func.min(case((and_(open_, due), Effect.due_at))).label("oldest"),
                func.min(case((and_(open_, Effect.due_at > now), Effect.due_at))).label("next"),
            )
            .where(Effect.account_id == self.account_id)
            .where(or_(Effect.status.in_(COUNTED_STATUSES), lately))
            .group_by(Effect.kind)
        )
        return (await self.session.execute(query)).all()

    def _held(self) -> Any:
        return select(Workflow.id).where(
            Workflow.account_id == self.account_id, Workflow.held, Workflow.status != "archived"
        )

    def _stopped(self) -> Any:
        """Effects that aren't sent even when due: held, paused, or stopped by a circuit breaker."""
        paused = select(Enrollment.id).where(
            Enrollment.account_id == self.account_id, Enrollment.paused_at.is_not(None)
        )
        broken = select(CircuitBreaker.workflow_id, CircuitBreaker.step_key).where(
            CircuitBreaker.account_id == self.account_id, CircuitBreaker.state != "closed"
        )
        return or_(
            Effect.workflow_id.in_(self._held()),
            Effect.enrollment_id.in_(paused),
            tuple_(Effect.workflow_id, Effect.step_key).in_(broken),
        )

    async def job_queues(self, now: datetime) -> Sequence[Any]:
        """By queue: ready, running, waiting, failed, done in the last hour, oldest, next."""
        queued, due = Job.status == "queued", Job.due_at <= now
        query = (
            select(
                Job.queue,
                _count(and_(queued, due)).label("ready"),
                _count(Job.status == "running").label("running"),
                _count(and_(queued, ~due)).label("waiting"),
                _count(Job.status == "failed").label("failed"),
                literal(0).label("doubt"),
                _count(and_(Job.status == "done", Job.finished_at > now - timedelta(hours=1))).label("done"),
                func.min(case((and_(queued, due), Job.due_at))).label("oldest"),
                func.min(case((and_(queued, ~due), Job.due_at))).label("next"),
            )
            .where(Job.account_id == self.account_id)
            .group_by(Job.queue)
        )
        return (await self.session.execute(query)).all()

    async def workers(self, within: timedelta = timedelta(minutes=2)) -> Sequence[Any]:
        """The worker processes with a recent heartbeat: id, host, pid, started_at, last_seen_at, steps,
        memory, quiet (seconds since its last heartbeat)."""
        quiet = func.extract("epoch", func.clock_timestamp() - Worker.last_seen_at).cast(Float)
        query = (
            select(
                Worker.id, Worker.host, Worker.pid, Worker.started_at, Worker.last_seen_at, Worker.steps,
                Worker.memory, quiet.label("quiet"),
            )
            .where(Worker.last_seen_at > func.clock_timestamp() - within)
            .order_by(Worker.host, Worker.pid)
            .limit(50)
        )  # fmt: skip
        return (await self.session.execute(query)).all()
