"""Reads and writes imports and their rows."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import bindparam, delete, func, select, text, update

from db.models import Import, ImportRow, Job, Tag
from db.paging import fetch_page
from db.repositories.tags import slug_of
from db.tenancy import TenantRepository

PAGE = 50
COLUMNS = (
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
)
IMPORTS_WITH_JOB = (
    select(*COLUMNS)
    .outerjoin(Job, (Job.account_id == Import.account_id) & (Job.id == Import.job_id))
    .where(Import.account_id == bindparam("account"))
)
IMPORT_BY_ID = IMPORTS_WITH_JOB.where(Import.id == bindparam("id"))
LOCK_IMPORT = select(Import.id).where(Import.account_id == bindparam("account"), Import.id == bindparam("id"))
ROW_COLUMNS = (
    ImportRow.line,
    ImportRow.cells,
    ImportRow.values,
    ImportRow.verdict,
    ImportRow.reason,
    ImportRow.contact_id,
)
ROW_NAMES = ("line", "cells", "values", "verdict", "reason", "contact_id")
SELECT_UNAPPLIED_ROWS = (
    select(*ROW_COLUMNS)
    .where(
        ImportRow.account_id == bindparam("account"),
        ImportRow.import_id == bindparam("import_id"),
        ImportRow.applied_at.is_(None),
    )
    .order_by(ImportRow.line)
    .limit(bindparam("most"))
)
INSERT_ROWS = text(
    "insert into import_rows (account_id, import_id, line, cells, values, verdict, reason, contact_id,"
    " applied_at) select :account, :import_id, r.line, r.cells::jsonb, r.values::jsonb, r.verdict, r.reason,"
    " r.contact_id, case when r.verdict in ('bad', 'unchanged') then cast(:now as timestamptz) end"
    " from unnest(cast(:line as int[]), cast(:cells as text[]), cast(:values as text[]),"
    " cast(:verdict as text[]), cast(:reason as text[]), cast(:contact_id as uuid[]))"
    " as r(line, cells, values, verdict, reason, contact_id)"
)
MARK_ROWS_APPLIED = text(
    "update import_rows i set verdict = r.verdict, reason = r.reason, contact_id = r.contact_id,"
    " applied_at = :now from unnest(cast(:line as int[]), cast(:verdict as text[]),"
    " cast(:reason as text[]), cast(:contact_id as uuid[])) as r(line, verdict, reason, contact_id)"
    " where i.account_id = :account and i.import_id = :import_id and i.line = r.line"
)
SELECT_MATCHABLE_ROWS = text(
    "select line, values -> 'set' as values from import_rows where account_id = :account"
    " and import_id = :import_id and values <> '{}'::jsonb order by line"
)


def as_text(value: object) -> str:
    """JSON text for a jsonb column that is written through an array."""
    return msgspec.json.encode(value).decode()


class ImportRepository(TenantRepository[Import]):
    model_type = Import

    async def page(self, before: UUID | None = None, after: UUID | None = None) -> tuple[list[Any], bool]:
        """One page of imports, newest first, and whether there are more in that direction."""
        return await fetch_page(
            self.session, IMPORTS_WITH_JOB, Import.id, after=after, before=before, limit=PAGE,
            parameters={"account": self.account_id},
        )  # fmt: skip

    async def find(self, import_id: UUID) -> Any | None:
        """One import with the state of its job, without its content."""
        values = {"account": self.account_id, "id": import_id}
        return (await self.session.execute(IMPORT_BY_ID, values)).one_or_none()

    async def lock(self, import_id: UUID) -> Any | None:
        """The same import, locked until the transaction ends."""
        values = {"account": self.account_id, "id": import_id}
        if await self.session.scalar(LOCK_IMPORT.with_for_update(), values) is None:
            return None
        return (await self.session.execute(IMPORT_BY_ID, values)).one_or_none()

    async def content(self, import_id: UUID) -> bytes:
        """The file as it was uploaded."""
        query = select(Import.content).where(Import.account_id == self.account_id, Import.id == import_id)
        content: bytes | None = await self.session.scalar(query)
        return content or b""

    async def change(self, import_id: UUID, **values: Any) -> None:
        """Sets columns of one import."""
        await self.session.execute(
            update(Import)
            .where(Import.account_id == self.account_id, Import.id == import_id)
            .values(updated_at=func.clock_timestamp(), **values)
        )

    async def set_job_progress(self, job_id: UUID, progress: int, total: int) -> None:
        """Sets the progress of the job."""
        await self.session.execute(
            update(Job)
            .where(Job.account_id == self.account_id, Job.id == job_id)
            .values(progress=progress, total=total)
        )

    async def lock_job(self, job_id: UUID) -> None:
        """Waits for the job's running batch to commit, then locks the job until the transaction ends."""
        query = select(Job.id).where(Job.account_id == self.account_id, Job.id == job_id)
        await self.session.execute(query.with_for_update())

    async def tag_ids(self, names: Sequence[str]) -> dict[str, UUID]:
        """The ids, by name, of those of these tags that exist."""
        names_by_slug = {slug_of(name): name for name in names}
        query = select(Tag.slug, Tag.id).where(Tag.account_id == self.account_id, Tag.slug.in_(names_by_slug))
        return {names_by_slug[row.slug]: row.id for row in await self.session.execute(query)}

    # rows

    async def delete_rows(self, import_id: UUID) -> None:
        """Deletes the rows with their verdicts, before another check."""
        await self.session.execute(
            delete(ImportRow).where(ImportRow.account_id == self.account_id, ImportRow.import_id == import_id)
        )

    async def take_rows(self, import_id: UUID, lines: Sequence[int]) -> Sequence[Any]:
        """Deletes accepted rows and returns them, so that they can be judged again."""
        if not lines:
            return []
        query = delete(ImportRow).where(
            ImportRow.account_id == self.account_id,
            ImportRow.import_id == import_id,
            ImportRow.line.in_(lines),
            ImportRow.verdict != "bad",
        )
        return (await self.session.execute(query.returning(*ROW_COLUMNS))).all()

    async def add_rows(self, import_id: UUID, rows: Iterable[Mapping[str, Any]], now: datetime) -> None:
        """Inserts verdicts: line, cells, values, verdict, reason, contact_id. Bad and unchanged rows count as
        applied."""
        batch = list(rows)
        columns: dict[str, Any] = {name: [row[name] for row in batch] for name in ROW_NAMES}
        columns["cells"] = [as_text(cells) for cells in columns["cells"]]
        columns["values"] = [as_text(values) for values in columns["values"]]
        where = {"account": self.account_id, "import_id": import_id, "now": now}
        await self.session.execute(INSERT_ROWS, columns | where)

    async def mark_applied(self, import_id: UUID, rows: Iterable[Mapping[str, Any]], now: datetime) -> None:
        """Marks rows as applied, with the verdict at that time."""
        batch = list(rows)
        names = ("line", "verdict", "reason", "contact_id")
        columns: dict[str, Any] = {name: [row[name] for row in batch] for name in names}
        where = {"account": self.account_id, "import_id": import_id, "now": now}
        await self.session.execute(MARK_ROWS_APPLIED, columns | where)

    async def unapplied_rows(self, import_id: UUID, most: int) -> Sequence[Any]:
        """The next rows to apply, by line."""
        values = {"account": self.account_id, "import_id": import_id, "most": most}
        return (await self.session.execute(SELECT_UNAPPLIED_ROWS, values)).all()

    async def last_line(self, import_id: UUID) -> int:
        """The last line that has a verdict; 0 without any."""
        query = select(func.max(ImportRow.line)).where(
            ImportRow.account_id == self.account_id, ImportRow.import_id == import_id
        )
        return int(await self.session.scalar(query) or 0)

    async def matchable_rows(self, import_id: UUID) -> Sequence[Any]:
        """Line and the fields to set (`values.set`) of every row whose `values` are not empty, by line."""
        values = {"account": self.account_id, "import_id": import_id}
        return (await self.session.execute(SELECT_MATCHABLE_ROWS, values)).all()

    async def samples(self, import_id: UUID, verdict: str, most: int) -> Sequence[Any]:
        """The first rows of a verdict."""
        query = (
            select(*ROW_COLUMNS)
            .where(
                ImportRow.account_id == self.account_id,
                ImportRow.import_id == import_id,
                ImportRow.verdict == verdict,
            )
            .order_by(ImportRow.line)
            .limit(most)
        )
        return (await self.session.execute(query)).all()

    async def bad_reasons(self, import_id: UUID, most: int) -> Sequence[Any]:
        """Why rows are bad: reason and count, the most frequent first."""
        query = (
            select(ImportRow.reason, func.count().label("count"))
            .where(
                ImportRow.account_id == self.account_id,
                ImportRow.import_id == import_id,
                ImportRow.verdict == "bad",
            )
            .group_by(ImportRow.reason)
            .order_by(func.count().desc(), ImportRow.reason)
            .limit(most)
        )
        return (await self.session.execute(query)).all()

    async def matched_by_external_id(self, import_id: UUID, most: int) -> tuple[int, int, Sequence[Any]]:
        """How many rows an external ID matches to a contact, how many of these have another name or email
        than the contact, and the first rows: those that differ come first."""
        differs = ImportRow.values["by_external_id"]["differs"].as_boolean()
        mine = (
            ImportRow.account_id == self.account_id,
            ImportRow.import_id == import_id,
            ImportRow.values.has_key("by_external_id"),
        )
        count, differing = (
            await self.session.execute(select(func.count(), func.count().filter(differs)).where(*mine))
        ).one()
        query = select(*ROW_COLUMNS).where(*mine).order_by(differs.desc(), ImportRow.line).limit(most)
        rows = (await self.session.execute(query)).all() if count else []
        return count, differing, rows

    async def bad_rows(self, import_id: UUID) -> AsyncIterator[Any]:
        """Every bad row by line, a page at a time."""
        line = 0
        while True:
            query = (
                select(ImportRow.line, ImportRow.cells, ImportRow.reason)
                .where(
                    ImportRow.account_id == self.account_id,
                    ImportRow.import_id == import_id,
                    ImportRow.verdict == "bad",
                    ImportRow.line > line,
                )
                .order_by(ImportRow.line)
                .limit(1000)
            )
            rows = (await self.session.execute(query)).all()
            for row in rows:
                yield row
            if len(rows) < 1000:
                return
            line = rows[-1].line
