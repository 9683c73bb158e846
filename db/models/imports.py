"""An import: one file, its mapping, and one row per line of it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, deferred, mapped_column

from db.models.base import Base, StoredJson, Tenant, TenantRow, Timed, of_account, within_account


class Import(TenantRow, Timed, Base):
    """`content` is the upload as it came; `rows_*` are the verdicts of the check, `applied` how many rows
    the running job has written."""

    __tablename__ = "imports"
    __table_args__ = (
        of_account(),
        CheckConstraint(
            "status in ('uploaded', 'checking', 'ready', 'running', 'done', 'failed', 'cancelled')",
            name="status",
        ),
        Index(None, "account_id", "created_at"),
    )

    filename: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="uploaded")
    content: Mapped[bytes] = deferred(mapped_column(LargeBinary))
    encoding: Mapped[str] = mapped_column(server_default="")
    delimiter: Mapped[str] = mapped_column(server_default="")
    header: Mapped[list[str]] = mapped_column(server_default=text("'[]'::jsonb"))
    mapping: Mapped[dict[str, str]] = mapped_column(server_default=text("'{}'::jsonb"))
    options: Mapped[StoredJson] = mapped_column(server_default=text("'{}'::jsonb"))
    rows_total: Mapped[int] = mapped_column(server_default="0")
    rows_checked: Mapped[int] = mapped_column(server_default="0")
    rows_new: Mapped[int] = mapped_column(server_default="0")
    rows_changed: Mapped[int] = mapped_column(server_default="0")
    rows_unchanged: Mapped[int] = mapped_column(server_default="0")
    rows_bad: Mapped[int] = mapped_column(server_default="0")
    applied: Mapped[int] = mapped_column(server_default="0")
    job_id: Mapped[UUID | None]
    created_by: Mapped[str] = mapped_column(server_default="")
    finished_at: Mapped[datetime | None]
    error: Mapped[str | None]


class ImportRow(Tenant, Base):
    __tablename__ = "import_rows"
    __table_args__ = (
        within_account("import_id", "imports"),
        CheckConstraint("verdict in ('new', 'changed', 'unchanged', 'bad')", name="verdict"),
        Index(
            "ix_import_rows_todo",
            "account_id",
            "import_id",
            "line",
            postgresql_where=text("applied_at is null"),
        ),
    )

    import_id: Mapped[UUID] = mapped_column(primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    cells: Mapped[list[str]]
    values: Mapped[StoredJson] = mapped_column(server_default=text("'{}'::jsonb"))
    verdict: Mapped[str]
    reason: Mapped[str | None]
    contact_id: Mapped[UUID | None]
    applied_at: Mapped[datetime | None]
