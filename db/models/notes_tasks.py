"""Notes and tasks about contacts, and the notifications of members."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, TenantRow, Timed, member_of_account, within_account


class Note(TenantRow, Base):
    """Text about a contact, by a person or a step (`author_kind` as in the audit). A deleted note stays
    until retention removes it, so that the deletion can be undone; so does a task. `body` is Markdown."""

    __tablename__ = "notes"
    __table_args__ = (
        within_account("contact_id", "contacts"),
        Index(None, "account_id", "contact_id", "created_at"),
        Index(
            "ix_notes_deleted", "account_id", "deleted_at", postgresql_where=text("deleted_at is not null")
        ),
    )

    contact_id: Mapped[UUID]
    body: Mapped[str]
    author_kind: Mapped[str]
    author_id: Mapped[str]
    author_name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    deleted_at: Mapped[datetime | None]
    edited_at: Mapped[datetime | None]


class Task(TenantRow, Timed, Base):
    """Something to do about a contact. `overdue_at` is when the engine noticed that it was late;
    another due time or reopening clears it.

    A task that `repeats` does so from `repeat_from` in `repeat_zone`; its completion adds the next one
    (`next_id`). Tasks that were completed together have one `completion_id`."""

    __tablename__ = "tasks"
    __table_args__ = (
        within_account("contact_id", "contacts"),
        member_of_account("assignee_id"),
        CheckConstraint("repeats in ('daily', 'weekly', 'monthly')", name="repeats"),
        Index(
            "ix_tasks_completion",
            "account_id",
            "completion_id",
            postgresql_where=text("completion_id is not null"),
        ),
        Index(None, "account_id", "contact_id", "created_at"),
        Index(
            "ix_tasks_open",
            "account_id",
            "due_at",
            postgresql_where=text("completed_at is null and overdue_at is null and due_at is not null"),
        ),
        Index("ix_tasks_assignee", "account_id", "assignee_id", "completed_at"),
        Index(
            "ix_tasks_deleted", "account_id", "deleted_at", postgresql_where=text("deleted_at is not null")
        ),
    )

    contact_id: Mapped[UUID]
    title: Mapped[str]
    body: Mapped[str] = mapped_column(server_default="")
    assignee_id: Mapped[UUID | None]
    due_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    completed_by: Mapped[str | None]
    completion_id: Mapped[UUID | None]
    repeats: Mapped[str | None]
    repeat_from: Mapped[datetime | None]
    repeat_zone: Mapped[str | None]
    next_id: Mapped[UUID | None]
    overdue_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    author_kind: Mapped[str]
    author_id: Mapped[str]
    author_name: Mapped[str]


class Notification(TenantRow, Base):
    """A notification of one member; `href` is a local path."""

    __tablename__ = "notifications"
    __table_args__ = (
        ForeignKeyConstraint(
            ["account_id", "user_id"], ["memberships.account_id", "memberships.user_id"], ondelete="CASCADE"
        ),
        Index(None, "account_id", "user_id", "id"),
        Index(
            "ix_notifications_unread_by_id",
            "account_id",
            "user_id",
            "id",
            postgresql_where=text("read_at is null"),
        ),
    )

    user_id: Mapped[UUID]
    title: Mapped[str]
    body: Mapped[str] = mapped_column(server_default="")
    href: Mapped[str] = mapped_column(server_default="")
    contact_id: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    read_at: Mapped[datetime | None]
