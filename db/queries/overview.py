"""Totals for the overview, each a bounded read."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Label, func, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Contact, Effect, Enrollment, Job, Workflow

COUNT_LIMIT = 100_000


class OverviewTotals:
    """Totals on the overview page of the session's account."""

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
        rows = (
            select(literal(1))
            .where(model.account_id == self.account_id, condition)
            .limit(COUNT_LIMIT)
            .subquery()
        )
        return select(func.count()).select_from(rows).scalar_subquery().label(name)
