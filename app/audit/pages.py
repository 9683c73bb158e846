"""Builds the entries of the audit log."""

from collections.abc import Iterator

from app.audit.schemas import PAGES, AuditEntry, FieldChange
from app.json_types import JsonObject
from db.models import AuditLog
from db.queries.contact_history import EntryOfContact


def entry_of(entry: AuditLog | EntryOfContact) -> AuditEntry:
    """An entry of the log as the page shows it."""
    return AuditEntry(
        entry.id,
        entry.occurred_at,
        entry.actor_kind,
        entry.actor_id,
        entry.actor_name,
        entry.action,
        entry.subject_kind,
        entry.subject_id,
        list(changes_of(entry.changes)),
        entry.request_id,
        PAGES.get(entry.subject_kind, "").format(entry.subject_id),
    )


def changes_of(stored: JsonObject) -> Iterator[FieldChange]:
    """The stored changes, each `[before, after]`, by field name."""
    for field, pair in sorted(stored.items()):
        before, after = pair if isinstance(pair, list) and len(pair) == 2 else (None, pair)
        yield FieldChange(field, before, after)
