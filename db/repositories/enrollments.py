"""Enrollments, their visits and their moves between versions, row by row. Pages of them are in
`db/queries/enrollment_pages.py`."""

from uuid import UUID

from db.models import Enrollment, EnrollmentExecution, EnrollmentMove
from db.tenancy import TenantRepository


class EnrollmentRepository(TenantRepository[Enrollment]):
    model_type = Enrollment

    async def lock(self, enrollment_id: UUID) -> Enrollment | None:
        """The row, locked until the transaction ends."""
        return await self.get_one_or_none(Enrollment.id == enrollment_id, with_for_update=True)

    async def is_in(self, workflow_id: UUID, contact_id: UUID, entry_key: str) -> bool:
        """Whether the contact has an active enrollment in the workflow with this key."""
        return await self.exists(
            Enrollment.workflow_id == workflow_id,
            Enrollment.contact_id == contact_id,
            Enrollment.entry_key == entry_key,
            Enrollment.status == "active",
        )


class VisitRepository(TenantRepository[EnrollmentExecution]):
    model_type = EnrollmentExecution

    async def of(self, enrollment_id: UUID) -> list[EnrollmentExecution]:
        """The visits of an enrollment so far, in order."""
        return await self.get_many(
            EnrollmentExecution.enrollment_id == enrollment_id, order_by=EnrollmentExecution.seq.asc()
        )

    async def open(self, enrollment_id: UUID, seq: int) -> EnrollmentExecution | None:
        """The visit with this number, None if it is finished."""
        return await self.get_one_or_none(
            EnrollmentExecution.enrollment_id == enrollment_id,
            EnrollmentExecution.seq == seq,
            EnrollmentExecution.finished_at.is_(None),
        )


class MoveRepository(TenantRepository[EnrollmentMove]):
    model_type = EnrollmentMove

    async def of(self, enrollment_id: UUID) -> list[EnrollmentMove]:
        """The moves of an enrollment between versions, in order."""
        return await self.get_many(
            EnrollmentMove.enrollment_id == enrollment_id, order_by=EnrollmentMove.id.asc()
        )
