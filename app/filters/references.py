"""Which workflows and segments use a field, tag, segment or workflow: the "used by" lists."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

import msgspec


class Use(msgspec.Struct, frozen=True):
    """One use. A workflow uses it in its `live` version, in a version with active enrollments (`people`), or
    in its `draft`; a segment uses it in its filter."""

    kind: Literal["workflow", "segment"]
    id: UUID
    name: str
    how: Literal["live", "people", "draft", ""]
    href: str


def still_used_message(what: str, uses: Sequence[Use], then: str = "delete it") -> str:
    """The message for something that cannot be removed while it is used."""
    return (
        f"{what} is used by {', '.join(use.name for use in uses)}. Remove it there first (and republish "
        f"live workflows), then {then}."
    )
