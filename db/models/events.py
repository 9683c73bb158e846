"""What happened and what is to be done: events, audit, durable jobs, caught mail, worker heartbeats."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.ids import uuid7
from db.models.base import Base, TenantRow, of_account


class Event(TenantRow, Base):
    """An append-only fact; `matched_at` is null until triggers and goals have seen it."""

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
    data: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    root_event_id: Mapped[UUID]
    depth: Mapped[int] = mapped_column(server_default="0")
    occurred_at: Mapped[datetime]
    matched_at: Mapped[datetime | None]


class AuditLog(TenantRow, Base):
    """Who did what to what, from what to what. Only ever inserted: app_user has no UPDATE or DELETE here."""

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
    changes: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    request_id: Mapped[str | None]


class Job(TenantRow, Base):
    """Work that a person waits for (an import, a bulk edit). The row is the job; Redis only rings.
    A worker holds it by a lease and a fence; `progress` survives both."""

    __tablename__ = "jobs"
    __table_args__ = (
        of_account(),
        CheckConstraint("status in ('queued', 'running', 'done', 'failed', 'cancelled')", name="status"),
        Index(
            "ix_jobs_due", "account_id", "due_at", postgresql_where=text("status in ('queued', 'running')")
        ),
        Index("ix_jobs_created", "account_id", "created_at"),
    )

    queue: Mapped[str]
    task: Mapped[str]
    args: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    status: Mapped[str] = mapped_column(server_default="queued")
    attempts: Mapped[int] = mapped_column(server_default="0")
    max_attempts: Mapped[int] = mapped_column(server_default="5")
    fence: Mapped[int] = mapped_column(server_default="0")
    due_at: Mapped[datetime]
    lease_until: Mapped[datetime | None]
    progress: Mapped[int] = mapped_column(server_default="0")
    total: Mapped[int] = mapped_column(server_default="0")
    result: Mapped[dict[str, Any] | None]
    error: Mapped[str | None]
    actor_kind: Mapped[str]
    actor_id: Mapped[str]
    actor_name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class MailboxMessage(TenantRow, Base):
    """A message that the demo's catcher received: `channel` is email, sms or chat."""

    __tablename__ = "mailbox_messages"
    __table_args__ = (of_account(), Index(None, "account_id", "received_at"))

    channel: Mapped[str] = mapped_column(server_default="email")
    message_id: Mapped[str]
    sender: Mapped[str]
    recipient: Mapped[str]
    subject: Mapped[str]
    body: Mapped[str]
    headers: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    received_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


class Worker(Base):
    """A worker process and when it was last heard of. Belongs to no account: it says nothing about any."""

    __tablename__ = "workers"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    host: Mapped[str]
    pid: Mapped[int]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    steps: Mapped[int] = mapped_column(BigInteger, server_default="0")
    memory: Mapped[int] = mapped_column(BigInteger, server_default="0")
