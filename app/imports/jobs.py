"""The two jobs of an import: the check and the run. Each call does one batch in one transaction, and any
call may be the last one of a killed worker: where to go on is read from the rows that were committed."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from app.contacts.domain import display_name, nameless, normalise
from app.filters.fields import TEXT_FIELDS, Fields
from app.imports.domain.consents import CHANNELS, is_opt_out
from app.imports.domain.csv_reader import data_lines
from app.imports.domain.encoding import decode
from app.imports.domain.row_matching import (
    ALSO_DENIED,
    LIKENESS,
    CheckedRow,
    ExistingContact,
    Values,
    denied_consents,
    describes_other_person,
    match_row,
    matching_keys,
    read_row,
    reject,
    reject_duplicate,
)
from app.work import Work
from db.ids import uuid7
from db.models import Job
from db.repositories.imported_contacts import ImportedContactRepository

BATCH = 500
MOST_CURSORS = 2
TRIES = 3
EXTERNAL_ID_MOVED = "Another contact got this external ID after the preview. Check the file again."


class FileCursor(msgspec.Struct):
    """Where the check of a file is. `first_lines` is the first line of each key."""

    rows: Iterator[tuple[int, list[str]]]
    checked: int
    first_lines: dict[tuple[str, str], int]


# Kept between the batches of one process, so that a file is parsed once and not once a batch. An entry is
# taken out while its batch runs and put back after the commit: a batch that failed starts from the rows.
_cursors: dict[UUID, FileCursor] = {}


async def check_import(work: Work, job: Job) -> bool:
    """Gives the next rows of a file their verdicts; True when all rows have one. Changes no contact."""
    import_id = UUID(job.args["import_id"])
    import_ = await work.imports.locked(import_id)
    if import_ is None or import_.status != "checking" or import_.job_id != job.id:
        return True
    cursor = _cursors.pop(job.id, None)
    if cursor is None or cursor.checked != import_.rows_checked:
        cursor = await _open_cursor(work, import_)
    lines = [line for _, line in zip(range(BATCH), cursor.rows, strict=False)]
    fields = await work.fields.catalogue()
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
    before, again = await _apply_denials(work, import_, rows, denials)
    tags = await _existing_tags(work, import_.options.get("tags", []))
    await _match_rows(work, [*again, *rows], import_.options, tags, lock=False)
    await _save_verdicts(work, import_, rows, before, again)
    finished = len(lines) < BATCH
    if finished:
        await work.imports.change(import_id, status="ready", rows_total=import_.rows_checked + len(rows))
    await work.imports.job_progress(job.id, import_.rows_checked + len(rows), import_.rows_total)
    await work.commit()
    if not finished:
        cursor.checked += len(rows)
        _keep_cursor(job.id, cursor)
    return finished


async def _apply_denials(
    work: Work, import_: Any, rows: Sequence[CheckedRow], denials: Mapping[int, Values]
) -> tuple[Sequence[Any], list[CheckedRow]]:
    """Applies denied consents of later lines to the first line of the same person. Returns the rows of
    earlier batches that this changes, as they were and as they are to be matched again."""
    for row in rows:
        row.values |= denials.get(row.line, {})
    here = {row.line for row in rows}
    before = await work.imports.take_rows(import_.id, [line for line in denials if line not in here])
    again = [_previewed(row) for row in before]
    for row in again:
        row.values |= denials[row.line]
    return before, again


def _normalized(values: Mapping[str, object], region: str, fields: Fields) -> tuple[Values, dict[str, str]]:
    """What a contact would store for a row, and sentences by field key; "" is the row as a whole."""
    clean, errors = normalise(values, region, fields)
    nameless_message = None if errors else nameless(clean)
    return clean, {"": nameless_message} if nameless_message else errors


def _keep_cursor(job_id: UUID, cursor: FileCursor) -> None:
    while len(_cursors) >= MOST_CURSORS:
        _cursors.pop(next(iter(_cursors)))
    _cursors[job_id] = cursor


async def _open_cursor(work: Work, import_: Any) -> FileCursor:
    """A cursor behind the rows that have a verdict already."""
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
    """Ids of the tags to add; a random id stands for a tag that doesn't exist yet, so that no contact has
    it."""
    there = await work.imports.tag_ids(names)
    return frozenset(there.get(name) or uuid7() for name in names)


async def _match_rows(
    work: Work, rows: Sequence[CheckedRow], options: Mapping[str, Any], tags: frozenset[UUID], *, lock: bool
) -> None:
    """Gives every row that is not bad its verdict, as the contacts are now. When it is written (`lock`), an
    external ID leads only to the contact that the preview showed."""
    good = [row for row in rows if row.verdict != "bad"]
    keys: dict[str, list[str]] = {}
    for row in good:
        for kind, key in matching_keys(row.values).items():
            keys.setdefault(kind, []).append(key)
    if not good:
        return
    contacts = ImportedContactRepository(work.session, work.now)
    existing: dict[tuple[str, str], ExistingContact] = {}
    for contact in await contacts.matching(keys, tags, lock=lock):
        existing_contact = _existing_contact(contact)
        for kind in ("external_id", "email"):
            if value := existing_contact.values.get(kind):
                existing.setdefault((kind, str(value)), existing_contact)
        existing.setdefault(
            ("like", "\x1f".join(str(existing_contact.values.get(key) or "") for key in LIKENESS)),
            existing_contact,
        )
    update = options.get("existing", "update") == "update"
    met: dict[UUID, CheckedRow] = {}
    for row in good:
        match_row(row, existing, update, tags)
        if lock and row.matched_by == "external_id" and row.contact_id != row.previewed_id:
            reject(row, EXTERNAL_ID_MOVED)
        if row.contact_id is not None and (earlier := met.setdefault(row.contact_id, row)) is not row:
            denied = denied_consents(row.values)
            earlier.values |= denied
            match_row(earlier, existing, update, tags)
            reject(row, f"Same contact as line {earlier.line}.{ALSO_DENIED if denied else ''}")


def _existing_contact(contact: Any) -> ExistingContact:
    names = (*TEXT_FIELDS, *CHANNELS)
    values: Values = {name: value for name in names if (value := getattr(contact, name)) is not None}
    own: Values = {f"custom.{field_id}": value for field_id, value in contact.fields.items()}
    return ExistingContact(contact.id, values | own, frozenset(contact.tag_ids))


async def _save_verdicts(
    work: Work, import_: Any, rows: Sequence[CheckedRow], before: Sequence[Any], again: Sequence[CheckedRow]
) -> None:
    """Those of `rows`, which are new, and of `again`, which were counted as `before`."""
    await work.imports.add_rows(import_.id, [_row_of(row) for row in (*again, *rows)], work.now)
    counts = _recounted(import_, before, again)
    for row in rows:
        counts[f"rows_{row.verdict}"] += 1
    await work.imports.change(import_.id, rows_checked=import_.rows_checked + len(rows), **counts)


VERDICTS = ("new", "changed", "unchanged", "bad")


def _row_of(row: CheckedRow) -> dict[str, Any]:
    values: dict[str, Any] = {"set": row.values, "changes": row.changes} if row.values else {}
    if row.match is not None and row.matched_by == "external_id":
        there = {key: row.match.values.get(key) for key in ("email", "company") if row.match.values.get(key)}
        values["by_external_id"] = {
            "name": display_name(row.match.values),
            "detail": " · ".join(str(value) for value in there.values()),
            "differs": describes_other_person(row.values, row.match),
        }
    return {
        "line": row.line,
        "cells": row.cells,
        "values": values,
        "verdict": row.verdict,
        "reason": row.reason,
        "contact_id": row.contact_id,
    }


async def run_import(work: Work, job: Job) -> bool:
    """Writes the next rows into the contacts; True when none is left. A contact that came or changed since
    the check is judged again, as it is now."""
    import_id = UUID(job.args["import_id"])
    import_ = await work.imports.locked(import_id)
    if import_ is None or import_.status != "running" or import_.job_id != job.id:
        return True
    todo = await work.imports.unapplied_rows(import_id, BATCH)
    rows = [_previewed(row) for row in todo]
    if rows:
        fields = await work.fields.catalogue()
        for row in rows:
            row.values = {key: value for key, value in row.values.items() if key in fields}
        await _write(work, import_, rows)
        await work.imports.mark_applied(import_id, [_row_of(row) for row in rows], work.now)
    finished = len(rows) < BATCH
    counts = _recounted(import_, todo, rows)
    ending: dict[str, Any] = {"status": "done", "finished_at": work.now, "content": b""} if finished else {}
    await work.imports.change(import_id, applied=import_.applied + len(rows), **counts, **ending)
    await work.imports.job_progress(job.id, import_.applied + len(rows), job.total)
    if finished:
        totals = {name.removeprefix("rows_"): (None, count) for name, count in counts.items()}
        work.audit("import.finished", "import", import_id, totals)
    await work.commit()
    return finished


def _previewed(row: Any) -> CheckedRow:
    """A row as the check left it."""
    judged = CheckedRow(row.line, row.cells, dict(row.values.get("set", {})), row.verdict)
    if "by_external_id" in row.values:
        judged.previewed_id = row.contact_id
    return judged


def _recounted(import_: Any, before: Sequence[Any], after: Sequence[CheckedRow]) -> dict[str, int]:
    counts = {verdict: getattr(import_, f"rows_{verdict}") for verdict in VERDICTS}
    for old, new in zip(before, after, strict=True):
        counts[old.verdict] -= 1
        counts[new.verdict] += 1
    return {f"rows_{verdict}": count for verdict, count in counts.items()}


async def _write(work: Work, import_: Any, rows: Sequence[CheckedRow]) -> None:
    """Writes one batch: contacts, tags, events and audit, each with one statement."""
    names = import_.options.get("tags", [])
    tags = await work.tags.ensure(names)
    tag_ids = frozenset(tags.values())
    contacts = ImportedContactRepository(work.session, work.now)
    created = await _create(work, contacts, rows, import_.options, tag_ids)
    changed = [row for row in rows if row.verdict == "changed" and row.contact_id is not None]
    edited = [
        (row.contact_id, row.values) for row in changed if row.contact_id and set(row.changes) - {"tags"}
    ]
    await contacts.update(edited)
    written = [row.contact_id for row in (*created, *changed) if row.contact_id]
    tagged = await contacts.tag(written, sorted(tag_ids))
    await _record(contacts, import_, (created, changed), tagged, {tag: name for name, tag in tags.items()})
    if written:
        work.notify_worker()


async def _create(
    work: Work,
    contacts: ImportedContactRepository,
    rows: Sequence[CheckedRow],
    options: Mapping[str, Any],
    tag_ids: frozenset[UUID],
) -> list[CheckedRow]:
    """Inserts the new contacts. A row that isn't inserted was just created elsewhere, so it is matched
    again."""
    created: list[CheckedRow] = []
    pending = list(rows)
    for _ in range(TRIES):
        await _match_rows(work, pending, options, tag_ids, lock=True)
        new = [row for row in pending if row.verdict == "new"]
        for row in new:
            row.contact_id = uuid7()
        inserted_ids = await contacts.insert([(row.contact_id, row.values) for row in new if row.contact_id])
        created += [row for row in new if row.contact_id in inserted_ids]
        pending = [row for row in new if row.contact_id not in inserted_ids]
        if not pending:
            break
    for row in pending:
        row.verdict, row.reason, row.contact_id = (
            "bad",
            "Someone else changed this contact. Try again.",
            None,
        )
    return created


async def _record(
    contacts: ImportedContactRepository,
    import_: Any,
    written: tuple[Sequence[CheckedRow], Sequence[CheckedRow]],
    tagged: Sequence[tuple[UUID, UUID]],
    names: Mapping[UUID, str],
) -> None:
    """Events and audit of a batch; one audit row per contact."""
    created, changed = written
    added: dict[UUID, list[str]] = {}
    for contact, tag in tagged:
        added.setdefault(contact, []).append(names[tag])
    facts: list[tuple[str, UUID, Mapping[str, Any]]] = []
    entries: list[tuple[str, UUID, Mapping[str, Any]]] = []
    for action, rows in (("contact.created", created), ("contact.updated", changed)):
        for row in rows:
            if row.contact_id is None:
                continue
            edits = {key: pair for key, pair in row.changes.items() if key != "tags"}
            if action == "contact.created":
                facts.append((action, row.contact_id, {}))
                edits = {key: [None, value] for key, value in row.values.items()}
            elif edits:
                facts.append((action, row.contact_id, {"changes": edits}))
            if row.contact_id in added:
                edits = edits | {"tags": [None, ", ".join(sorted(added[row.contact_id]))]}
            entries.append((action, row.contact_id, edits))
    facts += [("tag.added", contact, {"tag_id": str(tag)}) for contact, tag in tagged]
    await contacts.events(facts)
    await contacts.audit(import_.id, import_.filename, entries)
