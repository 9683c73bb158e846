"""Validates the names of segments, and all segments of an account together. Pure."""

from collections.abc import Mapping
from uuid import UUID

from app.filters.analysis import MOST_UNFOLDED, TOO_LARGE, segments_in, size_of
from app.filters.ast import Filter, FilterError

LONGEST = 80


def clean_name(name: str) -> str:
    """The name as it is stored. Raises ValueError with a message."""
    clean = " ".join(name.split())
    if not clean or len(clean) > LONGEST or not clean.isprintable():
        raise ValueError(f"Enter a name of 1 to {LONGEST} characters.")
    return clean


def group_problem(filters: Mapping[UUID, Filter | None]) -> str:
    """A message when a segment contains itself, or is too large; "" when all are valid."""
    for expression in filters.values():
        try:
            if size_of(expression, filters).conditions > MOST_UNFOLDED:
                return TOO_LARGE
        except FilterError as error:
            return " ".join(error.problems.values())
    return ""


def dependent_segments(segment: UUID, filters: Mapping[UUID, Filter | None]) -> set[UUID]:
    """The segment and all segments whose result depends on it."""
    dependent = {segment}
    while True:
        more = {
            segment_id for segment_id, expression in filters.items() if segments_in(expression) & dependent
        } - dependent
        if not more:
            return dependent
        dependent |= more
