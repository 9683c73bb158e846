"""Workflows: the draft is rows, a version is one frozen document, a revision is what undo goes back to."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, StoredJson, Tenant, TenantRow, Timed, of_account, within_account


class Workflow(TenantRow, Timed, Base):
    """`rev` counts every change of the draft; `live_version` is the version that new contacts enter."""

    __tablename__ = "workflows"
    __table_args__ = (
        of_account(),
        CheckConstraint("status in ('draft', 'active', 'paused', 'archived')", name="status"),
        Index(None, "account_id", "created_at"),
    )

    name: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    status: Mapped[str] = mapped_column(server_default="draft")
    settings: Mapped[StoredJson] = mapped_column(server_default=text("'{}'::jsonb"))
    rev: Mapped[int] = mapped_column(server_default="0")
    next_key: Mapped[int] = mapped_column(server_default="1")
    live_version: Mapped[int | None]
    held: Mapped[bool] = mapped_column(server_default=text("false"))
    created_by: Mapped[str] = mapped_column(server_default="")


class WorkflowAction(Tenant, Base):
    """One step of the draft. `list_id` is "main" or "<branch step>.<branch key>"."""

    __tablename__ = "workflow_actions"
    __table_args__ = (within_account("workflow_id", "workflows"),)

    workflow_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    config: Mapped[StoredJson]
    name: Mapped[str | None]
    list_id: Mapped[str]
    position: Mapped[int]


class WorkflowCondition(Tenant, Base):
    """Triggers (`role` trigger, any of them starts) and the entry condition (`role` entry) of the draft."""

    __tablename__ = "workflow_conditions"
    __table_args__ = (
        within_account("workflow_id", "workflows"),
        CheckConstraint("role in ('trigger', 'entry')", name="role"),
    )

    workflow_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]
    position: Mapped[int]
    config: Mapped[StoredJson]


class WorkflowGoal(Tenant, Base):
    """The goals of the draft, one per goal step: they listen from entry, wherever their step is."""

    __tablename__ = "workflow_goals"
    __table_args__ = (
        ForeignKeyConstraint(
            ["account_id", "workflow_id", "step_key"],
            ["workflow_actions.account_id", "workflow_actions.workflow_id", "workflow_actions.key"],
            ondelete="CASCADE",
        ),
    )

    workflow_id: Mapped[UUID] = mapped_column(primary_key=True)
    step_key: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    config: Mapped[StoredJson]


class WorkflowRevision(Tenant, Base):
    """The draft as it was after change number `rev`; `undo_to` and `redo_to` point at other revisions."""

    __tablename__ = "workflow_revisions"
    __table_args__ = (within_account("workflow_id", "workflows"),)

    workflow_id: Mapped[UUID] = mapped_column(primary_key=True)
    rev: Mapped[int] = mapped_column(primary_key=True)
    operation: Mapped[str]
    draft: Mapped[StoredJson]
    undo_to: Mapped[int | None]
    redo_to: Mapped[int | None]
    actor: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


class WorkflowVersion(Tenant, Base):
    """Frozen by publish. Nothing updates a row of this table; app_user is not granted UPDATE."""

    __tablename__ = "workflow_versions"
    __table_args__ = (within_account("workflow_id", "workflows"),)

    workflow_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    document: Mapped[StoredJson]
    content_hash: Mapped[str]
    published_by: Mapped[str] = mapped_column(server_default="")
    published_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


class WorkflowReference(Tenant, Base):
    """What a version refers to (`kind` tag or field), for "used by"."""

    __tablename__ = "workflow_references"
    __table_args__ = (
        ForeignKeyConstraint(
            ["account_id", "workflow_id", "version"],
            ["workflow_versions.account_id", "workflow_versions.workflow_id", "workflow_versions.number"],
            ondelete="CASCADE",
        ),
        Index(None, "account_id", "kind", "target"),
    )

    workflow_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    target: Mapped[str] = mapped_column(primary_key=True)
