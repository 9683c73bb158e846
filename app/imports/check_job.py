"""The job that checks an uploaded file: it gives each row a verdict, one batch per transaction.

`check_import` is the entry point. It continues after the rows that were committed, so a killed worker loses
at most one batch."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from app.contacts.domain import nameless, normalize
from app.filters.fields import Fields
from app.filters.normalize import external_id
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
from app.imports.domain.stored import ImportOptions, read_options
from app.imports.row_verdicts import BATCH, count_verdicts, match_rows, previewed, row_of
from app.work import Work
from db.ids import uuid7
from db.models import Import, Job, Tag
from db.queries.import_rows import (
    StoredRow,
    insert_import_rows,
    list_matchable_rows,
    read_last_checked_line,
    take_accepted_rows,
)
from db.repositories.tags import slug_of

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
    options = read_options(import_.options)
    cursor = _cursors.pop(job.id, None)
    if cursor is None or cursor.checked != import_.rows_checked:
        cursor = await _open_cursor(work, import_, options)
    lines = [line for _, line in zip(range(BATCH), cursor.rows, strict=False)]
    fields = await work.fields.catalog()
    account = await work.accounts.own()
    columns = [(int(number), key) for number, key in sorted(import_.mapping.items())]
    zone = ZoneInfo(account.time_zone)
    reading = partial(
        _normalized, region=account.default_region, fields=fields, zone=zone, source=options.source
    )
    width = len(import_.header)
    opt_out = {number for number, name in enumerate(import_.header) if is_opt_out(name)}
    rows = [read_row(line, cells, columns, width, reading, fields, opt_out) for line, cells in lines]
    denials: dict[int, Values] = {}
    rows = [
        row if row.verdict == "bad" else reject_duplicate(row, cursor.first_lines, denials) for row in rows
    ]
    before, rematched = await _apply_denials(work, import_, rows, denials)
    tags = await _existing_tags(work, options.tags)
    await match_rows(work, [*rematched, *rows], options, tags, fields, lock=False)
    stored = [row_of(row) for row in (*rematched, *rows)]
    await insert_import_rows(work.session, import_.id, stored, work.now)
    count_verdicts(import_, [row.verdict for row in stored], [row.verdict for row in before])
    import_.rows_checked += len(rows)
    finished = len(lines) < BATCH
    job.progress, job.total = import_.rows_checked, import_.rows_total
    if finished:
        import_.status, import_.rows_total = "ready", import_.rows_checked
    await work.imports.save(import_, work.now)
    await work.commit()
    if not finished:
        cursor.checked += len(rows)
        _keep_cursor(job.id, cursor)
    return finished


async def _apply_denials(
    work: Work, import_: Import, rows: Sequence[CheckedRow], denials: Mapping[int, Values]
) -> tuple[list[StoredRow], list[CheckedRow]]:
    """Applies denied consents of later lines to the first line of the same contact. Returns the rows of
    earlier batches that this changes: as they were stored, and as they have to be matched again."""
    for row in rows:
        row.values |= denials.get(row.line, {})
    new_lines = {row.line for row in rows}
    earlier = [line for line in denials if line not in new_lines]
    before = await take_accepted_rows(work.session, import_.id, earlier)
    rematched = [previewed(row) for row in before]
    for row in rematched:
        row.values |= denials[row.line]
    return before, rematched


def _normalized(
    values: Mapping[str, object], region: str, fields: Fields, zone: ZoneInfo, source: str
) -> tuple[Values, dict[str, str]]:
    """The stored form of a row's values, and messages by field key; "" is the row as a whole. `source` is
    that of external IDs which name none."""
    if source and values.get("external_id"):
        values = {**values, "external_id": external_id(str(values["external_id"]), source)}
    clean, errors = normalize(values, region, fields, zone)
    nameless_message = None if errors else nameless(clean)
    return clean, {"": nameless_message} if nameless_message else errors


def _keep_cursor(job_id: UUID, cursor: FileCursor) -> None:
    while len(_cursors) >= MOST_CURSORS:
        _cursors.pop(next(iter(_cursors)))
    _cursors[job_id] = cursor


async def _open_cursor(work: Work, import_: Import, options: ImportOptions) -> FileCursor:
    """A cursor after the rows that already have a verdict."""
    text, _encoding = decode(await work.imports.content(import_.id))
    rows = data_lines(text, import_.delimiter, options.has_header)
    first_lines: dict[tuple[str, str], int] = {}
    if import_.rows_checked:
        last = await read_last_checked_line(work.session, import_.id)
        for row in await list_matchable_rows(work.session, import_.id):
            for key in matching_keys(row.values).items():
                first_lines.setdefault(key, row.line)
        rows = (row for row in rows if row[0] > last)
    return FileCursor(rows, import_.rows_checked, first_lines)


async def _existing_tags(work: Work, names: Sequence[str]) -> frozenset[UUID]:
    """Ids of the tags to add. A tag that doesn't exist yet gets a random id, which no contact has."""
    slugs = [slug_of(name) for name in names]
    existing = {tag.slug: tag.id for tag in await work.tags.get_many(Tag.slug.in_(slugs))} if slugs else {}
    return frozenset(existing.get(slug) or uuid7() for slug in slugs)
