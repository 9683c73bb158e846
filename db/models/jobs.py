"""Jobs: background work that a member or a schedule started."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, StoredJson, TenantRow, of_account


class Job(TenantRow, Base):
    """Background work that a member started (an import, a bulk edit), or one occurrence of a schedule. The
    row is the job; Redis only notifies. `fence` grows with each claim, retry and cancellation; every later
    write of the claim names it and changes no row if it is old. `progress` outlives a claim."""

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
    args: Mapped[StoredJson] = mapped_column(server_default=text("'{}'::jsonb"))
    status: Mapped[str] = mapped_column(server_default="queued")
    attempts: Mapped[int] = mapped_column(server_default="0")
    max_attempts: Mapped[int] = mapped_column(server_default="5")
    fence: Mapped[int] = mapped_column(server_default="0")
    due_at: Mapped[datetime]
    lease_until: Mapped[datetime | None]
    progress: Mapped[int] = mapped_column(server_default="0")
    total: Mapped[int] = mapped_column(server_default="0")
    result: Mapped[StoredJson | None]
    error: Mapped[str | None]
    actor_kind: Mapped[str]
    actor_id: Mapped[str]
    actor_name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
