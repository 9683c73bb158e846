"""People moving through versions: enrollments, their executions, the ledger of effects, and decisions."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Tenant, TenantRow, within_account

LIVE = "status = 'active'"


class Enrollment(TenantRow, Base):
    """One contact in one version. `wait_until` is when its wait ends; `due_at` is when the engine looks
    next (earlier when something woke it); null while it waits for something that will wake it."""

    __tablename__ = "enrollments"
    __table_args__ = (
        within_account("contact_id", "contacts"),
        ForeignKeyConstraint(
            ["account_id", "workflow_id", "version"],
            ["workflow_versions.account_id", "workflow_versions.workflow_id", "workflow_versions.number"],
        ),
        CheckConstraint("status in ('active', 'completed', 'incomplete', 'exited', 'failed')", name="status"),
        Index(
            "ix_enrollments_due",
            "account_id",
            "due_at",
            postgresql_where=text(f"{LIVE} and due_at is not null"),
        ),
        Index(
            "uq_enrollments_live",
            "account_id",
            "workflow_id",
            "contact_id",
            unique=True,
            postgresql_where=text(LIVE),
        ),
        Index("uq_enrollments_event", "account_id", "workflow_id", "contact_id", "event_id", unique=True),
        Index("ix_enrollments_contact", "account_id", "contact_id", "entered_at"),
        Index("ix_enrollments_workflow", "account_id", "workflow_id", "status", "step_key"),
    )

    workflow_id: Mapped[UUID]
    version: Mapped[int]
    contact_id: Mapped[UUID]
    event_id: Mapped[UUID]
    root_event_id: Mapped[UUID]
    depth: Mapped[int] = mapped_column(server_default="0")
    status: Mapped[str] = mapped_column(server_default="active")
    step_key: Mapped[str | None]
    seq: Mapped[int] = mapped_column(server_default="0")
    fence: Mapped[int] = mapped_column(server_default="0")
    due_at: Mapped[datetime | None]
    wait_until: Mapped[datetime | None]
    wait_reason: Mapped[str | None]
    exit_reason: Mapped[str | None]
    goal_key: Mapped[str | None]
    error: Mapped[str | None]
    entered_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


class EnrollmentExecution(Tenant, Base):
    """One visit of one enrollment to one step; `finished_at` is null while it waits there."""

    __tablename__ = "enrollment_executions"
    __table_args__ = (within_account("enrollment_id", "enrollments"),)

    enrollment_id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    step_key: Mapped[str]
    kind: Mapped[str]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    detail: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    error: Mapped[str | None]


class Effect(TenantRow, Base):
    """Something outside the database, written before it is attempted. `begun_at` is set right before the
    call: a claim that died with it null never left the house, one with it set is in doubt."""

    __tablename__ = "effects"
    __table_args__ = (
        within_account("enrollment_id", "enrollments"),
        CheckConstraint("kind in ('email', 'webhook')", name="kind"),
        CheckConstraint(
            "status in ('pending', 'claimed', 'sent', 'failed_permanent', 'retry', 'unknown', 'cancelled')",
            name="status",
        ),
        CheckConstraint("on_doubt in ('hold', 'resend')", name="on_doubt"),
        Index("uq_effects_visit", "account_id", "enrollment_id", "seq", unique=True),
        Index(
            "ix_effects_due",
            "account_id",
            "due_at",
            postgresql_where=text("status in ('pending', 'retry', 'claimed')"),
        ),
        Index("ix_effects_status", "account_id", "kind", "status", "created_at"),
    )

    enrollment_id: Mapped[UUID]
    seq: Mapped[int]
    workflow_id: Mapped[UUID]
    contact_id: Mapped[UUID]
    step_key: Mapped[str]
    kind: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="pending")
    idempotency_key: Mapped[str]
    payload: Mapped[dict[str, Any]]
    on_doubt: Mapped[str]
    attempts: Mapped[int] = mapped_column(server_default="0")
    fence: Mapped[int] = mapped_column(server_default="0")
    due_at: Mapped[datetime]
    lease_until: Mapped[datetime | None]
    begun_at: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    result: Mapped[dict[str, Any] | None]
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


class TriggerDecision(Tenant, Base):
    """Why an event did or did not start a workflow for its subject, with the values seen."""

    __tablename__ = "trigger_decisions"
    __table_args__ = (
        within_account("workflow_id", "workflows"),
        Index(None, "account_id", "contact_id", "decided_at"),
    )

    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    workflow_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    contact_id: Mapped[UUID]
    verdict: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    decided_at: Mapped[datetime]
