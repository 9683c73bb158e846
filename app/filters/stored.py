"""Reads filters that segments store: JSON that an older or newer version of this program may have written."""

from collections.abc import Iterable
from typing import Protocol
from uuid import UUID

import msgspec

from app.filters.ast import Filter, FilterError, Group, Predicate
from app.json_types import Json


class HasFilter(Protocol):
    """A segment, or a row with its filter."""

    @property
    def id(self) -> UUID: ...
    @property
    def filter(self) -> Json: ...


def decode_filter(stored: Json) -> Filter:
    """A stored filter. Raises FilterError for JSON that this version does not know."""
    try:
        expression: Filter = msgspec.convert(stored, Group | Predicate)
    except (msgspec.ValidationError, RecursionError) as error:
        raise FilterError({"": f"This filter cannot be read: {error}"}) from None
    return expression


def decode_filter_or_none(stored: Json) -> Filter | None:
    """A stored filter; None for one that cannot be read."""
    try:
        return decode_filter(stored)
    except FilterError:
        return None


def decode_filters(segments: Iterable[HasFilter]) -> dict[UUID, Filter | None]:
    """The filters of segments; None for an unreadable one, so that only filters that refer to it fail."""
    return {row.id: decode_filter_or_none(row.filter) for row in segments if row.filter is not None}
