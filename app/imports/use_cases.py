"""Commands of imports, in their order: `upload`, `start_check` (with the column mapping), `start_run`,
`cancel_import`. Each loads, decides, writes, audits and commits."""

import asyncio
from uuid import UUID

import msgspec
from msgspec import UNSET

from app.errors import Conflict, Invalid, NotFound
from app.filters.normalize import source_of
from app.imports.domain.columns import guess, mapping_errors
from app.imports.domain.csv_reader import filled_lines, read_table, titles
from app.imports.domain.encoding import FileError, decode
from app.imports.domain.stored import ImportOptions, Status, read_options
from app.imports.schemas import ImportSummary, MappingForm
from app.json_types import JsonObject
from app.patch import resolve
from app.work import Work
from db.ids import uuid7
from db.models import Import
from db.queries.import_pages import ImportRecord, find_import
from db.queries.import_rows import delete_import_rows
from db.repositories.tags import slug_of

LONGEST_TAG = 60
MOST_TAGS = 20
STOPPED: dict[str | None, Status] = {"failed": "failed", "cancelled": "cancelled"}
STATES: dict[Status, str] = {
    "uploaded": "is waiting for its columns",
    "checking": "is being checked",
    "ready": "has been checked",
    "running": "is running",
    "done": "is done",
    "failed": "failed",
    "cancelled": "was canceled",
}


async def upload(work: Work, filename: str, content: bytes) -> UUID:
    """Stores a file with its detected encoding, delimiter, header and mapping; returns the import's id.
    Raises `Invalid` when the file cannot be imported."""
    if not content:
        raise Invalid({"file": "The file is empty. Choose a CSV file with a header row."})
    try:
        table = await asyncio.to_thread(read_table, content)
    except FileError as error:
        raise Invalid({"file": str(error)}) from None
    name = filename.replace("\\", "/").rsplit("/", 1)[-1].replace("\0", "")[:200] or "contacts.csv"
    fields = await work.fields.catalog()
    import_ = await work.imports.add(
        Import(
            id=uuid7(),
            filename=name,
            content=content,
            encoding=table.encoding,
            delimiter=table.delimiter,
            header=table.header,
            mapping=guess(table.header, fields) if table.has_header else _mapping_by_content(table.samples),
            options=msgspec.to_builtins(ImportOptions(table.has_header, table.samples)),
            rows_total=table.rows,
            created_by=work.actor.name,
        )
    )
    work.audit(
        "import.uploaded", "import", import_.id, {"filename": (None, name), "rows": (None, table.rows)}
    )
    await work.commit()
    return import_.id


def _mapping_by_content(samples: list[list[str]]) -> dict[str, str]:
    """A mapping for a file without a header: only a column of email addresses can be recognized."""
    email_columns = [
        str(number) for number, cells in enumerate(samples) if cells and all("@" in cell for cell in cells)
    ]
    return {
        str(number): "email" if [str(number)] == email_columns[:1] else "ignore"
        for number in range(len(samples))
    }


async def load_import(work: Work, import_id: UUID) -> ImportRecord:
    """One import. Raises `NotFound`."""
    import_ = await find_import(work.session, import_id)
    if import_ is None:
        raise NotFound("import")
    return import_


async def _locked(work: Work, import_id: UUID) -> tuple[Import, ImportRecord]:
    """One import to change, locked until the commit, and what decides about it. It locks the job first and
    then the import, in the same order as the worker."""
    before = await load_import(work, import_id)
    if before.job_id is not None:
        await work.jobs.lock(before.job_id)
    row = await work.imports.lock(import_id)
    if row is None:
        raise NotFound("import")
    return row, await load_import(work, import_id)


def summary_of(import_: ImportRecord) -> ImportSummary:
    """An import as the page shows it."""
    writing = import_.status in ("running", "done") or import_.applied > 0
    return ImportSummary(
        id=import_.id,
        filename=import_.filename,
        status=status_of(import_),
        rows=import_.rows_total,
        new=import_.rows_new,
        changed=import_.rows_changed,
        unchanged=import_.rows_unchanged,
        bad=import_.rows_bad,
        done=import_.applied if writing else import_.rows_checked,
        total=max(import_.applied, import_.rows_new + import_.rows_changed)
        if writing
        else import_.rows_total,
        written=import_.applied,
        created_at=import_.created_at,
        created_by=import_.created_by,
        finished_at=import_.finished_at,
        error=import_.error or (import_.job_error or "" if status_of(import_) == "failed" else ""),
    )


def status_of(import_: ImportRecord) -> Status:
    """The status of an import; it is failed or canceled when its job is."""
    if import_.status in ("checking", "running"):
        return STOPPED.get(import_.job_status, import_.status)
    return import_.status


def is_checked(import_: ImportRecord) -> bool:
    """Whether every row has its verdict."""
    return bool(import_.rows_total) and import_.rows_checked >= import_.rows_total


def may_map(import_: ImportRecord) -> bool:
    """Whether the columns can be mapped (again): nothing was written and no job is running."""
    return import_.applied == 0 and status_of(import_) in ("uploaded", "ready", "failed", "cancelled")


def may_run(import_: ImportRecord) -> bool:
    """Whether the run can be started or resumed: all rows are checked and no job is running."""
    return is_checked(import_) and status_of(import_) in ("ready", "failed", "cancelled")


def may_cancel(import_: ImportRecord) -> bool:
    """Whether the import can still be canceled."""
    return status_of(import_) in ("uploaded", "checking", "ready", "running")


async def start_check(work: Work, import_id: UUID, form: MappingForm) -> None:
    """Stores the column mapping and starts the check. Raises `NotFound`, `Conflict` (running or done),
    `Invalid`."""
    row, import_ = await _locked(work, import_id)
    if not may_map(import_):
        raise Conflict(f"This import {STATES[status_of(import_)]}. Its columns can't be changed now.")
    options = read_options(import_.options)
    shape = await _table_shape(work, import_, options.has_header, form.first_line)
    columns = {**import_.mapping, **form.columns}
    tags, problem = (options.tags, {}) if form.tags is UNSET else tags_of(form.tags or "")
    source, bad_source = (options.source, {}) if form.source is UNSET else _read_source(form.source or "")
    errors = mapping_errors(columns, import_.header, await work.fields.catalog()) | problem | bad_source
    if errors:
        raise Invalid(errors)
    await delete_import_rows(work.session, import_id)
    if import_.job_id is not None:
        await work.jobs.cancel(import_.job_id, work.now)
    args: JsonObject = {"import_id": str(import_id)}
    row.job_id = work.add_job("import", "import.check", args, shape.rows)
    existing = resolve(form.existing, options.existing)
    chosen = ImportOptions(shape.has_header, options.samples, tags, existing, source)
    row.status, row.error = "checking", None
    row.mapping, row.options = columns, msgspec.to_builtins(chosen)
    row.header, row.rows_total = shape.header, shape.rows
    row.rows_checked = row.rows_new = row.rows_changed = row.rows_unchanged = row.rows_bad = 0
    await work.imports.save(row, work.now)
    await work.commit()


def _read_source(text: str) -> tuple[str, dict[str, str]]:
    """The source of external IDs, and a message if there is a problem with it."""
    try:
        return source_of(text), {}
    except ValueError as error:
        return "", {"source": str(error)}


class TableShape(msgspec.Struct, frozen=True):
    """The header of a file, and how many rows it has."""

    has_header: bool
    header: list[str]
    rows: int


async def _table_shape(work: Work, import_: ImportRecord, has_header: bool, first_line: str) -> TableShape:
    """The shape of the file, according to the member's choice for the first line."""
    chosen = first_line == "names" if first_line else has_header
    if chosen == has_header:
        return TableShape(has_header, import_.header, import_.rows_total)
    text, _encoding = decode(await work.imports.content(import_.id))
    _line, cells = next(filled_lines(text, import_.delimiter))
    rows = import_.rows_total + (1 if has_header else -1)
    if rows == 0:
        raise Invalid({"first_line": "Then the file has no rows left to import."})
    return TableShape(chosen, titles(cells, chosen), rows)


def tags_of(names: str) -> tuple[list[str], dict[str, str]]:
    """The tag names in a comma-separated text, each once, and the problems as field name to message."""
    by_slug = {slug_of(name): " ".join(name.split()) for name in names.split(",") if name.strip()}
    if len(by_slug) > MOST_TAGS:
        return [], {"tags": f"Enter at most {MOST_TAGS} tags."}
    if any(len(name) > LONGEST_TAG for name in by_slug.values()):
        return [], {"tags": f"A tag can have at most {LONGEST_TAG} characters. Separate tags with commas."}
    return list(by_slug.values()), {}


async def start_run(work: Work, import_id: UUID) -> None:
    """Starts or continues writing contacts. Raises `NotFound`, `Conflict`."""
    row, import_ = await _locked(work, import_id)
    if not may_run(import_):
        raise Conflict(f"This import {STATES[status_of(import_)]} and can't be started now.")
    total = import_.rows_new + import_.rows_changed
    row.job_id = work.add_job("import", "import.run", {"import_id": str(import_id)}, total)
    row.status, row.error = "running", None
    await work.imports.save(row, work.now)
    work.audit(
        "import.started",
        "import",
        import_id,
        {"new": (None, import_.rows_new), "changed": (None, import_.rows_changed)},
    )
    await work.commit()


async def cancel_import(work: Work, import_id: UUID) -> None:
    """Stops an import; contacts that were written stay. Raises `NotFound`, `Conflict`."""
    row, import_ = await _locked(work, import_id)
    if not may_cancel(import_):
        raise Conflict(f"This import {STATES[status_of(import_)]}. There is nothing to cancel.")
    if import_.job_id is not None:
        await work.jobs.cancel(import_.job_id, work.now)
    row.status, row.finished_at = "cancelled", work.now
    await work.imports.save(row, work.now)
    work.audit("import.cancelled", "import", import_id, {"written": (None, import_.applied)})
    await work.commit()
