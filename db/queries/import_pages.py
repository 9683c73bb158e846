"""Imports as the screens show them: with the state of their job."""

from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.imports.domain.stored import Status
from app.json_types import JsonObject
from db.models import Import, Job
from db.queries.paging import fetch_page_of
from db.queries.statements import fetch_one


class ImportRecord(msgspec.Struct, frozen=True):
    """An import without its content. `mapping` is column number to field key; `rows_…` count the verdicts of
    the check, `applied` the rows that were written to contacts."""

    id: UUID
    filename: str
    status: Status
    encoding: str
    delimiter: str
    header: list[str]
    mapping: dict[str, str]
    options: JsonObject
    rows_total: int
    rows_checked: int
    rows_new: int
    rows_changed: int
    rows_unchanged: int
    rows_bad: int
    applied: int
    job_id: UUID | None
    created_by: str
    created_at: datetime
    finished_at: datetime | None
    error: str | None
    job_status: str | None
    job_error: str | None


_IMPORTS = select(
    Import.id,
    Import.filename,
    Import.status,
    Import.encoding,
    Import.delimiter,
    Import.header,
    Import.mapping,
    Import.options,
    Import.rows_total,
    Import.rows_checked,
    Import.rows_new,
    Import.rows_changed,
    Import.rows_unchanged,
    Import.rows_bad,
    Import.applied,
    Import.job_id,
    Import.created_by,
    Import.created_at,
    Import.finished_at,
    Import.error,
    Job.status.label("job_status"),
    Job.error.label("job_error"),
).outerjoin(Job, (Job.account_id == Import.account_id) & (Job.id == Import.job_id))


async def fetch_import_page(
    session: AsyncSession, *, after: UUID | None, before: UUID | None, limit: int
) -> tuple[list[ImportRecord], bool]:
    """At most `limit` imports, newest first, older than `after` or newer than `before`, and whether
    there are more in that direction."""
    query = _IMPORTS.where(Import.account_id == session.info["account_id"])
    return await fetch_page_of(
        session, ImportRecord, query, Import.id, after=after, before=before, limit=limit
    )


async def find_import(session: AsyncSession, import_id: UUID) -> ImportRecord | None:
    """One import."""
    mine = Import.account_id == session.info["account_id"]
    return await fetch_one(session, ImportRecord, _IMPORTS.where(mine, Import.id == import_id))
