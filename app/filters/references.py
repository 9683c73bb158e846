"""The "used by" lists: which workflows and segments use a field, tag, segment, workflow or member.
`db.queries.references` fills them."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

import msgspec


class Use(msgspec.Struct, frozen=True):
    """One workflow or segment that uses the item. `how`: a workflow uses it in its `live` version, in an
    older version with active enrollments (`people`), or in its `draft`; "" for a segment, which uses it in
    its filter."""

    kind: Literal["workflow", "segment"]
    id: UUID
    name: str
    how: Literal["live", "people", "draft", ""]
    href: str


def still_used_message(what: str, uses: Sequence[Use], then: str = "delete it") -> str:
    """The message for an item (`what`) that cannot be removed while it is used; `then` is what the member can
    do afterward."""
    return (
        f"{what} is used by {', '.join(use.name for use in uses)}. Remove it there first (and republish "
        f"live workflows), then {then}."
    )
