"""Fields of an edit: a missing field stays as it is; null clears it if it may be empty."""

from typing import TypeVar, Union

from msgspec import UNSET, UnsetType

T = TypeVar("T")
# The type of a field of an edit; its default is `UNSET`.
Patch = Union[T, UnsetType]  # noqa: UP007 -- `|` makes no alias that takes a parameter for the checker


def resolve(change: Patch[T], stored: T) -> T:
    """The value after an edit: the sent value, or the stored one if the field is missing."""
    return stored if change is UNSET else change
