"""Who uses something that filters and steps name by id: what "used by" lists."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

import msgspec


class Use(msgspec.Struct, frozen=True):
    """One user of a thing. A workflow uses it in its `live` version, in one that `people` are in, or in its
    `draft`; a segment in its filter."""

    kind: Literal["workflow", "segment"]
    id: UUID
    name: str
    how: Literal["live", "people", "draft", ""]
    href: str


def refusal(what: str, uses: Sequence[Use], then: str = "delete it") -> str:
    """Why it cannot go, and what to do."""
    return (
        f"{what} is used by {', '.join(use.name for use in uses)}. Take it out there (publish a workflow "
        f"again that is live), then {then}."
    )
