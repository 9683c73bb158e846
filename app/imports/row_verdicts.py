"""Verdicts on imported rows, for both jobs of an import: `match_rows` compares rows with the current
contacts, `row_of` and `previewed` write a verdict to its stored row and read it back."""

from collections import Counter
from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec

from app.contacts.domain import display_name
from app.filters.fields import TEXT_FIELDS, Fields, FieldSpec, defaults_of, required_fields
from app.imports.domain.consents import CHANNELS
from app.imports.domain.row_matching import (
    ALSO_DENIED,
    LIKENESS_FIELDS,
    CheckedRow,
    ExistingContact,
    Values,
    Verdict,
    denied_consents,
    describes_other_person,
    match_row,
    matching_keys,
    reject,
)
from app.imports.domain.stored import ExternalIdMatch, ImportOptions, RowValues, read_values
from app.work import Work
from db.models import Import
from db.queries.import_rows import StoredRow
from db.queries.imported_contacts import MatchedContact, match_contacts

BATCH = 500

EXTERNAL_ID_MOVED = "Another contact got this external ID after the preview. Check the file again."


async def match_rows(
    work: Work,
    rows: Sequence[CheckedRow],
    options: ImportOptions,
    tags: frozenset[UUID],
    fields: Fields,
    *,
    lock: bool,
) -> None:
    """Gives every row that is not bad its verdict, judged by the current contacts. A row for a new contact
    needs a value, or a default, in each of the `fields` that are required. `lock` is for the run: it
    locks the contacts, and an external ID may only match the contact that the preview showed."""
    good = [row for row in rows if row.verdict != "bad"]
    keys: dict[str, list[str]] = {}
    for row in good:
        for kind, key in matching_keys(row.values).items():
            keys.setdefault(kind, []).append(key)
    if not good:
        return
    existing: dict[tuple[str, str], ExistingContact] = {}
    for contact in await match_contacts(work.session, keys, tags, lock=lock):
        existing_contact = _existing_contact(contact)
        if external_id := existing_contact.values.get("external_id"):
            existing.setdefault(("external_id", str(external_id)), existing_contact)
        for email in existing_contact.emails:
            existing.setdefault(("email", email), existing_contact)
        existing.setdefault(
            ("like", "\x1f".join(str(existing_contact.values.get(key) or "") for key in LIKENESS_FIELDS)),
            existing_contact,
        )
    update = options.existing == "update"
    defaults = defaults_of(fields)
    required = [spec for spec in required_fields(fields) if spec.key not in defaults]
    row_by_contact: dict[UUID, CheckedRow] = {}
    for row in good:
        match_row(row, existing, update, tags)
        _reject_incomplete(row, required)
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


def _reject_incomplete(row: CheckedRow, required: Sequence[FieldSpec]) -> None:
    missing = [spec.label for spec in required if spec.key not in row.values]
    if row.verdict == "new" and missing:
        reject(row, f"{', '.join(missing)}: required for a new contact.")


def _existing_contact(contact: MatchedContact) -> ExistingContact:
    stored = msgspec.structs.asdict(contact)
    values: Values = {
        name: value for name in (*TEXT_FIELDS, *CHANNELS) if (value := stored[name]) is not None
    }
    custom: Values = {f"custom.{field_id}": value for field_id, value in contact.fields.items()}
    emails = frozenset(
        email for email in (contact.email, *(o["value"] for o in contact.other_emails)) if email
    )
    return ExistingContact(contact.id, values | custom, frozenset(contact.tag_ids), emails)


def row_of(row: CheckedRow) -> StoredRow:
    """A row with its verdict as it is stored."""
    values = RowValues(row.values, row.changes if row.values else {}, _external_id_match(row))
    return StoredRow(row.line, row.cells, values.stored(), row.verdict, row.reason, row.contact_id)


def _external_id_match(row: CheckedRow) -> ExternalIdMatch | None:
    if row.match is None or row.matched_by != "external_id":
        return None
    details = [str(row.match.values[key]) for key in ("email", "company") if row.match.values.get(key)]
    return ExternalIdMatch(
        display_name(row.match.values), " · ".join(details), describes_other_person(row.values, row.match)
    )


def previewed(row: StoredRow) -> CheckedRow:
    """A stored row with the verdict of the check."""
    values = read_values(row.values)
    checked_row = CheckedRow(row.line, row.cells, values.values, row.verdict)
    if values.by_external_id is not None:
        checked_row.previewed_id = row.contact_id
    return checked_row


def count_verdicts(import_: Import, added: Iterable[Verdict], removed: Iterable[Verdict]) -> None:
    """Adds verdicts to the counts of an import, and takes off those that they replace."""
    counts = Counter(added)
    counts.subtract(removed)
    import_.rows_new += counts["new"]
    import_.rows_changed += counts["changed"]
    import_.rows_unchanged += counts["unchanged"]
    import_.rows_bad += counts["bad"]
