"""The JSON of segments and their forms."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta

from app.contacts.schemas import Chip
from app.filters.references import Use
from app.patch import Patch
from app.web.actions import Action

Name = Annotated[
    str, Meta(min_length=1, max_length=80, extra={"error": "Enter a name of 1 to 80 characters."})
]
Conditions = Annotated[list[str], Meta(max_length=100)]


class SegmentForm(msgspec.Struct, forbid_unknown_fields=True):
    """`f` and `match` are the filter, as in the URL of the contact list."""

    name: Name
    f: Conditions = []
    match: Literal["all", "any"] = "all"


class SegmentChangeForm(msgspec.Struct, forbid_unknown_fields=True):
    """A missing field does not change: `match` alone combines the same conditions in another way. `rev` is
    the revision that the caller saw: when it is outdated, nothing is saved (409)."""

    name: Patch[Name] = UNSET
    f: Patch[Conditions] = UNSET
    match: Patch[Literal["all", "any"]] = UNSET
    rev: int | None = None


class SegmentView(msgspec.Struct):
    """`contacts` counts up to 10,000 (`more_than_contacts` when there are more) and is null when the filter
    can't be evaluated or it was not `counted`. `watched`: a live workflow reacts to contacts entering or
    leaving. `href` lists the contacts, `edit_href` opens the filter's conditions for editing."""

    id: UUID
    name: str
    described: str
    filter: Any  # Any: msgspec and OpenAPI cannot describe JSON that is nested
    f: list[str]
    match: str
    rev: int
    contacts: int | None
    more_than_contacts: bool
    watched: bool
    created_by: str
    created_at: datetime
    updated_at: datetime
    href: str
    edit_href: str
    counted: bool = True


class SegmentList(msgspec.Struct):
    """Segments by name; `next` and `previous` are addresses, "" for none. `counts_href` counts the contacts
    of those that were not counted, "" when all were."""

    items: list[SegmentView]
    next: str
    previous: str
    actions: list[Action]
    counts_href: str = ""


class SegmentCount(msgspec.Struct):
    """The number of contacts in a segment now, as in `SegmentView`; null also when counting took too long."""

    id: UUID
    name: str
    contacts: int | None
    more_than_contacts: bool
    href: str


class SegmentCounts(msgspec.Struct):
    counts: list[SegmentCount]


class SegmentPage(msgspec.Struct):
    """`chips` are the conditions, with the URLs of the contact list that change or remove one of them."""

    segment: SegmentView
    used_by: list[Use]
    chips: list[Chip]
    actions: list[Action]


class SegmentFormPage(msgspec.Struct):
    """The form that saves a filter: the filter as a sentence, and the number of contacts that match now."""

    f: list[str]
    match: str
    described: str
    contacts: int
    more_than_contacts: bool
    href: str
    problem: str
    actions: list[Action]
