"""What happened: events, which the engine matches, and the audit log."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, StoredJson, TenantRow, of_account


class Event(TenantRow, Base):
    """An append-only fact; `matched_at` is null until the engine matched it to triggers and goals."""

    __tablename__ = "events"
    __table_args__ = (
        of_account(),
        CheckConstraint("source in ('user', 'api', 'bulk', 'import', 'workflow', 'system')", name="source"),
        Index("ix_events_unmatched", "account_id", "id", postgresql_where=text("matched_at is null")),
        Index("ix_events_subject", "account_id", "subject_id", "id"),
    )

    kind: Mapped[str]
    subject_id: Mapped[UUID]
    source: Mapped[str]
    data: Mapped[StoredJson] = mapped_column(server_default=text("'{}'::jsonb"))
    root_event_id: Mapped[UUID]
    depth: Mapped[int] = mapped_column(server_default="0")
    occurred_at: Mapped[datetime]
    matched_at: Mapped[datetime | None]


class AuditLog(TenantRow, Base):
    """An audit entry: actor, action, subject, changes. Insert only: app_user has no UPDATE or DELETE here.
    `rev` is the revision of the contact that it is about, after the change; null in older entries."""

    __tablename__ = "audit_logs"
    __table_args__ = (
        of_account(),
        Index("ix_audit_logs_subject", "account_id", "subject_kind", "subject_id", "id"),
    )

    occurred_at: Mapped[datetime]
    actor_kind: Mapped[str]
    actor_id: Mapped[str]
    actor_name: Mapped[str]
    action: Mapped[str]
    subject_kind: Mapped[str]
    subject_id: Mapped[str]
    changes: Mapped[StoredJson] = mapped_column(server_default=text("'{}'::jsonb"))
    request_id: Mapped[str | None]
    rev: Mapped[int | None]
