"""Workflows: drafts as rows, revisions for undo, frozen versions, and how many contacts are at each step."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import and_, delete, func, insert, or_, select, update

from app.engine.core.draft import Draft
from app.engine.core.version import Version
from app.workflows.domain.draft_rows import ActionRow, ConditionRow, GoalRow, draft_of, rows_of
from app.workflows.domain.references import References
from db.ids import uuid7
from db.models import (
    CircuitBreaker,
    Enrollment,
    EnrollmentExecution,
    Workflow,
    WorkflowAction,
    WorkflowCondition,
    WorkflowGoal,
    WorkflowReference,
    WorkflowRevision,
    WorkflowVersion,
)
from db.tenancy import TenantRepository

HEADER = (
    Workflow.id,
    Workflow.name,
    Workflow.description,
    Workflow.status,
    Workflow.settings,
    Workflow.rev,
    Workflow.next_key,
    Workflow.live_version,
    Workflow.held,
    Workflow.created_by,
    Workflow.created_at,
    Workflow.updated_at,
)
PARTS: tuple[Any, ...] = (WorkflowGoal, WorkflowAction, WorkflowCondition)


class WorkflowRepository(TenantRepository[Workflow]):
    model_type = Workflow

    # the list and one header

    async def page(self, after: UUID | None = None, limit: int = 50) -> Sequence[Any]:
        """Headers, newest first, with `live` (the number of active enrollments); one more than `limit` when
        there are more."""
        live = (
            select(func.count())
            .where(
                Enrollment.account_id == self.account_id,
                Enrollment.workflow_id == Workflow.id,
                Enrollment.status == "active",
            )
            .correlate(Workflow)
            .scalar_subquery()
        )
        query = select(*HEADER, live.label("live")).where(Workflow.account_id == self.account_id)
        if after is not None:
            query = query.where(Workflow.id < after)
        return (await self.session.execute(query.order_by(Workflow.id.desc()).limit(limit + 1))).all()

    async def header(self, workflow_id: UUID, *, lock: bool = False) -> Any | None:
        """The workflow's own columns, None when this account has no such workflow; `lock` blocks other edits
        until the transaction ends."""
        query = select(*HEADER).where(Workflow.account_id == self.account_id, Workflow.id == workflow_id)
        if lock:  # other transactions may still refer to it
            query = query.with_for_update(key_share=True)
        return (await self.session.execute(query)).one_or_none()

    async def create(self, name: str, description: str, by: str) -> UUID:
        """A new workflow with an empty draft at revision 0."""
        workflow_id = uuid7()
        await self.session.execute(
            insert(Workflow).values(
                id=workflow_id,
                account_id=self.account_id,
                name=name,
                description=description,
                created_by=by,
                settings=msgspec.to_builtins(Draft().settings),
            )
        )
        return workflow_id

    async def change(self, workflow_id: UUID, **columns: Any) -> None:
        """Updates columns of the workflow itself."""
        await self.session.execute(
            update(Workflow)
            .where(Workflow.account_id == self.account_id, Workflow.id == workflow_id)
            .values(updated_at=func.clock_timestamp(), **columns)
        )

    # the draft

    async def draft(self, header: Any) -> Draft:
        """The draft of a workflow; the caller has read its header."""
        actions, conditions, goals = [
            (
                await self.session.execute(
                    select(*(getattr(part, name) for name in struct.__struct_fields__)).where(
                        part.account_id == self.account_id, part.workflow_id == header.id
                    )
                )
            ).all()
            for part, struct in (
                (WorkflowAction, ActionRow),
                (WorkflowCondition, ConditionRow),
                (WorkflowGoal, GoalRow),
            )
        ]
        return draft_of(
            [ActionRow(*row) for row in actions],
            [ConditionRow(*row) for row in conditions],
            [GoalRow(*row) for row in goals],
            header.settings,
            header.next_key,
        )

    async def write_draft(self, workflow_id: UUID, draft: Draft, rev: int) -> None:
        """Replaces the rows of the draft."""
        for part in PARTS:
            await self.session.execute(
                delete(part).where(part.account_id == self.account_id, part.workflow_id == workflow_id)
            )
        actions, conditions, goals = rows_of(draft)
        rows: tuple[tuple[Any, Sequence[Any]], ...] = (
            (WorkflowAction, actions),
            (WorkflowCondition, conditions),
            (WorkflowGoal, goals),
        )
        for part, part_rows in rows:
            if part_rows:
                own = {"account_id": self.account_id, "workflow_id": workflow_id}
                await self.session.execute(
                    insert(part), [own | msgspec.structs.asdict(row) for row in part_rows]
                )
        await self.change(
            workflow_id, rev=rev, next_key=draft.next_key, settings=msgspec.to_builtins(draft.settings)
        )

    # revisions

    def add_revision(
        self,
        workflow_id: UUID,
        rev: int,
        operation: str,
        draft: Draft,
        undo_to: int | None,
        redo_to: int | None,
        actor: str,
    ) -> None:
        """Stores the draft as it is after change number `rev`."""
        self.session.add(
            WorkflowRevision(
                account_id=self.account_id,
                workflow_id=workflow_id,
                rev=rev,
                operation=operation,
                draft=msgspec.to_builtins(draft),
                undo_to=undo_to,
                redo_to=redo_to,
                actor=actor,
            )
        )

    async def revision(self, workflow_id: UUID, rev: int) -> Any | None:
        """operation, draft (builtins), undo_to, redo_to, actor of one revision."""
        query = select(
            WorkflowRevision.operation,
            WorkflowRevision.draft,
            WorkflowRevision.undo_to,
            WorkflowRevision.redo_to,
            WorkflowRevision.actor,
        ).where(
            WorkflowRevision.account_id == self.account_id,
            WorkflowRevision.workflow_id == workflow_id,
            WorkflowRevision.rev == rev,
        )
        return (await self.session.execute(query)).one_or_none()

    # versions

    async def versions(self, workflow_id: UUID) -> Sequence[Any]:
        """Versions, newest first: number, content_hash, published_by, published_at."""
        query = (
            select(
                WorkflowVersion.number,
                WorkflowVersion.content_hash,
                WorkflowVersion.published_by,
                WorkflowVersion.published_at,
            )
            .where(WorkflowVersion.account_id == self.account_id, WorkflowVersion.workflow_id == workflow_id)
            .order_by(WorkflowVersion.number.desc())
            .limit(500)
        )
        return (await self.session.execute(query)).all()

    async def version(self, workflow_id: UUID, number: int) -> Any | None:
        """number, document (JSON as builtins), content_hash, published_by, published_at of one version."""
        query = select(
            WorkflowVersion.number,
            WorkflowVersion.document,
            WorkflowVersion.content_hash,
            WorkflowVersion.published_by,
            WorkflowVersion.published_at,
        ).where(
            WorkflowVersion.account_id == self.account_id,
            WorkflowVersion.workflow_id == workflow_id,
            WorkflowVersion.number == number,
        )
        return (await self.session.execute(query)).one_or_none()

    async def last_version(self, workflow_id: UUID) -> int:
        """The highest published version number; 0 when none was published."""
        query = select(func.coalesce(func.max(WorkflowVersion.number), 0)).where(
            WorkflowVersion.account_id == self.account_id, WorkflowVersion.workflow_id == workflow_id
        )
        return int(await self.session.scalar(query) or 0)

    async def add_version(
        self, version: Version, content_hash: str, by: str, used: References, at: Any
    ) -> None:
        """Stores a version with what it refers to."""
        own = {"account_id": self.account_id, "workflow_id": version.workflow_id}
        await self.session.execute(
            insert(WorkflowVersion).values(
                **own,
                number=version.number,
                document=msgspec.to_builtins(version),
                content_hash=content_hash,
                published_by=by,
                published_at=at,
            )
        )
        rows = [
            {**own, "version": version.number, "kind": kind, "target": target} for kind, target in used.rows()
        ]
        if rows:
            await self.session.execute(insert(WorkflowReference), rows)

    # enrollments by step

    async def count_by_place(self, workflow_id: UUID) -> Sequence[Any]:
        """Rows of status, version, step_key and enrollments (how many are there). An index-only scan."""
        table = Enrollment
        place = (table.status, table.version, table.step_key)
        query = (
            select(*place, func.count().label("enrollments"))
            .where(table.account_id == self.account_id, table.workflow_id == workflow_id)
            .group_by(*place)
        )
        return (await self.session.execute(query)).all()

    async def stopped(self, workflow_id: UUID) -> Sequence[Any]:
        """The steps (step_key) that a circuit breaker stops now."""
        query = select(CircuitBreaker.step_key).where(
            CircuitBreaker.account_id == self.account_id,
            CircuitBreaker.workflow_id == workflow_id,
            CircuitBreaker.state != "closed",
        )
        return (await self.session.execute(query.distinct())).all()

    async def visits(self, workflow_id: UUID) -> Sequence[Any]:
        """Finished visits: step_key, outcome, branch (the lane taken, or None), count; over all versions.
        A visit after which the step was visited again (a sending window, a missed slot) does not count."""
        branch = EnrollmentExecution.detail["branch"].astext
        query = (
            select(
                EnrollmentExecution.step_key,
                EnrollmentExecution.outcome,
                branch.label("branch"),
                func.count().label("enrollments"),
            )
            .join(
                Enrollment,
                and_(
                    Enrollment.account_id == EnrollmentExecution.account_id,
                    Enrollment.id == EnrollmentExecution.enrollment_id,
                ),
            )
            .where(
                EnrollmentExecution.account_id == self.account_id,
                Enrollment.workflow_id == workflow_id,
                EnrollmentExecution.finished_at.is_not(None),
                or_(
                    EnrollmentExecution.outcome != "passed",
                    EnrollmentExecution.detail["again"].is_(None),
                ),
            )
            .group_by(EnrollmentExecution.step_key, EnrollmentExecution.outcome, branch)
        )
        return (await self.session.execute(query)).all()
