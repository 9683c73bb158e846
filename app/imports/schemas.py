"""The JSON of imports and their forms."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET

from app.filters.normalize import Value
from app.imports.domain.stored import Status
from app.patch import Patch
from app.web.actions import Action


class MappingForm(msgspec.Struct, forbid_unknown_fields=True):
    """`columns` is column number (from 0) to field key or "ignore"; a missing field or column does not
    change. `tags` are the names, separated by commas, of the tags for all rows; null is none. `existing` says
    whether existing contacts are updated or skipped, `first_line` whether the file begins with a header or
    with a contact ("": as detected). `source` names the system whose external IDs the file has, such as
    hubspot: 9001 becomes hubspot:9001; null is none."""

    columns: dict[str, str] = {}
    tags: Patch[Annotated[str, msgspec.Meta(max_length=1000)] | None] = UNSET
    existing: Patch[Literal["update", "skip"]] = UNSET
    source: Patch[Annotated[str, msgspec.Meta(max_length=200)] | None] = UNSET
    first_line: Literal["", "names", "person"] = ""


class ImportSummary(msgspec.Struct, kw_only=True):
    """One import. `done` of `total` rows are checked or written, depending on the status; `new`, `changed`,
    `unchanged` and `bad` count the verdicts so far, `written` the rows that were written to contacts."""

    id: UUID
    filename: str
    status: Status
    rows: int
    new: int
    changed: int
    unchanged: int
    bad: int
    done: int
    total: int
    written: int
    created_at: datetime
    created_by: str
    finished_at: datetime | None
    error: str


class FileColumn(msgspec.Struct):
    """A column of the file and the field it fills ("ignore" for none). In an `opt_out` column, recognized by
    its name, yes or a date means that consent is denied."""

    number: int
    name: str
    samples: list[str]
    field: str
    opt_out: bool = False


class RowSample(msgspec.Struct):
    """A row as an example. `line` counts as a spreadsheet does; `changes` are label, from, to."""

    line: int
    title: str
    detail: str
    reason: str
    contact_id: UUID | None
    changes: list[tuple[str, Value, Value]]


class RejectionReason(msgspec.Struct):
    """A reason for rejecting rows, and the number of rows."""

    reason: str
    count: int


class VerdictRows(msgspec.Struct):
    """Examples of one verdict; `reasons` are the most frequent reasons of bad rows."""

    verdict: str
    label: str
    count: int
    rows: list[RowSample]
    reasons: list[RejectionReason] = []


class MatchSample(msgspec.Struct):
    """A row that an external ID matches to a contact: the name in the file, and the contact. `differs` says
    that they have different names or emails."""

    line: int
    external_id: str
    title: str
    detail: str
    contact_id: UUID | None
    contact_name: str
    contact_detail: str
    differs: bool


class ExternalIdMatches(msgspec.Struct):
    """Rows that are matched by external ID. `differing` of `count` have another name or email."""

    count: int
    differing: int
    rows: list[MatchSample]


class TargetField(msgspec.Struct):
    """A field that a column may fill."""

    key: str
    label: str


class ImportPage(msgspec.Struct, kw_only=True):
    """One import at its stage: `step` is columns, checking, preview, running or result."""

    item: ImportSummary
    step: str
    encoding: str
    delimiter: str
    columns: list[FileColumn]
    choices: list[TargetField]
    tags: list[str]
    existing: str
    source: str
    first_line: str
    job_id: UUID | None
    verdicts: list[VerdictRows]
    matched_by_external_id: ExternalIdMatches | None
    actions: list[Action]


class UploadPage(msgspec.Struct):
    """The form to upload a file, with its limits: `max_bytes` and `max_rows`."""

    max_bytes: int
    max_rows: int
    actions: list[Action]


class ImportList(msgspec.Struct):
    """Imports, newest first."""

    items: list[ImportSummary]
    next: str
    previous: str
    actions: list[Action]
