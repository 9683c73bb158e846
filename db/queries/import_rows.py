"""The rows of an import: the check adds them with their verdicts, the run marks them as applied, and the
screens show some of each verdict."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, and_, delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.imports.domain.row_matching import Verdict
from app.json_types import Json
from db.models import ImportRow
from db.queries.batch_statements import BatchStatement, write_batch
from db.queries.statements import execute, fetch_all, fetch_one, fetch_scalar

_PAGE = 1000


class StoredRow(msgspec.Struct, frozen=True):
    """A row with its verdict; `values` is the JSON of `app.imports.domain.stored.RowValues`."""

    line: int
    cells: list[str]
    values: Mapping[str, Json]
    verdict: Verdict
    reason: str | None
    contact_id: UUID | None


class AppliedRow(msgspec.Struct, frozen=True):
    """The verdict of a row when it was written to a contact."""

    line: int
    verdict: Verdict
    reason: str | None
    contact_id: UUID | None


class MatchableRow(msgspec.Struct, frozen=True):
    """The values of a row by field key."""

    line: int
    values: Mapping[str, Json]


class BadRow(msgspec.Struct, frozen=True):
    """A rejected row."""

    line: int
    cells: list[str]
    reason: str | None


class ReasonCount(msgspec.Struct, frozen=True):
    """Why rows are bad, and how many."""

    reason: str | None
    count: int


class ExternalIdCounts(msgspec.Struct, frozen=True):
    """How many rows an external ID matches to a contact, and how many of these have another name or email
    than the contact."""

    matched: int
    differing: int


_COLUMNS = (
    ImportRow.line,
    ImportRow.cells,
    ImportRow.values,
    ImportRow.verdict,
    ImportRow.reason,
    ImportRow.contact_id,
)
_INSERT_IMPORT_ROWS = BatchStatement(
    StoredRow,
    """
insert into import_rows (import_id, line, cells, values, verdict, reason, contact_id, applied_at)
select :import_id, v.line, cast(v.cells as jsonb), cast(v.values as jsonb), v.verdict, v.reason, v.contact_id,
       case when v.verdict in ('bad', 'unchanged') then cast(:now as timestamptz) end
  from {v}
""",
)
_MARK_ROWS_APPLIED = BatchStatement(
    AppliedRow,
    """
update import_rows i
   set verdict = v.verdict, reason = v.reason, contact_id = v.contact_id, applied_at = :now
  from {v}
 where i.account_id = current_account() and i.import_id = :import_id and i.line = v.line
""",
)
_MATCHABLE_ROWS = text("""
select line, values -> 'set' as values from import_rows
 where account_id = current_account() and import_id = :import_id and values <> '{}'::jsonb order by line
""")


def _mine(session: AsyncSession, import_id: UUID) -> ColumnElement[bool]:
    return and_(ImportRow.account_id == session.info["account_id"], ImportRow.import_id == import_id)


async def insert_import_rows(
    session: AsyncSession, import_id: UUID, rows: Sequence[StoredRow], now: datetime
) -> None:
    """Adds rows with their verdicts. Bad and unchanged rows count as applied."""
    await write_batch(session, _INSERT_IMPORT_ROWS, rows, import_id=import_id, now=now)


async def mark_rows_applied(
    session: AsyncSession, import_id: UUID, rows: Sequence[AppliedRow], now: datetime
) -> None:
    """Marks rows as applied, with the verdict at that time."""
    await write_batch(session, _MARK_ROWS_APPLIED, rows, import_id=import_id, now=now)


async def delete_import_rows(session: AsyncSession, import_id: UUID) -> None:
    """Deletes the rows with their verdicts, before another check."""
    await execute(session, delete(ImportRow).where(_mine(session, import_id)))


async def take_accepted_rows(session: AsyncSession, import_id: UUID, lines: Sequence[int]) -> list[StoredRow]:
    """Deletes the accepted ones of these rows and returns them, so that they can be judged again."""
    if not lines:
        return []
    accepted = ImportRow.line.in_(lines) & (ImportRow.verdict != "bad")
    query = delete(ImportRow).where(_mine(session, import_id), accepted)
    return await fetch_all(session, StoredRow, query.returning(*_COLUMNS))


async def list_unapplied_rows(session: AsyncSession, import_id: UUID, most: int) -> list[StoredRow]:
    """The next rows to apply, by line."""
    query = select(*_COLUMNS).where(_mine(session, import_id), ImportRow.applied_at.is_(None))
    return await fetch_all(session, StoredRow, query.order_by(ImportRow.line).limit(most))


async def read_last_checked_line(session: AsyncSession, import_id: UUID) -> int:
    """The last line that has a verdict; 0 without any."""
    query = select(func.max(ImportRow.line)).where(_mine(session, import_id))
    return await fetch_scalar(session, int, query) or 0


async def list_matchable_rows(session: AsyncSession, import_id: UUID) -> list[MatchableRow]:
    """Every row that has values, by line."""
    return await fetch_all(session, MatchableRow, _MATCHABLE_ROWS, import_id=import_id)


async def list_sample_rows(
    session: AsyncSession, import_id: UUID, verdict: str, most: int
) -> list[StoredRow]:
    """The first rows of a verdict."""
    query = select(*_COLUMNS).where(_mine(session, import_id), ImportRow.verdict == verdict)
    return await fetch_all(session, StoredRow, query.order_by(ImportRow.line).limit(most))


async def count_bad_reasons(session: AsyncSession, import_id: UUID, most: int) -> list[ReasonCount]:
    """Why rows are bad, the most frequent reasons first."""
    query = (
        select(ImportRow.reason, func.count().label("count"))
        .where(_mine(session, import_id), ImportRow.verdict == "bad")
        .group_by(ImportRow.reason)
        .order_by(func.count().desc(), ImportRow.reason)
        .limit(most)
    )
    return await fetch_all(session, ReasonCount, query)


async def list_rows_matched_by_external_id(
    session: AsyncSession, import_id: UUID, most: int
) -> tuple[ExternalIdCounts, list[StoredRow]]:
    """The numbers of these rows, and the first of them: those that differ from the contact come first."""
    differs = ImportRow.values["by_external_id"]["differs"].as_boolean()
    matched = (_mine(session, import_id), ImportRow.values.has_key("by_external_id"))
    numbers = select(func.count().label("matched"), func.count().filter(differs).label("differing"))
    counts = await fetch_one(session, ExternalIdCounts, numbers.where(*matched)) or ExternalIdCounts(0, 0)
    if not counts.matched:
        return counts, []
    query = select(*_COLUMNS).where(*matched).order_by(differs.desc(), ImportRow.line).limit(most)
    return counts, await fetch_all(session, StoredRow, query)


async def iterate_bad_rows(session: AsyncSession, import_id: UUID) -> AsyncIterator[BadRow]:
    """Every bad row by line, read a page at a time."""
    query = (
        select(ImportRow.line, ImportRow.cells, ImportRow.reason)
        .where(_mine(session, import_id), ImportRow.verdict == "bad")
        .order_by(ImportRow.line)
        .limit(_PAGE)
    )
    line, more = 0, True
    while more:
        rows = await fetch_all(session, BadRow, query.where(ImportRow.line > line))
        for row in rows:
            yield row
        more = len(rows) == _PAGE
        line = rows[-1].line if rows else line
