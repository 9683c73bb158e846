"""Matches a row of the file to a contact: `read_row` normalizes the cells, `reject_duplicate` finds earlier
lines with the same contact, `match_row` gives the verdict (new, changed, unchanged, bad)."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal
from uuid import UUID

import msgspec

from app.filters.fields import Fields
from app.filters.normalize import Value
from app.imports.domain.columns import FULL_NAME, IGNORE
from app.imports.domain.consents import CHANNELS, DENIED, UnknownWord, consent_of

Verdict = Literal["new", "changed", "unchanged", "bad"]
Values = dict[str, Value]
Normalize = Callable[[Mapping[str, object]], tuple[Values, dict[str, str]]]
UNIQUE = ("external_id", "email")
LIKENESS_FIELDS = ("first_name", "last_name", "company", "phone")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
OTHER_CONTACT = {
    "email": "The email address belongs to another contact.",
    "external_id": "The external ID belongs to another contact.",
}
ALSO_DENIED = " Its denied consent was copied to that line."
KEY_LABELS = {"email": "email", "external_id": "external ID", "like": "name, company and phone"}


class ExistingContact(msgspec.Struct, frozen=True):
    """A stored contact: its values by field key, without blank ones. `emails` are all of its emails."""

    id: UUID
    values: Values
    tag_ids: frozenset[UUID] = frozenset()
    emails: frozenset[str] = frozenset()


class CheckedRow(msgspec.Struct):
    """One row with its verdict. `values` are the values in the file, without blank cells; `changes` is field
    key to [from, to]. `match` is the contact that the row belongs to and `matched_by` the kind of key that
    identified it; `previewed_id` is the contact that the preview showed as matched by external ID."""

    line: int
    cells: list[str]
    values: Values
    verdict: Verdict = "new"
    reason: str | None = None
    contact_id: UUID | None = None
    changes: dict[str, list[Value]] = {}
    match: ExistingContact | None = None
    matched_by: str = ""
    previewed_id: UUID | None = None


def read_row(
    line: int,
    cells: list[str],
    columns: Sequence[tuple[int, str]],
    width: int,
    normalize: Normalize,
    fields: Fields,
    opt_out: Collection[int] = (),
) -> CheckedRow:
    """Reads a row and rejects it if it is invalid by itself. `columns` are (number, field key), `width` is
    the number of columns in the header, `opt_out` the numbers of the columns in which yes means that consent
    is denied."""
    # Some programs omit empty cells at the end of a line.
    cells = [*cells, *[""] * (width - len(cells))]
    row = CheckedRow(line, cells, {})
    if any(cell.strip() for cell in cells[width:]):
        return reject(row, f"The row has {len(cells)} cells, but the header has {width}.")
    raw: dict[str, object] = {}
    for number, key in columns:
        text = unescape_formula(cells[number]).strip()
        if key == FULL_NAME:
            raw |= split_name(text)
        elif key in CHANNELS:
            try:
                state = consent_of(text, opt_out=number in opt_out)
            except UnknownWord as error:
                return reject(row, f"{fields[key].label}: {error}")
            raw |= {} if state is None else {key: state}
        elif key != IGNORE:
            raw[key] = text
    clean, errors = normalize(raw)
    if errors:
        named = (
            f"{fields[key].label}: {message}" if key in fields else message for key, message in errors.items()
        )
        return reject(row, " ".join(named))
    row.values = {key: value for key, value in clean.items() if value is not None}
    return row


def split_name(text: str) -> dict[str, str]:
    """A full name as first and last name: the last word is the last name, or the part before a comma."""
    if "," in text:
        last, _, first = text.partition(",")
        return {"first_name": first.strip(), "last_name": last.strip()}
    first, _, last = text.rpartition(" ")
    return {"first_name": first or last, "last_name": last if first else ""}


def reject(row: CheckedRow, reason: str) -> CheckedRow:
    """Gives the row the verdict "bad", with a reason for the member."""
    row.verdict, row.reason, row.contact_id, row.changes = "bad", reason, None, {}
    row.match, row.matched_by = None, ""
    return row


def matching_keys(values: Mapping[str, object]) -> dict[str, str]:
    """The keys that identify this contact, by kind: external ID and email; without both, name, company and
    phone together ("like")."""
    keys = {kind: str(values[kind]) for kind in UNIQUE if values.get(kind)}
    return keys or {"like": "\x1f".join(str(values.get(key) or "") for key in LIKENESS_FIELDS)}


def reject_duplicate(
    row: CheckedRow, first_lines: dict[tuple[str, str], int], denials: dict[int, Values]
) -> CheckedRow:
    """Rejects the row when an earlier line has the same contact, else adds its keys to `first_lines`. Its
    denied consents go to `denials`, for the earlier line."""
    keys = matching_keys(row.values)
    for kind, key in keys.items():
        if (earlier := first_lines.get((kind, key))) is not None:
            denied = denied_consents(row.values)
            if denied:
                denials[earlier] = denials.get(earlier, {}) | denied
            row.values = {}
            return reject(row, f"Same {KEY_LABELS[kind]} as line {earlier}.{ALSO_DENIED if denied else ''}")
    first_lines.update(dict.fromkeys(keys.items(), row.line))
    return row


def match_row(
    row: CheckedRow,
    existing: Mapping[tuple[str, str], ExistingContact],
    update: bool,
    tag_ids: frozenset[UUID],
) -> CheckedRow:
    """Gives a valid row its verdict. `existing` are the contacts that its keys identify; `update` false
    leaves existing contacts unchanged."""
    keys = matching_keys(row.values)
    matches = {kind: existing[kind, key] for kind, key in keys.items() if (kind, key) in existing}
    row.match, row.matched_by = None, ""
    if not matches:
        row.verdict, row.changes, row.contact_id = "new", {}, None
        return row
    kind, contact = next(iter(matches.items()))
    if conflicting := next(
        (other for other, candidate in matches.items() if candidate.id != contact.id), None
    ):
        return reject(row, OTHER_CONTACT[conflicting])
    if kind == "email" and "external_id" in keys and contact.values.get("external_id"):
        return reject(row, OTHER_CONTACT["email"])
    row.contact_id, row.match, row.matched_by = contact.id, contact, kind
    row.changes = differences(row.values, contact, tag_ids) if update else {}
    row.verdict = "changed" if row.changes else "unchanged"
    row.reason = _remark(row.values, contact) if update else "Already exists."
    return row


def denied_consents(values: Mapping[str, object]) -> Values:
    """The denied consents in these values."""
    return {key: DENIED for key in CHANNELS if values.get(key) == DENIED}


def describes_other_person(values: Mapping[str, object], contact: ExistingContact) -> bool:
    """Whether the row and the contact have different names or emails, if both have one."""
    return any(
        str(values[key]).casefold() != str(contact.values[key]).casefold()
        for key in ("first_name", "last_name", "email")
        if values.get(key) and contact.values.get(key)
    )


def _stays_denied(key: str, value: object, contact: ExistingContact) -> bool:
    """Whether a denied consent stays denied: a file is a copy of an older state, so it can't undo a
    denial."""
    return key in CHANNELS and contact.values.get(key) == DENIED and value != DENIED


def _remark(values: Mapping[str, object], contact: ExistingContact) -> str | None:
    if any(_stays_denied(key, value, contact) for key, value in values.items()):
        return "Consent stays denied. An import can't undo a denial."
    return None


def differences(values: Values, contact: ExistingContact, tag_ids: frozenset[UUID]) -> dict[str, list[Value]]:
    """Field key to [from, to] of the changes; "tags" to [0, the number of added tags]. An email that the
    contact has besides its primary one doesn't replace that."""
    changes: dict[str, list[Value]] = {
        key: [contact.values.get(key), value]
        for key, value in values.items()
        if contact.values.get(key) != value
        and not _stays_denied(key, value, contact)
        and not (key == "email" and value in contact.emails)
    }
    missing = tag_ids - contact.tag_ids
    return changes | {"tags": [0, len(missing)]} if missing else changes


def unescape_formula(cell: str) -> str:
    """A cell without the apostrophe that `escape_formula` puts in front."""
    return cell[1:] if cell[:1] == "'" and _looks_like_formula(cell[1:]) else cell


def escape_formula(cell: str) -> str:
    """A cell that no spreadsheet evaluates as a formula."""
    return f"'{cell}" if _looks_like_formula(cell) else cell


def _looks_like_formula(cell: str) -> bool:
    return cell.startswith(FORMULA) or cell.lstrip().startswith(FORMULA)
