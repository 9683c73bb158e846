"""Approvals: questions that enrollments wait for."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select

from db.models import Approval, Contact, Workflow
from db.tenancy import TenantRepository

MOST = 100
MOST_SETTLED = 20


class ApprovalRepository(TenantRepository[Approval]):
    model_type = Approval

    def _lines(self) -> Any:
        return (
            select(
                Approval.id, Approval.enrollment_id, Approval.workflow_id, Approval.contact_id,
                Approval.step_key, Approval.question, Approval.options, Approval.users, Approval.due_at,
                Approval.status, Approval.answer, Approval.answered_by, Approval.answered_at,
                Approval.created_at, Workflow.name.label("workflow_name"), Contact.first_name,
                Contact.last_name, Contact.email, Contact.deleted_at,
            )
            .join(
                Workflow,
                and_(Workflow.account_id == Approval.account_id, Workflow.id == Approval.workflow_id),
            )
            .join(Contact, and_(Contact.account_id == Approval.account_id, Contact.id == Approval.contact_id))
            .where(Approval.account_id == self.account_id)
        )  # fmt: skip

    def _of(self, user_id: UUID | None, *, manages: bool) -> ColumnElement[bool]:
        """Approvals this member may answer: those that name them and, if they may operate workflows,
        those without names."""
        named = Approval.users.contains([str(user_id)])
        return or_(named, func.jsonb_array_length(Approval.users) == 0) if manages else named

    async def open(self, user_id: UUID | None, *, manages: bool) -> Sequence[Any]:
        """Open questions that this member may answer, the most urgent first, at most 100."""
        query = (
            self._lines()
            .where(Approval.status == "open", self._of(user_id, manages=manages))
            .order_by(Approval.due_at, Approval.id)
            .limit(MOST)
        )
        return (await self.session.execute(query)).all()

    async def latest_closed(self) -> Sequence[Any]:
        """The latest answered or expired approvals."""
        at = func.coalesce(Approval.answered_at, Approval.due_at)
        query = (
            self._lines()
            .where(Approval.status.in_(("answered", "expired")))
            .order_by(at.desc(), Approval.id.desc())
            .limit(MOST_SETTLED)
        )
        return (await self.session.execute(query)).all()

    async def waiting(self, user_id: UUID | None, *, manages: bool) -> int:
        """How many open questions this member may answer, counted up to 100."""
        some = (
            select(Approval.id)
            .where(Approval.account_id == self.account_id, Approval.status == "open")
            .where(self._of(user_id, manages=manages))
            .limit(MOST)
        )
        count: int = await self.session.scalar(select(func.count()).select_from(some.subquery())) or 0
        return count

    async def of_visit(self, enrollment_id: UUID, seq: int) -> Any:
        """The open question of a visit, or None."""
        query = self._lines().where(
            Approval.enrollment_id == enrollment_id, Approval.seq == seq, Approval.status == "open"
        )
        return (await self.session.execute(query)).first()

    async def row(self, approval_id: UUID) -> Any:
        """One approval (the columns of a list), or None."""
        return (await self.session.execute(self._lines().where(Approval.id == approval_id))).first()

    async def locked(self, approval_id: UUID) -> Approval | None:
        """The row, locked until the transaction ends. The caller locks the enrollment first."""
        query = (
            select(Approval)
            .where(Approval.account_id == self.account_id, Approval.id == approval_id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        approval: Approval | None = await self.session.scalar(query)
        return approval
