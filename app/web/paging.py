"""Links to the next and previous page of a list, and the cursor of a list that is sorted by a value.

In a list that is sorted by id, the cursor is the id of its last (`after`) or first row (`before`). A list
with another sort order needs the sort value too: `write_cursor` packs both into one text."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar
from urllib.parse import urlencode
from uuid import UUID

import msgspec

from app.errors import Invalid

T = TypeVar("T")
MISPLACED = "The list was sorted differently. Go back to its first page."


class Identified(Protocol):
    """A row of a list that is sorted by id."""

    @property
    def id(self) -> UUID: ...


def neighbor_links(
    path: str,
    filters: Mapping[str, str],
    rows: Sequence[Identified],
    after: UUID | None,
    before: UUID | None,
    *,
    more: bool,
) -> tuple[str, str]:
    """The URLs of the next and the previous page, "" for none. `rows` is this page, newest first; `more` says
    whether there are more rows in the direction of `before` or, without it, of `after`."""
    if not rows:
        return "", ""
    has_next = more if not before else True
    has_previous = more if before else bool(after)
    return (
        page_link(path, filters, after=rows[-1].id) if has_next else "",
        page_link(path, filters, before=rows[0].id) if has_previous else "",
    )


def page_link(path: str, filters: Mapping[str, str], **cursor: UUID) -> str:
    """The URL of a list with its filters and a cursor; empty filters are left out."""
    query = {key: value for key, value in filters.items() if value}
    query |= {key: str(value) for key, value in cursor.items()}
    return f"{path}?{urlencode(query)}" if query else path


def write_cursor(sort_value: str | datetime, row_id: UUID) -> str:
    """The position of a row in a sorted list, for `after` and `before`."""
    return base64.urlsafe_b64encode(msgspec.json.encode([sort_value, row_id])).decode().rstrip("=")


def read_cursor(cursor: str, kind: type[T], parameter: str) -> tuple[T, UUID]:
    """The sort value, as `kind` (str or datetime), and the row id that `write_cursor` packed. Raises
    `Invalid` for `parameter`."""
    expected: type[tuple[T, UUID]] = tuple[kind, UUID]  # type: ignore[valid-type]  # -- a type built at run time
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        value, row_id = msgspec.json.decode(raw, type=expected)
    except (ValueError, binascii.Error, msgspec.DecodeError, UnicodeError):
        raise Invalid({parameter: MISPLACED}) from None
    if (isinstance(value, datetime) and value.tzinfo is None) or "\0" in str(value):
        raise Invalid({parameter: MISPLACED})
    return value, row_id
