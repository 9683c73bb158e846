"""The contacts that a bulk edit changes.

`read_selection` reads them from the form, `count_selection` checks that their number is still the one that
the member saw, and `selection_clause` turns them into SQL, for the count and for each batch of the job."""

from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from app.contacts.listing import clean_search, condition, read_filter
from app.contacts.schemas import BulkForm
from app.errors import Invalid, Unconfirmed, check_expected
from app.json_types import JsonObject
from app.web.formatting import plural
from app.work import Work
from db.models import Job
from db.queries.contact_conditions import (
    Clause,
    created_until,
    deleted_by,
    deleted_until,
    in_ids,
    live_or_deleted,
)
from db.queries.contact_pages import count_contacts

MOST_UNCONFIRMED = 100  # contacts that one click in a browser may change
MOST_SELECTED = 1_000_000
NO_SELECTION = "Select contacts in the list first, or select all that match."
NOTHING_LEFT = "None of these contacts exists anymore."


class Selection(msgspec.Struct, frozen=True):
    """Contacts by their `ids`; without ids, those that a bulk deletion deleted (`undo_of` is its job), or
    those that `q`, `f` and `match` select, as in the URL of the list. `deleted` means deleted contacts
    instead of live ones."""

    deleted: bool = False
    ids: list[UUID] | None = None
    q: str = ""
    f: list[str] = []
    match: str = "all"
    undo_of: UUID | None = None

    def args(self) -> JsonObject:
        """The selection as a job stores it in `args`."""
        stored: JsonObject = {"deleted": True} if self.deleted else {}
        if self.undo_of is not None:
            return stored | {"undo_of": str(self.undo_of)}
        if self.ids is not None:
            return stored | {"ids": [str(contact_id) for contact_id in self.ids]}
        return stored | {"q": self.q, "f": [*self.f], "match": self.match}


def check_number(form: BulkForm, total: int, *, asks: bool) -> None:
    """Compares the number of contacts that match now with the number that the caller saw. `asks` is for
    browsers: more than `MOST_UNCONFIRMED` need `expected`, which the confirmation page sends. Raises
    `Conflict` for another number, `Unconfirmed` if the member has to confirm first; both carry the current
    number."""
    expected = form.expected
    if expected is None and asks:
        expected = form.matching if form.all else len({*form.ids, *form.id})
    check_expected(expected, total, "contact matches", "contacts match")
    if asks and form.expected is None and total > MOST_UNCONFIRMED:
        raise Unconfirmed(f"This changes {plural(total, 'contact')}.", {"total": total})


async def read_selection(work: Work, form: BulkForm, *, deleted: bool = False) -> Selection:
    """The contacts that the form names: ids, or the search and conditions of a list. Raises `Invalid`."""
    if form.all:
        q = clean_search(form.q)
        read_filter(form.f, form.match, await work.fields.catalog(), await work.tags.names())
        return Selection(deleted=deleted, q=q, f=form.f, match=form.match)
    ids = sorted({*form.ids, *form.id})
    if not ids:
        raise Invalid({"ids": NO_SELECTION})
    return Selection(deleted=deleted, ids=ids)


async def count_selection(work: Work, form: BulkForm, selection: Selection, *, asks: bool = False) -> int:
    """How many contacts the selection matches now. Raises as `check_number`, and `Invalid` for none."""
    clause = await selection_clause(work, selection)
    total = await count_contacts(work.session, clause, most=MOST_SELECTED)
    check_number(form, total, asks=asks)
    if total == 0:
        raise Invalid({"ids": NOTHING_LEFT})
    return total


async def selection_clause(work: Work, selection: Selection, job: Job | None = None) -> Clause:
    """The contacts of a selection as SQL. A job changes only contacts that existed (or were deleted) when it
    was created, and its date conditions count from that moment. So it ends, and matches what its author
    saw."""
    if selection.undo_of is not None:
        return deleted_by(selection.undo_of)
    deleted = selection.deleted
    if selection.ids is not None:
        return live_or_deleted(deleted) & in_ids(selection.ids)
    zone = ZoneInfo((await work.accounts.own()).time_zone)
    fields, tags = await work.fields.catalog(), await work.tags.names()
    group = read_filter(selection.f, selection.match, fields, tags)
    moment = job.created_at if job else work.now
    clause = condition(group, selection.q, fields, zone, moment, deleted=deleted)
    if job is None:
        return clause
    return clause & (deleted_until(moment) if deleted else created_until(moment))
