"""Imports as they come in and as they are shown."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from app.web.actions import Action

Status = Literal["uploaded", "checking", "ready", "running", "done", "failed", "cancelled"]


class MappingForm(msgspec.Struct, forbid_unknown_fields=True):
    """`columns` is column number (from 0) to field key or "ignore"; a column that is left out keeps its
    guess. `tags` are names, separated by commas, that every row gets. `existing` says what happens with
    contacts that are there already, `first_line` whether the file begins with the names of its columns or
    with a person ("": as it was recognised)."""

    columns: dict[str, str] = {}
    tags: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    existing: Literal["update", "skip"] = "update"
    first_line: Literal["", "names", "person"] = ""


class Summary(msgspec.Struct, kw_only=True):
    """One import. `done` of `total` rows are checked or written, as the status says; counts are the verdicts
    so far, `written` the rows that are in the contacts."""

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


class Column(msgspec.Struct):
    """A column of the file and the field it fills ("ignore" for none)."""

    number: int
    name: str
    samples: list[str]
    field: str


class RowSample(msgspec.Struct):
    """A row as an example: `line` as a spreadsheet counts. `changes` are label, from, to."""

    line: int
    title: str
    detail: str
    reason: str
    contact_id: UUID | None
    changes: list[tuple[str, Any, Any]]


class Verdicts(msgspec.Struct):
    """Examples of one verdict."""

    verdict: str
    label: str
    count: int
    rows: list[RowSample]


class Choice(msgspec.Struct):
    """A field that a column may fill."""

    key: str
    label: str


class ImportPage(msgspec.Struct, kw_only=True):
    """One import in whatever state it is; `step` is columns, checking, preview, running or result."""

    item: Summary
    step: str
    encoding: str
    delimiter: str
    columns: list[Column]
    choices: list[Choice]
    tags: list[str]
    existing: str
    first_line: str
    job_id: UUID | None
    verdicts: list[Verdicts]
    actions: list[Action]


class UploadPage(msgspec.Struct):
    """The form to upload a file: sizes in bytes."""

    most_bytes: int
    most_rows: int
    actions: list[Action]


class ImportList(msgspec.Struct):
    """Imports, newest first."""

    items: list[Summary]
    next: str
    previous: str
    actions: list[Action]
