"""The job that checks an uploaded file: it gives each row a verdict, one batch per transaction.

`check_import` is the entry point. It continues after the rows that were committed, so a killed worker loses
at most one batch."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from app.contacts.domain import nameless, normalize
from app.filters.fields import Fields
from app.imports.domain.consents import is_opt_out
from app.imports.domain.csv_reader import data_lines
from app.imports.domain.encoding import decode
from app.imports.domain.row_matching import (
    CheckedRow,
    Values,
    matching_keys,
    read_row,
    reject_duplicate,
)
from app.imports.row_verdicts import BATCH, match_rows, previewed, recounted, row_of
from app.work import Work
from db.ids import uuid7
from db.models import Job

MOST_CURSORS = 2


class FileCursor(msgspec.Struct):
    """The position of the check in a file. `first_lines` is the first line with each matching key."""

    rows: Iterator[tuple[int, list[str]]]
    checked: int
    first_lines: dict[tuple[str, str], int]


# Cached between the batches of one process, so that a file is parsed once instead of once per batch. An
# entry is removed while its batch runs and put back after the commit, so a failed batch starts from the
# stored rows.
_cursors: dict[UUID, FileCursor] = {}


async def check_import(work: Work, job: Job) -> bool:
    """Checks the next batch of rows; True when all rows have a verdict. Changes no contact."""
    import_id = msgspec.convert(job.args["import_id"], UUID)
    import_ = await work.imports.lock(import_id)
    if import_ is None or import_.status != "checking" or import_.job_id != job.id:
        return True
    cursor = _cursors.pop(job.id, None)
    if cursor is None or cursor.checked != import_.rows_checked:
        cursor = await _open_cursor(work, import_)
    lines = [line for _, line in zip(range(BATCH), cursor.rows, strict=False)]
    fields = await work.fields.catalog()
    region = (await work.accounts.own()).default_region
    columns = [(int(number), key) for number, key in sorted(import_.mapping.items())]
    reading = partial(_normalized, region=region, fields=fields)
    width = len(import_.header)
    opt_out = {number for number, name in enumerate(import_.header) if is_opt_out(name)}
    rows = [read_row(line, cells, columns, width, reading, fields, opt_out) for line, cells in lines]
    denials: dict[int, Values] = {}
    rows = [
        row if row.verdict == "bad" else reject_duplicate(row, cursor.first_lines, denials) for row in rows
    ]
    before, rematched = await _apply_denials(work, import_, rows, denials)
    tags = await _existing_tags(work, import_.options.get("tags", []))
    await match_rows(work, [*rematched, *rows], import_.options, tags, lock=False)
    await _save_verdicts(work, import_, rows, before, rematched)
    finished = len(lines) < BATCH
    if finished:
        await work.imports.change(import_id, status="ready", rows_total=import_.rows_checked + len(rows))
    await work.imports.set_job_progress(job.id, import_.rows_checked + len(rows), import_.rows_total)
    await work.commit()
    if not finished:
        cursor.checked += len(rows)
        _keep_cursor(job.id, cursor)
    return finished


async def _apply_denials(
    work: Work, import_: Any, rows: Sequence[CheckedRow], denials: Mapping[int, Values]
) -> tuple[Sequence[Any], list[CheckedRow]]:
    """Applies denied consents of later lines to the first line of the same contact. Returns the rows of
    earlier batches that this changes: as they were stored, and as they have to be matched again."""
    for row in rows:
        row.values |= denials.get(row.line, {})
    new_lines = {row.line for row in rows}
    before = await work.imports.take_rows(import_.id, [line for line in denials if line not in new_lines])
    rematched = [previewed(row) for row in before]
    for row in rematched:
        row.values |= denials[row.line]
    return before, rematched


def _normalized(values: Mapping[str, object], region: str, fields: Fields) -> tuple[Values, dict[str, str]]:
    """The stored form of a row's values, and messages by field key; "" is the row as a whole."""
    clean, errors = normalize(values, region, fields)
    nameless_message = None if errors else nameless(clean)
    return clean, {"": nameless_message} if nameless_message else errors


def _keep_cursor(job_id: UUID, cursor: FileCursor) -> None:
    while len(_cursors) >= MOST_CURSORS:
        _cursors.pop(next(iter(_cursors)))
    _cursors[job_id] = cursor


async def _open_cursor(work: Work, import_: Any) -> FileCursor:
    """A cursor after the rows that already have a verdict."""
    text, _encoding = decode(await work.imports.content(import_.id))
    rows = data_lines(text, import_.delimiter, import_.options.get("has_header", True))
    first_lines: dict[tuple[str, str], int] = {}
    if import_.rows_checked:
        last = await work.imports.last_line(import_.id)
        for row in await work.imports.matchable_rows(import_.id):
            for key in matching_keys(row.values).items():
                first_lines.setdefault(key, row.line)
        rows = (row for row in rows if row[0] > last)
    return FileCursor(rows, import_.rows_checked, first_lines)


async def _existing_tags(work: Work, names: Sequence[str]) -> frozenset[UUID]:
    """Ids of the tags to add. A tag that doesn't exist yet gets a random id, which no contact has."""
    existing = await work.imports.tag_ids(names)
    return frozenset(existing.get(name) or uuid7() for name in names)


async def _save_verdicts(
    work: Work,
    import_: Any,
    rows: Sequence[CheckedRow],
    before: Sequence[Any],
    rematched: Sequence[CheckedRow],
) -> None:
    """Writes the verdicts of new `rows`, and of the rows that were matched `again` after they had been
    counted as in `before`."""
    await work.imports.add_rows(import_.id, [row_of(row) for row in (*rematched, *rows)], work.now)
    counts = recounted(import_, before, rematched)
    for row in rows:
        counts[f"rows_{row.verdict}"] += 1
    await work.imports.change(import_.id, rows_checked=import_.rows_checked + len(rows), **counts)
