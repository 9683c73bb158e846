"""Verdicts on imported rows, for both jobs of an import: `match_rows` compares rows with the current
contacts, `row_of` and `previewed` write a verdict to its stored row and read it back."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from app.contacts.domain import display_name
from app.filters.fields import TEXT_FIELDS
from app.imports.domain.consents import CHANNELS
from app.imports.domain.row_matching import (
    ALSO_DENIED,
    LIKENESS_FIELDS,
    CheckedRow,
    ExistingContact,
    Values,
    denied_consents,
    describes_other_person,
    match_row,
    matching_keys,
    reject,
)
from app.work import Work
from db.repositories.imported_contacts import ImportedContactRepository

BATCH = 500

EXTERNAL_ID_MOVED = "Another contact got this external ID after the preview. Check the file again."


async def match_rows(
    work: Work, rows: Sequence[CheckedRow], options: Mapping[str, Any], tags: frozenset[UUID], *, lock: bool
) -> None:
    """Gives every row that is not bad its verdict, judged by the current contacts. `lock` is for the run: it
    locks the contacts, and an external ID may only match the contact that the preview showed."""
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
            ("like", "\x1f".join(str(existing_contact.values.get(key) or "") for key in LIKENESS_FIELDS)),
            existing_contact,
        )
    update = options.get("existing", "update") == "update"
    row_by_contact: dict[UUID, CheckedRow] = {}
    for row in good:
        match_row(row, existing, update, tags)
        if lock and row.matched_by == "external_id" and row.contact_id != row.previewed_id:
            reject(row, EXTERNAL_ID_MOVED)
        if (
            row.contact_id is not None
            and (earlier := row_by_contact.setdefault(row.contact_id, row)) is not row
        ):
            denied = denied_consents(row.values)
            earlier.values |= denied
            match_row(earlier, existing, update, tags)
            reject(row, f"Same contact as line {earlier.line}.{ALSO_DENIED if denied else ''}")


def _existing_contact(contact: Any) -> ExistingContact:
    names = (*TEXT_FIELDS, *CHANNELS)
    values: Values = {name: value for name in names if (value := getattr(contact, name)) is not None}
    custom: Values = {f"custom.{field_id}": value for field_id, value in contact.fields.items()}
    return ExistingContact(contact.id, values | custom, frozenset(contact.tag_ids))


VERDICTS = ("new", "changed", "unchanged", "bad")


def row_of(row: CheckedRow) -> dict[str, Any]:
    """The stored row of a verdict, by column name."""
    values: dict[str, Any] = {"set": row.values, "changes": row.changes} if row.values else {}
    if row.match is not None and row.matched_by == "external_id":
        details = {
            key: row.match.values.get(key) for key in ("email", "company") if row.match.values.get(key)
        }
        values["by_external_id"] = {
            "name": display_name(row.match.values),
            "detail": " · ".join(str(value) for value in details.values()),
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


def previewed(row: Any) -> CheckedRow:
    """A stored row with the verdict of the check."""
    checked_row = CheckedRow(row.line, row.cells, dict(row.values.get("set", {})), row.verdict)
    if "by_external_id" in row.values:
        checked_row.previewed_id = row.contact_id
    return checked_row


def recounted(import_: Any, before: Sequence[Any], after: Sequence[CheckedRow]) -> dict[str, int]:
    """The verdict counts of an import after these rows changed their verdicts, by column name."""
    counts = {verdict: getattr(import_, f"rows_{verdict}") for verdict in VERDICTS}
    for old, new in zip(before, after, strict=True):
        counts[old.verdict] -= 1
        counts[new.verdict] += 1
    return {f"rows_{verdict}": count for verdict, count in counts.items()}
