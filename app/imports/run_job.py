"""The job that writes the checked rows into the contacts, one batch per transaction.

`run_import` is the entry point. It continues with the rows that are not marked as applied, so a killed worker
loses and repeats nothing."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec
from sqlalchemy.exc import IntegrityError

from app.filters.fields import Fields, defaults_of
from app.imports.domain.row_matching import CheckedRow
from app.imports.domain.stored import ImportOptions, read_options
from app.imports.row_verdicts import BATCH, count_verdicts, match_rows, previewed
from app.json_types import Json, JsonObject
from app.work import Work
from db.ids import uuid7
from db.models import Import, Job
from db.queries.contact_audit import ContactAuditEntry, insert_contact_audit_entries
from db.queries.fields import keep_fields
from db.queries.import_rows import AppliedRow, list_unapplied_rows, mark_rows_applied
from db.queries.imported_contacts import (
    AddedTag,
    ContactValues,
    add_tags_of_import,
    insert_contacts,
    update_imported_contacts,
)
from db.queries.new_events import NewEvent, insert_events
from db.queries.statements import UNIQUE_VIOLATION, sqlstate_of

TRIES = 3


async def run_import(work: Work, job: Job) -> bool:
    """Writes the next batch of rows into the contacts; True when no row is left. A row whose contact was
    created or changed since the check gets a new verdict."""
    import_id = msgspec.convert(job.args["import_id"], UUID)
    import_ = await work.imports.lock(import_id)
    if import_ is None or import_.status != "running" or import_.job_id != job.id:
        return True
    stored_rows = await list_unapplied_rows(work.session, import_id, BATCH)
    rows = [previewed(row) for row in stored_rows]
    if rows:
        await keep_fields(work.session, {key for row in rows for key in row.values})
        fields = await work.fields.catalog()
        if defaults := defaults_of(fields):
            await keep_fields(work.session, defaults)
            fields = await work.fields.catalog()
        for row in rows:
            row.values = {key: value for key, value in row.values.items() if key in fields}
        await _write(work, import_, rows, fields)
        applied = [AppliedRow(row.line, row.verdict, row.reason, row.contact_id) for row in rows]
        await mark_rows_applied(work.session, import_id, applied, work.now)
    finished = len(rows) < BATCH
    count_verdicts(import_, [row.verdict for row in rows], [row.verdict for row in stored_rows])
    import_.applied += len(rows)
    job.progress = import_.applied
    if finished:
        import_.status, import_.finished_at, import_.content = "done", work.now, b""
        totals = {
            "new": (None, import_.rows_new),
            "changed": (None, import_.rows_changed),
            "unchanged": (None, import_.rows_unchanged),
            "bad": (None, import_.rows_bad),
        }
        work.audit("import.finished", "import", import_id, totals)
    await work.imports.save(import_, work.now)
    await work.commit()
    return finished


async def _write(work: Work, import_: Import, rows: Sequence[CheckedRow], fields: Fields) -> None:
    """Writes one batch: contacts, tags, events and audit entries, each with one statement."""
    options = read_options(import_.options)
    tags = await work.tags.ensure(options.tags)
    tag_ids = frozenset(tags.values())
    created = await _create(work, rows, options, tag_ids, fields)
    changed = [row for row in rows if row.verdict == "changed" and row.contact_id is not None]
    edited = [
        ContactValues(row.contact_id, {key: row.values[key] for key in row.changes if key != "tags"})
        for row in changed
        if row.contact_id and set(row.changes) - {"tags"}
    ]
    await update_imported_contacts(work.session, edited, work.now)
    written = [row.contact_id for row in (*created, *changed) if row.contact_id]
    tagged = await add_tags_of_import(work.session, written, sorted(tag_ids), work.now)
    await _record(work, import_, (created, changed), tagged, {tag: name for name, tag in tags.items()})
    if written:
        work.notify_worker("match")


async def _create(
    work: Work,
    rows: Sequence[CheckedRow],
    options: ImportOptions,
    tag_ids: frozenset[UUID],
    fields: Fields,
) -> list[CheckedRow]:
    """Inserts the new contacts, with the defaults of fields that the file doesn't fill. When an insert is
    skipped, another transaction has created the contact in the meantime, so the row is matched again."""
    created: list[CheckedRow] = []
    pending, defaults = list(rows), defaults_of(fields)
    for _ in range(TRIES):
        await match_rows(work, pending, options, tag_ids, fields, lock=True)
        new = {uuid7(): row for row in pending if row.verdict == "new"}
        for contact_id, row in new.items():
            row.contact_id = contact_id
        contacts = [ContactValues(contact_id, defaults | row.values) for contact_id, row in new.items()]
        inserted_ids = await _inserted(work, contacts)
        inserted = [row for contact_id, row in new.items() if contact_id in inserted_ids]
        for row in inserted:
            row.values = defaults | row.values
        created += inserted
        pending = [row for contact_id, row in new.items() if contact_id not in inserted_ids]
        if not pending:
            break
    for row in pending:
        row.verdict, row.reason, row.contact_id = (
            "bad",
            "Someone else changed this contact. Try again.",
            None,
        )
    return created


async def _inserted(work: Work, contacts: Sequence[ContactValues]) -> set[UUID]:
    """Inserts contacts; none of them when another transaction has just given one of their emails to a contact
    as one of its other emails."""
    try:
        async with work.session.begin_nested():
            return await insert_contacts(work.session, contacts, work.now)
    except IntegrityError as error:
        if sqlstate_of(error) != UNIQUE_VIOLATION:
            raise
        return set()


async def _record(
    work: Work,
    import_: Import,
    written: tuple[Sequence[CheckedRow], Sequence[CheckedRow]],
    tagged: Sequence[AddedTag],
    names: Mapping[UUID, str],
) -> None:
    """Writes the events of a batch, and one audit entry per contact."""
    created, changed = written
    added: dict[UUID, list[str]] = {}
    for tag in tagged:
        added.setdefault(tag.contact_id, []).append(names[tag.tag_id])
    events: list[NewEvent] = []
    entries: list[ContactAuditEntry] = []
    for action, rows in (("contact.created", created), ("contact.updated", changed)):
        for row in rows:
            if row.contact_id is None:
                continue
            edits: dict[str, list[Json]] = {
                key: [*pair] for key, pair in row.changes.items() if key != "tags"
            }
            if action == "contact.created":
                events.append(_event(action, row.contact_id, {}))
                edits = {key: [None, value] for key, value in row.values.items()}
            elif edits:
                events.append(_event(action, row.contact_id, {"changes": {**edits}}))
            if row.contact_id in added:
                edits = edits | {"tags": [None, ", ".join(sorted(added[row.contact_id]))]}
            entries.append(ContactAuditEntry(action, row.contact_id, edits))
    events += [_event("tag.added", tag.contact_id, {"tag_id": str(tag.tag_id)}) for tag in tagged]
    await insert_events(work.session, events, work.now)
    await insert_contact_audit_entries(
        work.session, entries, actor_kind="import", actor_id=str(import_.id), actor_name=import_.filename,
        now=work.now,
    )  # fmt: skip


def _event(kind: str, contact_id: UUID, data: JsonObject) -> NewEvent:
    event_id = uuid7()
    return NewEvent(event_id, kind, contact_id, "import", data, event_id)
