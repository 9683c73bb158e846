"""Workflows, the revisions of their drafts for undo, and their frozen versions, row by row.

The rows of a draft are in `db/queries/workflow_drafts.py`, lists and counts in `workflow_pages.py`."""

from datetime import datetime
from uuid import UUID

import msgspec

from app.engine.core.draft import Draft
from app.engine.core.version import Version, load_version
from app.workflows.domain.references import References
from db.ids import uuid7
from db.models import Workflow, WorkflowReference, WorkflowRevision, WorkflowVersion
from db.tenancy import TenantRepository


class WorkflowRepository(TenantRepository[Workflow]):
    model_type = Workflow

    async def header(self, workflow_id: UUID, *, lock: bool = False) -> Workflow | None:
        """The workflow without its draft, None when this account has no such workflow; `lock` blocks other
        edits until the transaction ends."""
        # Other transactions may still refer to it.
        return await self.get_one_or_none(
            Workflow.id == workflow_id, with_for_update={"key_share": True} if lock else None
        )

    async def create(self, name: str, description: str, by: str) -> UUID:
        """A new workflow with an empty draft at revision 0."""
        workflow = Workflow(
            id=uuid7(),
            name=name,
            description=description,
            created_by=by,
            settings=msgspec.to_builtins(Draft().settings),
        )
        await self.add(workflow)
        return workflow.id

    async def save(self, workflow: Workflow, now: datetime) -> None:
        """Writes what was changed in a workflow that was read before."""
        workflow.updated_at = now
        await self.session.flush()


class RevisionRepository(TenantRepository[WorkflowRevision]):
    model_type = WorkflowRevision

    async def find(self, workflow_id: UUID, rev: int) -> WorkflowRevision | None:
        """The draft as it was after change number `rev`."""
        return await self.get_one_or_none(
            WorkflowRevision.workflow_id == workflow_id, WorkflowRevision.rev == rev
        )

    async def store(
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
        revision = WorkflowRevision(
            workflow_id=workflow_id,
            rev=rev,
            operation=operation,
            draft=msgspec.to_builtins(draft),
            undo_to=undo_to,
            redo_to=redo_to,
            actor=actor,
        )
        await self.add(revision)


class VersionRepository(TenantRepository[WorkflowVersion]):
    model_type = WorkflowVersion

    async def find(self, workflow_id: UUID, number: int) -> WorkflowVersion | None:
        """A published version as it is stored."""
        return await self.get_one_or_none(
            WorkflowVersion.workflow_id == workflow_id, WorkflowVersion.number == number
        )

    async def load(self, workflow_id: UUID, number: int) -> Version | None:
        """A published version."""
        stored = await self.find(workflow_id, number)
        return load_version(stored.document) if stored else None

    async def store(
        self, version: Version, content_hash: str, by: str, used: References, at: datetime
    ) -> None:
        """Stores a version with what it refers to."""
        stored = WorkflowVersion(
            workflow_id=version.workflow_id,
            number=version.number,
            document=msgspec.to_builtins(version),
            content_hash=content_hash,
            published_by=by,
            published_at=at,
        )
        await self.add(stored)
        references = [
            WorkflowReference(
                workflow_id=version.workflow_id, version=version.number, kind=kind, target=target
            )
            for kind, target in used.rows()
        ]
        self.session.add_all(references)
        await self.session.flush()
