"""Upload, mapping, start, stop: load, decide, write, audit, commit."""

import asyncio
from typing import Any, cast
from uuid import UUID

from msgspec import UNSET

from app.errors import Conflict, Invalid, NotFound
from app.imports.domain.columns import guess, mapping_errors
from app.imports.domain.csv_reader import filled_lines, read_table, titles
from app.imports.domain.encoding import FileError, decode
from app.imports.schemas import MappingForm, Status, Summary
from app.patch import resolve
from app.work import Work
from db.ids import uuid7
from db.models import Import
from db.repositories.tags import slug_of

LONGEST_TAG = 60
MOST_TAGS = 20
STATES = {
    "uploaded": "waits for its columns",
    "checking": "is being checked",
    "ready": "is checked",
    "running": "is running",
    "done": "is done",
    "failed": "failed",
    "cancelled": "was cancelled",
}


async def upload(work: Work, filename: str, content: bytes) -> UUID:
    """Stores a file and what was understood of it. Raises `Invalid` when it cannot be imported."""
    if not content:
        raise Invalid({"file": "The file is empty. Choose a CSV file with a header line."})
    try:
        table = await asyncio.to_thread(read_table, content)
    except FileError as error:
        raise Invalid({"file": str(error)}) from None
    name = filename.replace("\\", "/").rsplit("/", 1)[-1].replace("\0", "")[:200] or "contacts.csv"
    fields = await work.fields.catalogue()
    made = await work.imports.add(
        Import(
            id=uuid7(),
            filename=name,
            content=content,
            encoding=table.encoding,
            delimiter=table.delimiter,
            header=table.header,
            mapping=guess(table.header, fields) if table.has_header else _by_content(table.samples),
            options={
                "has_header": table.has_header,
                "samples": table.samples,
                "tags": [],
                "existing": "update",
            },
            rows_total=table.rows,
            created_by=work.actor.name,
        )
    )
    work.audit("import.uploaded", "import", made.id, {"filename": (None, name), "rows": (None, table.rows)})
    await work.commit()
    return made.id


def _by_content(samples: list[list[str]]) -> dict[str, str]:
    """Without a header only an e-mail address gives itself away."""
    mails = [
        str(number) for number, cells in enumerate(samples) if cells and all("@" in one for one in cells)
    ]
    return {
        str(number): "email" if [str(number)] == mails[:1] else "ignore" for number in range(len(samples))
    }


async def loaded(work: Work, import_id: UUID) -> Any:
    """One import. Raises `NotFound`."""
    found = await work.imports.one(import_id)
    if found is None:
        raise NotFound("import")
    return found


async def _locked(work: Work, import_id: UUID) -> Any:
    """One import, held until the commit. A worker holds its job first and then the import; so do we."""
    before = await loaded(work, import_id)
    if before.job_id is not None:
        await work.imports.hold_job(before.job_id)
    found = await work.imports.locked(import_id)
    if found is None:
        raise NotFound("import")
    return found


def summary_of(found: Any) -> Summary:
    """An import as it is shown; a job that was cancelled or failed stops its import."""
    writing = found.status in ("running", "done") or found.applied > 0
    return Summary(
        id=found.id,
        filename=found.filename,
        status=state_of(found),
        rows=found.rows_total,
        new=found.rows_new,
        changed=found.rows_changed,
        unchanged=found.rows_unchanged,
        bad=found.rows_bad,
        done=found.applied if writing else found.rows_checked,
        total=max(found.applied, found.rows_new + found.rows_changed) if writing else found.rows_total,
        written=found.applied,
        created_at=found.created_at,
        created_by=found.created_by,
        finished_at=found.finished_at,
        error=found.error or (found.job_error or "" if state_of(found) == "failed" else ""),
    )


def state_of(found: Any) -> Status:
    """The status, seen together with that of its job."""
    if found.status in ("checking", "running") and found.job_status in ("failed", "cancelled"):
        return cast("Status", found.job_status)
    return cast("Status", found.status)


def checked(found: Any) -> bool:
    """Whether every row has its verdict."""
    return bool(found.rows_total) and found.rows_checked >= found.rows_total


def may_map(found: Any) -> bool:
    """Whether columns can be chosen (again): nothing was written and nothing runs."""
    return found.applied == 0 and state_of(found) in ("uploaded", "ready", "failed", "cancelled")


def may_run(found: Any) -> bool:
    """Whether it can be started: checked, or stopped on the way with rows left."""
    return checked(found) and state_of(found) in ("ready", "failed", "cancelled")


def may_cancel(found: Any) -> bool:
    """Whether there is something to stop."""
    return state_of(found) in ("uploaded", "checking", "ready", "running")


async def start_check(work: Work, import_id: UUID, form: MappingForm) -> None:
    """Takes the columns and starts the check. Raises `NotFound`, `Conflict` (running or done), `Invalid`."""
    found = await _locked(work, import_id)
    if not may_map(found):
        raise Conflict(f"This import {STATES[state_of(found)]}; its columns cannot be changed now.")
    shape = await _shape(work, found, form.first_line)
    columns = {**found.mapping, **form.columns}
    stored = found.options.get("tags", [])
    tags, problem = (stored, {}) if form.tags is UNSET else tags_of(form.tags or "")
    errors = mapping_errors(columns, found.header, await work.fields.catalogue()) | problem
    if errors:
        raise Invalid(errors)
    await work.imports.forget_rows(import_id)
    if found.job_id is not None:
        await work.imports.cancel_job(found.job_id, work.now)
    job_id = work.add_job("import", "import.check", {"import_id": str(import_id)}, shape["rows_total"])
    await work.imports.change(
        import_id,
        status="checking",
        mapping=columns,
        header=shape["header"],
        rows_total=shape["rows_total"],
        options={
            **found.options, "has_header": shape["has_header"], "tags": tags,
            "existing": resolve(form.existing, found.options.get("existing", "update")),
        },
        rows_checked=0, rows_new=0, rows_changed=0, rows_unchanged=0, rows_bad=0,
        job_id=job_id,
        error=None,
    )  # fmt: skip
    await work.commit()


async def _shape(work: Work, found: Any, first_line: str) -> dict[str, Any]:
    """Header and number of rows, when the first line is what the person says it is."""
    has_header = found.options.get("has_header", True)
    shape = {"has_header": has_header, "header": found.header, "rows_total": found.rows_total}
    wanted = first_line == "names" if first_line else has_header
    if wanted == has_header:
        return shape
    text, _encoding = decode(await work.imports.content(found.id))
    _line, cells = next(filled_lines(text, found.delimiter))
    rows = found.rows_total + (1 if has_header else -1)
    if rows == 0:
        raise Invalid({"first_line": "Then the file has no line left to import."})
    return {"has_header": wanted, "header": titles(cells, wanted), "rows_total": rows}


def tags_of(names: str) -> tuple[list[str], dict[str, str]]:
    """Names between commas, each once, and what is wrong with them."""
    by_slug = {slug_of(name): " ".join(name.split()) for name in names.split(",") if name.strip()}
    if len(by_slug) > MOST_TAGS:
        return [], {"tags": f"Give at most {MOST_TAGS} tags."}
    if any(len(name) > LONGEST_TAG for name in by_slug.values()):
        return [], {"tags": f"A tag has at most {LONGEST_TAG} letters. Separate tags with commas."}
    return list(by_slug.values()), {}


async def start_run(work: Work, import_id: UUID) -> None:
    """Starts writing contacts, or goes on with it. Raises `NotFound`, `Conflict`."""
    found = await _locked(work, import_id)
    if not may_run(found):
        raise Conflict(f"This import {STATES[state_of(found)]} and cannot be started now.")
    total = found.rows_new + found.rows_changed
    job_id = work.add_job("import", "import.run", {"import_id": str(import_id)}, total)
    await work.imports.change(import_id, status="running", job_id=job_id, error=None)
    work.audit(
        "import.started",
        "import",
        import_id,
        {"new": (None, found.rows_new), "changed": (None, found.rows_changed)},
    )
    await work.commit()


async def cancel(work: Work, import_id: UUID) -> None:
    """Stops it; what was written stays. Raises `NotFound`, `Conflict`."""
    found = await _locked(work, import_id)
    if not may_cancel(found):
        raise Conflict(f"This import {STATES[state_of(found)]}; there is nothing to cancel.")
    if found.job_id is not None:
        await work.imports.cancel_job(found.job_id, work.now)
    await work.imports.change(import_id, status="cancelled", finished_at=work.now)
    work.audit("import.cancelled", "import", import_id, {"written": (None, found.applied)})
    await work.commit()
