"""Enrollments in versions: their executions, the effects ledger, and decisions."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, StoredJson, Tenant, TenantRow, within_account

LIVE = "status = 'active'"
# Only `due_accounts` names it: what is due in one workflow must not be read from an index of whole accounts.
ONLY_ACCOUNTS = "due_at > '-infinity'"


class Enrollment(TenantRow, Base):
    """One contact in one version. `wait_until` is when its wait ends; `due_at` is when the engine looks
    next (earlier when something woke it); null while it waits for something that will wake it.

    `entry_key` tells live enrollments of one contact apart where a workflow allows several; `data` holds what
    the starting event carried ("event") and captured responses ("response"); `wake_event_id` is the event
    that an event wait was woken by; `paused_at` keeps everything as it is until a member resumes it;
    `contact_deleted` marks those that a contact's deletion started: they run without the contact.

    `fence` grows with each write of an advance or a command, not with a claim: the lock of the row protects a
    running batch. It is checked when a poison enrollment is parked, after its batch has been rolled back."""

    __tablename__ = "enrollments"
    __table_args__ = (
        within_account("contact_id", "contacts"),
        ForeignKeyConstraint(
            ["account_id", "workflow_id", "version"],
            ["workflow_versions.account_id", "workflow_versions.workflow_id", "workflow_versions.number"],
        ),
        CheckConstraint("status in ('active', 'completed', 'incomplete', 'exited', 'failed')", name="status"),
        Index(
            "ix_enrollments_due_of_account",
            "account_id",
            "due_at",
            postgresql_where=text(f"{LIVE} and {ONLY_ACCOUNTS}"),
        ),
        Index(
            "ix_enrollments_due_of_workflow",
            "account_id",
            "workflow_id",
            "due_at",
            postgresql_where=text(f"{LIVE} and due_at is not null"),
        ),
        Index(
            "uq_enrollments_live",
            "account_id",
            "workflow_id",
            "contact_id",
            "entry_key",
            unique=True,
            postgresql_where=text(LIVE),
        ),
        Index("uq_enrollments_event", "account_id", "workflow_id", "contact_id", "event_id", unique=True),
        Index("ix_enrollments_contact", "account_id", "contact_id", "entered_at"),
        Index("ix_enrollments_standing", "account_id", "workflow_id", "status", "step_key", "version"),
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
    entry_key: Mapped[str] = mapped_column(server_default="")
    data: Mapped[StoredJson] = mapped_column(server_default=text("'{}'::jsonb"))
    wake_event_id: Mapped[UUID | None]
    paused_at: Mapped[datetime | None]
    contact_deleted: Mapped[bool] = mapped_column(server_default=text("false"))
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
    detail: Mapped[StoredJson] = mapped_column(server_default=text("'{}'::jsonb"))
    error: Mapped[str | None]


class Effect(TenantRow, Base):
    """Something outside the database, written before it is attempted. `started_at` is set right before the
    call: if the worker dies while it is null, nothing was sent; if it dies later, the effect is in doubt.
    `attempted_at` is set with it and never cleared: without it no attempt was ever begun (`NEVER_TRIED`).

    `fence` grows with each claim and with each command that ends one; retrying an effect that waits for its
    next attempt leaves it. Every later write of the claim names it and changes no row if it is old."""

    __tablename__ = "effects"
    __table_args__ = (
        within_account("enrollment_id", "enrollments"),
        CheckConstraint("kind in ('email', 'sms', 'chat', 'webhook')", name="kind"),
        CheckConstraint(
            "status in ('pending', 'claimed', 'sent', 'failed_permanent', 'retry', 'unknown', 'cancelled')",
            name="status",
        ),
        CheckConstraint("on_doubt in ('hold', 'resend')", name="on_doubt"),
        Index("uq_effects_visit", "account_id", "enrollment_id", "seq", unique=True),
        Index(
            "ix_effects_due_of_account",
            "account_id",
            "due_at",
            postgresql_where=text(f"status in ('pending', 'retry', 'claimed') and {ONLY_ACCOUNTS}"),
        ),
        Index(
            "ix_effects_due_of_workflow",
            "account_id",
            "workflow_id",
            "due_at",
            postgresql_where=text("status in ('pending', 'retry', 'claimed')"),
        ),
        Index("ix_effects_claimed", "account_id", "lease_until", postgresql_where=text("status = 'claimed'")),
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
    payload: Mapped[StoredJson]
    on_doubt: Mapped[str]
    attempts: Mapped[int] = mapped_column(server_default="0")
    fence: Mapped[int] = mapped_column(server_default="0")
    due_at: Mapped[datetime]
    lease_until: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    attempted_at: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    result: Mapped[StoredJson | None]
    error: Mapped[str | None]
    error_class: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


class EnrollmentMove(TenantRow, Base):
    """An enrollment that was taken to another version when that was published; without such a row the
    version of an enrollment never changes."""

    __tablename__ = "enrollment_moves"
    __table_args__ = (
        within_account("enrollment_id", "enrollments"),
        Index(None, "account_id", "enrollment_id"),
    )

    enrollment_id: Mapped[UUID]
    from_version: Mapped[int]
    to_version: Mapped[int]
    from_step: Mapped[str | None]
    to_step: Mapped[str | None]
    moved_by: Mapped[str]
    moved_at: Mapped[datetime]


class Approval(TenantRow, Base):
    """A question that one enrollment waits with: an answer takes its lane, `due_at` the lane of the timeout.
    `options` is [{key, name}]; `users` the ids of those who may answer (empty: all who may manage
    enrollments)."""

    __tablename__ = "approvals"
    __table_args__ = (
        within_account("enrollment_id", "enrollments"),
        CheckConstraint("status in ('open', 'answered', 'expired', 'withdrawn')", name="status"),
        Index("uq_approvals_visit", "account_id", "enrollment_id", "seq", unique=True),
        Index("ix_approvals_open", "account_id", "due_at", postgresql_where=text("status = 'open'")),
    )

    enrollment_id: Mapped[UUID]
    seq: Mapped[int]
    workflow_id: Mapped[UUID]
    contact_id: Mapped[UUID]
    step_key: Mapped[str]
    question: Mapped[str]
    options: Mapped[list[dict[str, str]]]
    users: Mapped[list[str]] = mapped_column(server_default=text("'[]'::jsonb"))
    due_at: Mapped[datetime]
    status: Mapped[str] = mapped_column(server_default="open")
    answer: Mapped[str | None]
    answered_by: Mapped[str | None]
    answered_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


class CircuitBreaker(Tenant, Base):
    """The breaker of one step and one class of error. `sample` is what its decision needs; while it is open
    nothing of the step is attempted; after `until`, one effect is attempted as a probe."""

    __tablename__ = "circuit_breakers"
    __table_args__ = (
        within_account("workflow_id", "workflows"),
        CheckConstraint("state in ('closed', 'open', 'half_open')", name="state"),
    )

    workflow_id: Mapped[UUID] = mapped_column(primary_key=True)
    step_key: Mapped[str] = mapped_column(primary_key=True)
    error_class: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(server_default="closed")
    opened_at: Mapped[datetime | None]
    until: Mapped[datetime | None]
    sample: Mapped[StoredJson] = mapped_column(server_default=text("'{}'::jsonb"))
    changed_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


class StepState(Tenant, Base):
    """What a step stores across the enrollments that pass it: whose turn it is, which drip slots are
    taken."""

    __tablename__ = "step_states"
    __table_args__ = (within_account("workflow_id", "workflows"),)

    workflow_id: Mapped[UUID] = mapped_column(primary_key=True)
    step_key: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[StoredJson]


class EnrollmentMigration(Tenant, Base):
    """An enrollment that a job still has to move to the version that was published. `choice` is the position
    of its choice in the job's arguments. Until the job has done it, the enrollment doesn't advance."""

    __tablename__ = "enrollment_migrations"
    __table_args__ = (
        within_account("enrollment_id", "enrollments"),
        within_account("job_id", "jobs"),
    )

    enrollment_id: Mapped[UUID] = mapped_column(primary_key=True)
    job_id: Mapped[UUID]
    choice: Mapped[int]


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
    detail: Mapped[StoredJson] = mapped_column(server_default=text("'{}'::jsonb"))
    decided_at: Mapped[datetime]
