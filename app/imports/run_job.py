"""The job that writes the checked rows into the contacts, one batch per transaction.

`run_import` is the entry point. It continues with the rows that are not marked as applied, so a killed worker
loses and repeats nothing."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from app.imports.domain.row_matching import (
    CheckedRow,
)
from app.imports.row_verdicts import BATCH, match_rows, previewed, recounted, row_of
from app.work import Work
from db.ids import uuid7
from db.models import Job
from db.repositories.imported_contacts import ImportedContactRepository

TRIES = 3


async def run_import(work: Work, job: Job) -> bool:
    """Writes the next batch of rows into the contacts; True when no row is left. A row whose contact was
    created or changed since the check gets a new verdict."""
    import_id = msgspec.convert(job.args["import_id"], UUID)
    import_ = await work.imports.lock(import_id)
    if import_ is None or import_.status != "running" or import_.job_id != job.id:
        return True
    stored_rows = await work.imports.unapplied_rows(import_id, BATCH)
    rows = [previewed(row) for row in stored_rows]
    if rows:
        fields = await work.fields.catalog()
        for row in rows:
            row.values = {key: value for key, value in row.values.items() if key in fields}
        await _write(work, import_, rows)
        await work.imports.mark_applied(import_id, [row_of(row) for row in rows], work.now)
    finished = len(rows) < BATCH
    counts = recounted(import_, stored_rows, rows)
    completion: dict[str, Any] = (
        {"status": "done", "finished_at": work.now, "content": b""} if finished else {}
    )
    await work.imports.change(import_id, applied=import_.applied + len(rows), **counts, **completion)
    await work.imports.set_job_progress(job.id, import_.applied + len(rows), job.total)
    if finished:
        totals = {name.removeprefix("rows_"): (None, count) for name, count in counts.items()}
        work.audit("import.finished", "import", import_id, totals)
    await work.commit()
    return finished


async def _write(work: Work, import_: Any, rows: Sequence[CheckedRow]) -> None:
    """Writes one batch: contacts, tags, events and audit entries, each with one statement."""
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
    """Inserts the new contacts. When an insert is skipped, another transaction has created the contact in the
    meantime, so the row is matched again."""
    created: list[CheckedRow] = []
    pending = list(rows)
    for _ in range(TRIES):
        await match_rows(work, pending, options, tag_ids, lock=True)
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
    """Writes the events of a batch, and one audit entry per contact."""
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
