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
    LIKENESS,
    TAKEN_OVER,
    Judged,
    Known,
    Values,
    denied_in,
    judge,
    keys_of,
    other_person,
    read_row,
    refuse,
    repeated,
)
from app.work import Work
from db.ids import uuid7
from db.models import Job
from db.repositories.imported_contacts import ImportedContacts

BATCH = 500
MOST_CURSORS = 2
TRIES = 3
MEANWHILE = "Another contact got this external id after the preview. Check the file again."


class Cursor(msgspec.Struct):
    """Where the check of a file is. `seen` tells which line has a key first."""

    rows: Iterator[tuple[int, list[str]]]
    checked: int
    seen: dict[tuple[str, str], int]


# Kept between the batches of one process, so that a file is parsed once and not once a batch. An entry is
# taken out while its batch runs and put back after the commit: a batch that failed starts from the rows.
_cursors: dict[UUID, Cursor] = {}


async def check_import(work: Work, job: Job) -> bool:
    """Judges the next rows of a file; True when all have a verdict. Touches no contact."""
    import_id = UUID(job.args["import_id"])
    found = await work.imports.locked(import_id)
    if found is None or found.status != "checking" or found.job_id != job.id:
        return True
    cursor = _cursors.pop(job.id, None)
    if cursor is None or cursor.checked != found.rows_checked:
        cursor = await _cursor_of(work, found)
    lines = [line for _, line in zip(range(BATCH), cursor.rows, strict=False)]
    fields = await work.fields.catalogue()
    region = (await work.accounts.own()).default_region
    columns = [(int(number), key) for number, key in sorted(found.mapping.items())]
    reading = partial(_stored, region=region, fields=fields)
    width = len(found.header)
    opt_out = {number for number, name in enumerate(found.header) if is_opt_out(name)}
    rows = [read_row(line, cells, columns, width, reading, fields, opt_out) for line, cells in lines]
    denials: dict[int, Values] = {}
    rows = [row if row.verdict == "bad" else repeated(row, cursor.seen, denials) for row in rows]
    before, again = await _denied_meanwhile(work, found, rows, denials)
    tags = await _tags_there(work, found.options.get("tags", []))
    await _judge(work, [*again, *rows], found.options, tags, lock=False)
    await _save_verdicts(work, found, rows, before, again)
    finished = len(lines) < BATCH
    if finished:
        await work.imports.change(import_id, status="ready", rows_total=found.rows_checked + len(rows))
    await work.imports.job_progress(job.id, found.rows_checked + len(rows), found.rows_total)
    await work.commit()
    if not finished:
        cursor.checked += len(rows)
        _keep(job.id, cursor)
    return finished


async def _denied_meanwhile(
    work: Work, found: Any, rows: Sequence[Judged], denials: Mapping[int, Values]
) -> tuple[Sequence[Any], list[Judged]]:
    """Gives lines what later lines of the same person deny. Those of earlier batches are taken out, as they
    were and as they are to be judged again."""
    for row in rows:
        row.values |= denials.get(row.line, {})
    here = {row.line for row in rows}
    before = await work.imports.take_rows(found.id, [line for line in denials if line not in here])
    again = [_previewed(row) for row in before]
    for row in again:
        row.values |= denials[row.line]
    return before, again


def _stored(values: Mapping[str, object], region: str, fields: Fields) -> tuple[Values, dict[str, str]]:
    """What a contact would store for a row, and sentences by field key; "" is the row as a whole."""
    clean, errors = normalise(values, region, fields)
    nobody = None if errors else nameless(clean)
    return clean, {"": nobody} if nobody else errors


def _keep(job_id: UUID, cursor: Cursor) -> None:
    while len(_cursors) >= MOST_CURSORS:
        _cursors.pop(next(iter(_cursors)))
    _cursors[job_id] = cursor


async def _cursor_of(work: Work, found: Any) -> Cursor:
    """A cursor behind the rows that have a verdict already."""
    text, _encoding = decode(await work.imports.content(found.id))
    rows = data_lines(text, found.delimiter, found.options.get("has_header", True))
    seen: dict[tuple[str, str], int] = {}
    if found.rows_checked:
        last = await work.imports.last_line(found.id)
        for row in await work.imports.seen(found.id):
            for key in keys_of(row.values).items():
                seen.setdefault(key, row.line)
        rows = (row for row in rows if row[0] > last)
    return Cursor(rows, found.rows_checked, seen)


async def _tags_there(work: Work, names: Sequence[str]) -> frozenset[UUID]:
    """Ids of the tags to add; a random one for each that is still to be created, which nobody carries."""
    there = await work.imports.tag_ids(names)
    return frozenset(there.get(name) or uuid7() for name in names)


async def _judge(
    work: Work, rows: Sequence[Judged], options: Mapping[str, Any], tags: frozenset[UUID], *, lock: bool
) -> None:
    """Gives every row that is not bad its verdict, as the contacts are now. When it is written (`lock`), an
    external id leads only to the contact that the preview showed."""
    good = [row for row in rows if row.verdict != "bad"]
    keys: dict[str, list[str]] = {}
    for row in good:
        for kind, key in keys_of(row.values).items():
            keys.setdefault(kind, []).append(key)
    if not good:
        return
    contacts = ImportedContacts(work.session, work.now)
    known: dict[tuple[str, str], Known] = {}
    for contact in await contacts.matching(keys, tags, lock=lock):
        one = _known(contact)
        for kind in ("external_id", "email"):
            if value := one.values.get(kind):
                known.setdefault((kind, str(value)), one)
        known.setdefault(("like", "\x1f".join(str(one.values.get(key) or "") for key in LIKENESS)), one)
    update = options.get("existing", "update") == "update"
    met: dict[UUID, Judged] = {}
    for row in good:
        judge(row, known, update, tags)
        if lock and row.matched_by == "external_id" and row.contact_id != row.previewed_id:
            refuse(row, MEANWHILE)
        if row.contact_id is not None and (earlier := met.setdefault(row.contact_id, row)) is not row:
            denied = denied_in(row.values)
            earlier.values |= denied
            judge(earlier, known, update, tags)
            refuse(row, f"Same contact as line {earlier.line}.{TAKEN_OVER if denied else ''}")


def _known(contact: Any) -> Known:
    names = (*TEXT_FIELDS, *CHANNELS)
    values: Values = {name: value for name in names if (value := getattr(contact, name)) is not None}
    own: Values = {f"custom.{field_id}": value for field_id, value in contact.fields.items()}
    return Known(contact.id, values | own, frozenset(contact.tag_ids))


async def _save_verdicts(
    work: Work, found: Any, rows: Sequence[Judged], before: Sequence[Any], again: Sequence[Judged]
) -> None:
    """Those of `rows`, which are new, and of `again`, which were counted as `before`."""
    await work.imports.add_rows(found.id, [_row_of(row) for row in (*again, *rows)], work.now)
    counts = _recounted(found, before, again)
    for row in rows:
        counts[f"rows_{row.verdict}"] += 1
    await work.imports.change(found.id, rows_checked=found.rows_checked + len(rows), **counts)


VERDICTS = ("new", "changed", "unchanged", "bad")


def _row_of(row: Judged) -> dict[str, Any]:
    values: dict[str, Any] = {"set": row.values, "changes": row.changes} if row.values else {}
    if row.match is not None and row.matched_by == "external_id":
        there = {key: row.match.values.get(key) for key in ("email", "company") if row.match.values.get(key)}
        values["by_external_id"] = {
            "name": display_name(row.match.values),
            "detail": " · ".join(str(value) for value in there.values()),
            "differs": other_person(row.values, row.match),
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
    found = await work.imports.locked(import_id)
    if found is None or found.status != "running" or found.job_id != job.id:
        return True
    todo = await work.imports.todo(import_id, BATCH)
    rows = [_previewed(row) for row in todo]
    if rows:
        fields = await work.fields.catalogue()
        for row in rows:
            row.values = {key: value for key, value in row.values.items() if key in fields}
        await _write(work, found, rows)
        await work.imports.applied(import_id, [_row_of(row) for row in rows], work.now)
    finished = len(rows) < BATCH
    counts = _recounted(found, todo, rows)
    ending: dict[str, Any] = {"status": "done", "finished_at": work.now, "content": b""} if finished else {}
    await work.imports.change(import_id, applied=found.applied + len(rows), **counts, **ending)
    await work.imports.job_progress(job.id, found.applied + len(rows), job.total)
    if finished:
        totals = {name.removeprefix("rows_"): (None, count) for name, count in counts.items()}
        work.audit("import.finished", "import", import_id, totals)
    await work.commit()
    return finished


def _previewed(row: Any) -> Judged:
    """A row as the check left it."""
    judged = Judged(row.line, row.cells, dict(row.values.get("set", {})), row.verdict)
    if "by_external_id" in row.values:
        judged.previewed_id = row.contact_id
    return judged


def _recounted(found: Any, before: Sequence[Any], after: Sequence[Judged]) -> dict[str, int]:
    counts = {verdict: getattr(found, f"rows_{verdict}") for verdict in VERDICTS}
    for old, new in zip(before, after, strict=True):
        counts[old.verdict] -= 1
        counts[new.verdict] += 1
    return {f"rows_{verdict}": count for verdict, count in counts.items()}


async def _write(work: Work, found: Any, rows: Sequence[Judged]) -> None:
    """Writes one batch: contacts, tags, events and audit, each with one statement."""
    names = found.options.get("tags", [])
    tags = await work.tags.ensure(names)
    tag_ids = frozenset(tags.values())
    contacts = ImportedContacts(work.session, work.now)
    created = await _create(work, contacts, rows, found.options, tag_ids)
    changed = [row for row in rows if row.verdict == "changed" and row.contact_id is not None]
    edited = [
        (row.contact_id, row.values) for row in changed if row.contact_id and set(row.changes) - {"tags"}
    ]
    await contacts.update(edited)
    written = [row.contact_id for row in (*created, *changed) if row.contact_id]
    tagged = await contacts.tag(written, sorted(tag_ids))
    await _record(contacts, found, (created, changed), tagged, {tag: name for name, tag in tags.items()})
    if written:
        work.notify_worker()


async def _create(
    work: Work,
    contacts: ImportedContacts,
    rows: Sequence[Judged],
    options: Mapping[str, Any],
    tag_ids: frozenset[UUID],
) -> list[Judged]:
    """Adds those who are new. Who is not inserted exists since a moment: those are judged again."""
    created: list[Judged] = []
    pending = list(rows)
    for _ in range(TRIES):
        await _judge(work, pending, options, tag_ids, lock=True)
        new = [row for row in pending if row.verdict == "new"]
        for row in new:
            row.contact_id = uuid7()
        made = await contacts.insert([(row.contact_id, row.values) for row in new if row.contact_id])
        created += [row for row in new if row.contact_id in made]
        pending = [row for row in new if row.contact_id not in made]
        if not pending:
            break
    for row in pending:
        row.verdict, row.reason, row.contact_id = (
            "bad",
            "This contact was changed by others. Try again.",
            None,
        )
    return created


async def _record(
    contacts: ImportedContacts,
    found: Any,
    written: tuple[Sequence[Judged], Sequence[Judged]],
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
    await contacts.audit(found.id, found.filename, entries)
