"""Enrollments: lists, the path of one, and the rows that commands lock."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, select, text, update

from db.models import (
    Contact,
    Effect,
    Enrollment,
    EnrollmentExecution,
    EnrollmentMove,
    Event,
    TriggerDecision,
    Workflow,
    WorkflowVersion,
)
from db.paging import fetch_page
from db.queries.contact_pages import MOST_COUNTED
from db.queries.step_contexts import read_account_members
from db.tenancy import TenantRepository

COLUMNS = (
    Enrollment.id,
    Enrollment.workflow_id,
    Workflow.name.label("workflow_name"),
    Workflow.held,
    Workflow.live_version,
    Enrollment.version,
    Enrollment.contact_id,
    Contact.first_name,
    Contact.last_name,
    Contact.email,
    Contact.deleted_at,
    Enrollment.event_id,
    Enrollment.status,
    Enrollment.step_key,
    Enrollment.seq,
    Enrollment.wait_reason,
    Enrollment.wait_until,
    Enrollment.due_at,
    Enrollment.exit_reason,
    Enrollment.goal_key,
    Enrollment.error,
    Enrollment.paused_at,
    Enrollment.entered_at,
    Enrollment.ended_at,
    Effect.kind.label("effect_kind"),
    Effect.status.label("effect_status"),
    Effect.attempts.label("effect_attempts"),
    Effect.due_at.label("effect_due_at"),
    Effect.error.label("effect_error"),
)


# Reads the index for one workflow and status at a time, no further than is shown: counting whole groups row
# by row takes too long in a list of a million. And reads nothing but the index: for so few rows the planner
# expects to find them soon by a table scan, and where there are none it scans the whole table for each
# workflow and status.
SET_INDEX_ONLY = text("""
select set_config('enable_seqscan', :others, true), set_config('enable_bitmapscan', :others, true)
""")
COUNT_BY_STATUS = text("""
select s.status, (select count(*) from (
          select from workflows w,
                 lateral (select from enrollments e
                           where e.account_id = w.account_id and e.workflow_id = w.id and e.status = s.status
                           limit :most) x
           where w.account_id = current_account()
             and (cast(:workflow as uuid) is null or w.id = cast(:workflow as uuid))
           limit :most) y) as enrollments
  from unnest(array['active', 'completed', 'incomplete', 'exited', 'failed']) s(status)
""")


class EnrollmentRepository(TenantRepository[Enrollment]):
    model_type = Enrollment

    def _joined(self) -> Any:
        return (
            select(*COLUMNS)
            .join(
                Workflow,
                and_(Workflow.account_id == Enrollment.account_id, Workflow.id == Enrollment.workflow_id),
            )
            .join(
                Contact,
                and_(Contact.account_id == Enrollment.account_id, Contact.id == Enrollment.contact_id),
            )
            .outerjoin(
                Effect,
                and_(
                    Effect.account_id == Enrollment.account_id,
                    Effect.enrollment_id == Enrollment.id,
                    Effect.seq == Enrollment.seq,
                ),
            )
            .where(Enrollment.account_id == self.account_id)
        )

    async def page(
        self,
        *,
        workflow_id: UUID | None = None,
        contact_id: UUID | None = None,
        status: str = "",
        step: str = "",
        q: str = "",
        after: UUID | None = None,
        before: UUID | None = None,
        limit: int = 50,
    ) -> tuple[Sequence[Any], bool]:
        """At most `limit` enrollments (COLUMNS), newest first, older than `after` or newer than `before`, and
        whether there are more in that direction. `q` is a part of the contact's name or email address."""
        query = self._joined()
        for column, value in (
            (Enrollment.workflow_id, workflow_id),
            (Enrollment.contact_id, contact_id),
            (Enrollment.status, status),
            (Enrollment.step_key, step),
        ):
            query = query.where(column == value) if value else query
        if q:
            query = query.where(Contact.search.contains(q.lower(), autoescape=True))
        return await fetch_page(self.session, query, Enrollment.id, after=after, before=before, limit=limit)

    async def counts(self, workflow_id: UUID | None = None) -> dict[str, int]:
        """How many enrollments have each status, counted up to one more than MOST_COUNTED."""
        parameters = {"workflow": workflow_id, "most": MOST_COUNTED + 1}
        await self.session.execute(SET_INDEX_ONLY, {"others": "off"})
        rows = (await self.session.execute(COUNT_BY_STATUS, parameters)).all()
        await self.session.execute(SET_INDEX_ONLY, {"others": "on"})
        return {row.status: row.enrollments for row in rows}

    async def row(self, enrollment_id: UUID) -> Any:
        """One enrollment (COLUMNS); None when there is none."""
        return (
            await self.session.execute(self._joined().where(Enrollment.id == enrollment_id))
        ).one_or_none()

    async def locked(self, enrollment_id: UUID) -> Enrollment | None:
        """The row, locked until the transaction ends."""
        query = (
            select(Enrollment)
            .where(Enrollment.account_id == self.account_id, Enrollment.id == enrollment_id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        enrollment: Enrollment | None = await self.session.scalar(query)
        return enrollment

    async def path(self, enrollment_id: UUID) -> Sequence[Any]:
        """The visits so far, in order."""
        table = EnrollmentExecution
        query = (
            select(
                table.seq, table.step_key, table.kind, table.started_at, table.finished_at, table.outcome,
                table.detail, table.error,
            )
            .where(table.account_id == self.account_id, table.enrollment_id == enrollment_id)
            .order_by(table.seq)
        )  # fmt: skip
        return (await self.session.execute(query)).all()

    async def open_visit(self, enrollment_id: UUID, seq: int) -> EnrollmentExecution | None:
        """The visit that is not finished yet, or None."""
        table = EnrollmentExecution
        query = select(table).where(
            table.account_id == self.account_id,
            table.enrollment_id == enrollment_id,
            table.seq == seq,
            table.finished_at.is_(None),
        )
        visit: EnrollmentExecution | None = await self.session.scalar(query)
        return visit

    async def effects(self, enrollment_id: UUID) -> Sequence[Any]:
        """The effects of an enrollment, in order."""
        query = (
            select(
                Effect.id, Effect.seq, Effect.kind, Effect.status, Effect.step_key, Effect.payload,
                Effect.attempts, Effect.due_at, Effect.sent_at, Effect.started_at, Effect.error,
                Effect.result,
            )
            .where(Effect.account_id == self.account_id, Effect.enrollment_id == enrollment_id)
            .order_by(Effect.seq)
        )  # fmt: skip
        return (await self.session.execute(query)).all()

    async def decision(self, event_id: UUID, workflow_id: UUID) -> Any:
        """Why the contact entered: verdict, detail, decided_at, kind and source of the event; None when that
        expired."""
        query = (
            select(
                TriggerDecision.verdict, TriggerDecision.detail, TriggerDecision.decided_at,
                Event.kind, Event.source, Event.data,
            )
            .outerjoin(
                Event,
                and_(
                    Event.account_id == TriggerDecision.account_id, Event.id == TriggerDecision.event_id
                ),
            )
            .where(
                TriggerDecision.account_id == self.account_id,
                TriggerDecision.event_id == event_id,
                TriggerDecision.workflow_id == workflow_id,
            )
        )  # fmt: skip
        return (await self.session.execute(query)).one_or_none()

    async def moves(self, enrollment_id: UUID) -> Sequence[Any]:
        """Its moves between versions: the columns of EnrollmentMove, in order."""
        query = (
            select(
                EnrollmentMove.from_version, EnrollmentMove.to_version, EnrollmentMove.from_step,
                EnrollmentMove.to_step, EnrollmentMove.moved_by, EnrollmentMove.moved_at,
            )
            .where(
                EnrollmentMove.account_id == self.account_id, EnrollmentMove.enrollment_id == enrollment_id
            )
            .order_by(EnrollmentMove.id)
        )  # fmt: skip
        return (await self.session.execute(query)).all()

    async def document(self, workflow_id: UUID, version: int) -> Any:
        """The frozen document of a version; None when there is none."""
        return await self.session.scalar(
            select(WorkflowVersion.document).where(
                WorkflowVersion.account_id == self.account_id,
                WorkflowVersion.workflow_id == workflow_id,
                WorkflowVersion.number == version,
            )
        )

    async def workflow(self, workflow_id: UUID) -> Any:
        """id, name, status, held, live_version; None when there is none."""
        columns = (Workflow.id, Workflow.name, Workflow.status, Workflow.held, Workflow.live_version)
        query = select(*columns).where(Workflow.account_id == self.account_id, Workflow.id == workflow_id)
        return (await self.session.execute(query)).one_or_none()

    async def workflow_names(self) -> Sequence[Any]:
        """id and name of the workflows, by name."""
        query = select(Workflow.id, Workflow.name).where(Workflow.account_id == self.account_id)
        return (await self.session.execute(query.order_by(Workflow.name, Workflow.id).limit(500))).all()

    async def member_names(self) -> dict[str, str]:
        """The account's members by id."""
        return {str(member.id): member.name for member in await read_account_members(self.session)}

    async def contact_ids(self, *, ids: Sequence[UUID] = (), email: str = "") -> list[UUID]:
        """The ids, out of these, of live contacts of this account."""
        query = select(Contact.id).where(
            Contact.account_id == self.account_id,
            Contact.deleted_at.is_(None),
            Contact.email == email if email else Contact.id.in_(ids),
        )
        return list(await self.session.scalars(query))

    async def close_visits(self, ids: Sequence[UUID], detail: dict[str, Any], now: datetime) -> None:
        """Closes the unfinished visits of these enrollments as left."""
        table = EnrollmentExecution
        await self.session.execute(
            update(table)
            .where(
                table.account_id == self.account_id,
                table.enrollment_id.in_(ids),
                table.finished_at.is_(None),
            )
            .values(finished_at=now, outcome="left", detail=table.detail.concat(detail))
        )

    async def live_in(self, workflow_id: UUID, contact_id: UUID, entry_key: str) -> UUID | None:
        """The contact's active enrollment in a workflow with this key, or None."""
        enrollment_id: UUID | None = await self.session.scalar(
            select(Enrollment.id).where(
                Enrollment.account_id == self.account_id,
                Enrollment.workflow_id == workflow_id,
                Enrollment.contact_id == contact_id,
                Enrollment.entry_key == entry_key,
                Enrollment.status == "active",
            )
        )
        return enrollment_id
