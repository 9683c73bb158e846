"""The JSON of tags and their forms."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from app.filters.references import Use
from app.web.actions import Action


class TagForm(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[
        str, Meta(min_length=1, max_length=60, extra={"error": "Enter a tag of 1 to 60 characters."})
    ]


class TagDeletionForm(msgspec.Struct, forbid_unknown_fields=True):
    """With `expected` nothing changes when another number of contacts has the tag (409 with the number)."""

    expected: Annotated[int, Meta(ge=0)] | None = None


class TagLine(msgspec.Struct):
    """`contacts` counts the contacts with this tag that are not deleted; `href` lists them."""

    id: UUID
    name: str
    contacts: int
    created_at: datetime
    href: str


class TagList(msgspec.Struct):
    """Tags by name; `next` and `previous` are addresses, "" for none."""

    items: list[TagLine]
    next: str
    previous: str
    actions: list[Action]


class TagPage(msgspec.Struct):
    """One tag; `used_by` are the workflows and segments that use it."""

    tag: TagLine
    used_by: list[Use]
    actions: list[Action]
