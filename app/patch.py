"""Fields of an edit: a missing field does not change; null clears a field that may be empty."""

from typing import TypeVar, Union

from msgspec import UNSET, UnsetType

T = TypeVar("T")
# The type of a field of an edit; its default is `UNSET`.
Patch = Union[T, UnsetType]  # noqa: UP007 -- mypy doesn't accept `|` in a generic alias


def resolve(change: Patch[T], stored: T) -> T:
    """The value after an edit: the sent value, or the stored one if the field was not sent."""
    return stored if change is UNSET else change
