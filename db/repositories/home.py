"""Totals and failures for the overview, each a bounded read."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Label, cast, func, literal, null, select, union_all
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Contact, Effect, Enrollment, Job, Workflow

MOST = 100_000


class Home:
    """What the overview of the session's account shows."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self.account_id: UUID = session.info["account_id"]

    async def totals(self) -> Any:
        """contacts, workflows, enrollments, jobs, failed, doubt: how many, counted up to 100,000."""
        columns = (
            self._count("contacts", Contact, Contact.deleted_at.is_(None)),
            self._count("workflows", Workflow, Workflow.status == "active"),
            self._count("enrollments", Enrollment, Enrollment.ended_at.is_(None)),
            self._count("jobs", Job, Job.status.in_(("queued", "running"))),
            self._count("failed", Job, Job.status == "failed"),
            self._count("doubt", Effect, Effect.status == "unknown"),
        )
        return (await self.session.execute(select(*columns))).one()

    def _count(self, name: str, model: Any, condition: ColumnElement[bool]) -> Label[Any]:
        rows = select(literal(1)).where(model.account_id == self.account_id, condition).limit(MOST).subquery()
        return select(func.count()).select_from(rows).scalar_subquery().label(name)

    async def failures(self, limit: int = 8) -> Sequence[Any]:
        """The latest that failed: what (job, enrollment), id, title, error, at; a job with args, total."""
        jobs = (
            select(
                literal("job").label("what"),
                Job.id,
                Job.task.label("title"),
                Job.error,
                func.coalesce(Job.finished_at, Job.created_at).label("at"),
                Job.args,
                Job.total,
            )
            .where(Job.account_id == self.account_id, Job.status == "failed")
            .order_by(Job.created_at.desc())
            .limit(limit)
        )
        enrollments = (
            select(
                literal("enrollment").label("what"),
                Enrollment.id,
                Workflow.name.label("title"),
                Enrollment.error,
                Enrollment.updated_at.label("at"),
                cast(null(), JSONB).label("args"),
                literal(0).label("total"),
            )
            .join(
                Workflow,
                (Workflow.account_id == Enrollment.account_id) & (Workflow.id == Enrollment.workflow_id),
            )
            .where(Enrollment.account_id == self.account_id, Enrollment.status == "failed")
            .order_by(Enrollment.updated_at.desc())
            .limit(limit)
        )
        both = union_all(jobs.subquery().select(), enrollments.subquery().select()).subquery()
        return (await self.session.execute(select(both).order_by(both.c.at.desc()).limit(limit))).all()
