"""Pages of a list. `read_paging` reads which page a request asks for, `neighbor_links` links to the pages
beside it, and `part_of` takes a page out of a list that is read whole.

In a list that is sorted by id, the cursor is the id of its last (`after`) or first row (`before`). A list
with another sort order needs the sort value too: `write_cursor` packs both into one text."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Protocol, TypeAlias, TypeVar
from urllib.parse import urlencode
from uuid import NAMESPACE_OID, UUID, uuid5

import msgspec
from litestar.params import FromQuery, QueryParameter

from app.errors import Invalid

T = TypeVar("T")
RowT = TypeVar("RowT")
Links = tuple[str, str]  # the URLs of the next and the previous page, "" for none
USUAL_PAGE, LARGEST_PAGE = 50, 200
LIMITS = {"minimum": 1, "maximum": LARGEST_PAGE}  # in the OpenAPI document; `check_page` checks them
Limit: TypeAlias = Annotated[int | None, QueryParameter(schema_extra=LIMITS)]
MISPLACED = "The list was sorted differently. Go back to its first page."
GONE = "The list has changed. Go back to its first page."


class Identified(Protocol):
    """A row of a list that is sorted by id."""

    @property
    def id(self) -> UUID: ...


class Paging(msgspec.Struct, frozen=True):
    """The page that a request asks for: at most `limit` rows after or before one of the list; None for the
    usual number, and for the first page."""

    after: UUID | None = None
    before: UUID | None = None
    limit: int | None = None

    def size(self, usual: int = USUAL_PAGE) -> int:
        """How many rows to read."""
        return self.limit or usual

    def query(self) -> dict[str, str]:
        """The parameters that ask for the same page."""
        parameters = {"after": self.after, "before": self.before, "limit": self.limit}
        return {name: str(value or "") for name, value in parameters.items()}


FIRST_PAGE = Paging()


def read_paging(
    after: FromQuery[UUID | None] = None,
    before: FromQuery[UUID | None] = None,
    limit: Limit = None,
) -> Paging:
    """The dependency `paging` of every list in which the cursor is an id: `after`, `before` and `limit`."""
    check_page(limit, after, before)
    return Paging(after, before, limit)


def check_page(
    limit: int | None, after: UUID | str | None, before: UUID | str | None, rows: str = "rows"
) -> None:
    """Raises `Invalid` for a page that is too large, and for two cursors."""
    if limit is not None and not 1 <= limit <= LARGEST_PAGE:
        raise Invalid({"limit": f"A page holds 1 to {LARGEST_PAGE} {rows}."})
    if after and before:
        raise Invalid({"before": "Send “after” or “before”, not both."})


def gone(paging: Paging) -> Invalid:
    """The error for a cursor whose row has left the list."""
    return Invalid({"after" if paging.before is None else "before": GONE})


def neighbor_links(
    path: str, filters: Mapping[str, str], rows: Sequence[Identified], paging: Paging, *, more: bool
) -> Links:
    """The URLs of the next and the previous page. `rows` is this page in the order of the list; `more` says
    whether there are more rows in the direction of `before` or, without it, of `after`."""
    if not rows:
        return "", ""
    has_next = more if paging.before is None else True
    has_previous = more if paging.before is not None else paging.after is not None
    last, first = rows[-1].id if has_next else None, rows[0].id if has_previous else None
    return _links(path, filters, paging, last, first)


def part_of(
    path: str, rows: Sequence[RowT], paging: Paging, key: Callable[[RowT], UUID], most: int | None = None
) -> tuple[Sequence[RowT], Links]:
    """A page of a list that is read whole, and its links. Without `limit` it goes to the end of the list, or
    has `most` rows. `key` is the cursor of a row. Raises `Invalid` when the row of the cursor is gone."""
    start, end, size = 0, len(rows), paging.size(usual=len(rows) if most is None else most)
    if paging.before is not None:
        end = _place(rows, key, paging.before, paging)
        start = max(0, end - size)
    elif paging.after is not None:
        start = _place(rows, key, paging.after, paging) + 1
    end = min(end, start + size)
    part = rows[start:end]
    following = key(part[-1]) if part and end < len(rows) else None
    return part, _links(path, {}, paging, following, key(part[0]) if part and start else None)


def _place(rows: Sequence[RowT], key: Callable[[RowT], UUID], cursor: UUID, paging: Paging) -> int:
    place = next((number for number, row in enumerate(rows) if key(row) == cursor), None)
    if place is None:
        raise gone(paging)
    return place


def _links(
    path: str, filters: Mapping[str, str], paging: Paging, last: UUID | None, first: UUID | None
) -> Links:
    query = {**filters, "limit": str(paging.limit or "")}
    return (
        page_link(path, query, after=last) if last is not None else "",
        page_link(path, query, before=first) if first is not None else "",
    )


def cursor_of(text: str | int) -> UUID:
    """The cursor of a row that has no id, from what is unique about it."""
    return uuid5(NAMESPACE_OID, str(text))


def page_link(path: str, filters: Mapping[str, str], **cursor: UUID) -> str:
    """The URL of a list with its filters and a cursor; empty filters are left out."""
    query = {key: value for key, value in filters.items() if value}
    query |= {key: str(value) for key, value in cursor.items()}
    return f"{path}?{urlencode(query)}" if query else path


def write_cursor(sort_value: str | float | datetime | None, row_id: UUID) -> str:
    """The position of a row in a sorted list, for `after` and `before`."""
    return base64.urlsafe_b64encode(msgspec.json.encode([sort_value, row_id])).decode().rstrip("=")


def read_cursor(cursor: str, kind: type[T], parameter: str) -> tuple[T, UUID]:
    """The sort value, as `kind` (str or datetime, say), and the row id that `write_cursor` packed. Raises
    `Invalid` for `parameter`."""
    value, row_id = read_optional_cursor(cursor, kind, parameter)
    if value is None:
        raise Invalid({parameter: MISPLACED})
    return value, row_id


def read_optional_cursor(cursor: str, kind: type[T], parameter: str) -> tuple[T | None, UUID]:
    """The same in a list whose rows may have no sort value: None."""
    expected: type[tuple[T | None, UUID]] = tuple[kind | None, UUID]  # type: ignore[valid-type]  # -- a type built at run time
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        value, row_id = msgspec.json.decode(raw, type=expected)
        misplaced = isinstance(value, datetime) and not has_utc(value)
    except (ValueError, binascii.Error, msgspec.DecodeError, UnicodeError):
        raise Invalid({parameter: MISPLACED}) from None
    if misplaced or "\0" in str(value):
        raise Invalid({parameter: MISPLACED})
    return value, row_id


def has_utc(moment: datetime) -> bool:
    """Whether a moment that a caller sent is an instant: with a zone, and within the calendar in UTC too."""
    try:
        return moment.tzinfo is not None and moment.astimezone(UTC) is not None
    except OverflowError:
        return False
