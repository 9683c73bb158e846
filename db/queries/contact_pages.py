"""What the contact screens read: a page of the list, the number of matches, one contact. Tags and owners come
as ids: their names are in the catalogs."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import TypeAlias
from uuid import UUID

import msgspec
from sqlalchemy import func, literal, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.filters.contact_columns import COLUMNS, ContactColumns
from db.models import Contact
from db.queries.catalogs import VERSIONS_NOW
from db.queries.contact_conditions import Clause
from db.queries.counters import is_known, summed
from db.queries.driver_statements import DriverStatement, fetch_number, fetch_row, fetch_rows
from db.queries.statements import SqlValue, fetch_all, fetch_scalar, fetch_scalars
from db.tenancy import begin

MOST_COUNTED_IN_LIST = 10_000
SortValue: TypeAlias = str | datetime


class ContactRow(ContactColumns, frozen=True):
    """A contact with the ids of its tags."""

    tag_ids: list[UUID]


class BesideContact(msgspec.Struct, frozen=True):
    """What belongs to a locked contact but is not in its row, and the versions of the catalogs."""

    tag_ids: list[UUID]
    versions: list[int] | None


class ListedContact(ContactRow, frozen=True):
    """A contact in a sorted list."""

    sort_value: SortValue


_CONTACTS = Contact.__table__
_OWN_COLUMNS = ", ".join(f"contacts.{name}" for name in COLUMNS).replace(
    "contacts.owner_id", "contacts.owner_id as owner"
)
_COLUMNS = (
    f"{_OWN_COLUMNS}, array(select t.tag_id from contact_tags t"  # noqa: S608 -- constants only
    " where t.account_id = contacts.account_id and t.contact_id = contacts.id) as tag_ids"
)
_FIND_CONTACT = DriverStatement(
    ContactRow,
    f"select {_COLUMNS} from contacts where account_id = $1 and id = $2",  # noqa: S608 -- constants only
)
_LOCK_CONTACT = DriverStatement(
    ContactColumns,
    f"select {_OWN_COLUMNS} from contacts"  # noqa: S608 -- constants only
    " where account_id = $1 and id = $2 for update",
)
_READ_BESIDE = DriverStatement(
    BesideContact,
    "select array(select t.tag_id from contact_tags t"  # noqa: S608 -- constants only
    f" where t.account_id = $1 and t.contact_id = $2) as tag_ids, {VERSIONS_NOW}",
)


def _count_all(state: str, deleted_at: str) -> str:
    """SQL: from the counters, as far as the list counts; a scan while they are not known."""
    most = MOST_COUNTED_IN_LIST + 1
    return f"""
select case when {is_known("contacts")} then least({summed("contacts", f"state = '{state}'")}, {most})
       else (select count(*) from (select from contacts where account_id = current_account()
                                      and deleted_at is {deleted_at} limit {most}) as counted) end
"""  # noqa: S608 -- constants only


_COUNT_LIVE, _COUNT_DELETED = _count_all("live", "null"), _count_all("deleted", "not null")
_FIND_LIVE_CONTACTS = text("""
select id from contacts
 where account_id = current_account() and deleted_at is null and id = any(cast(:ids as uuid[]))
""")
_FIND_CONTACT_BY_EMAIL = text("""
select id from contacts where account_id = current_account() and deleted_at is null and email = :email
""")


# SQL by the key of a sort.
SORTS = {
    "name": "lower(coalesce(contacts.last_name, '') || ' ' || coalesce(contacts.first_name, ''))",
    **{name: f"lower(coalesce(contacts.{name}, ''))" for name in ("email", "company", "city", "state")},
    "created_at": "contacts.created_at",
    "updated_at": "contacts.updated_at",
}


class Place(msgspec.Struct, frozen=True):
    """Where a page of a sorted list begins: after the cursor (a sort value and an id) in the direction of
    `down`; without a cursor at its first contact. Ties are in the order of ids."""

    sort: str
    down: bool
    cursor: tuple[SortValue, UUID] | None = None

    @property
    def order(self) -> str:
        direction = "desc" if self.down else "asc"
        return f"{SORTS[self.sort]} {direction}, contacts.id {direction}"

    def edge(self, value: str, contact_id: str) -> str:
        """The condition of the contacts that follow the cursor; the arguments name its parts in the SQL."""
        return f"({SORTS[self.sort]}, contacts.id) {'<' if self.down else '>'} ({value}, {contact_id})"


async def fetch_contact_page(
    session: AsyncSession,
    condition: Clause | None,
    sort: str,
    *,
    descending: bool = False,
    cursor: tuple[SortValue, UUID] | None = None,
    backwards: bool = False,
    limit: int = 50,
    deleted: bool = False,
) -> tuple[list[ListedContact], bool]:
    """At most `limit` contacts that come after `cursor` (its sort value and id; before it when `backwards`),
    and whether there are more in that direction. Without a `condition` all live ones, or all `deleted`."""
    place = Place(sort, descending != backwards, cursor)
    if condition is None:
        statement = _whole_page(place.sort, place.down, cursor is not None, deleted, limit + 1)
        rows = await fetch_rows(session, statement, session.info["account_id"], *(cursor or ()))
    else:
        rows = await _fetch_matching(session, condition, place, limit + 1)
    page, more = rows[:limit], len(rows) > limit
    return (page[::-1] if backwards else page), more


@lru_cache(maxsize=256)
def _whole_page(
    sort: str, down: bool, from_cursor: bool, deleted: bool, limit: int
) -> DriverStatement[ListedContact]:
    place = Place(sort, down)
    edge = f" and {place.edge('$2', '$3')}" if from_cursor else ""
    return DriverStatement(
        ListedContact,
        f"select {_COLUMNS}, {SORTS[sort]} as sort_value from contacts"  # noqa: S608 -- constants only
        f" where account_id = $1 and deleted_at is {'not null' if deleted else 'null'}{edge}"
        f" order by {place.order} limit {limit}",
    )


async def _fetch_matching(
    session: AsyncSession, condition: Clause, place: Place, limit: int
) -> list[ListedContact]:
    query = (
        select(text(f"{_COLUMNS}, {SORTS[place.sort]} as sort_value"))
        .select_from(_CONTACTS)
        .where(_CONTACTS.c.account_id == session.info["account_id"], condition)
    )
    values: dict[str, SqlValue] = {}
    if place.cursor is not None:
        query = query.where(text(place.edge(":sort_value", ":cursor_id")))
        values = dict(zip(("sort_value", "cursor_id"), place.cursor, strict=True))
    query = query.order_by(text(place.order)).limit(limit)
    return await fetch_all(session, ListedContact, query, **values)


async def count_contacts(session: AsyncSession, condition: Clause, most: int = MOST_COUNTED_IN_LIST) -> int:
    """The number of contacts, counted up to one more than `most`."""
    mine = _CONTACTS.c.account_id == session.info["account_id"]
    some = select(literal(1)).select_from(_CONTACTS).where(mine, condition).limit(most + 1).subquery()
    return await fetch_scalar(session, int, select(func.count()).select_from(some)) or 0


async def count_all_contacts(session: AsyncSession, *, deleted: bool = False) -> int:
    """The number of contacts that are live, or deleted, counted up to one more than
    `MOST_COUNTED_IN_LIST`."""
    return await fetch_number(session, _COUNT_DELETED if deleted else _COUNT_LIVE)


async def find_contact(session: AsyncSession, contact_id: UUID) -> ContactRow | None:
    """One contact, deleted or not."""
    return await fetch_row(session, _FIND_CONTACT, session.info["account_id"], contact_id)


async def lock_contact(session: AsyncSession, contact_id: UUID) -> ContactRow | None:
    """One contact as it is now, deleted or not, locked until the transaction ends. Catalogs that are read
    after this are as new as the contact, also when the lock had to wait."""
    bound = await begin(session)
    wrote_or_locked = bound.wrote_or_locked
    key = session.info["account_id"], contact_id
    contact = await fetch_row(session, _LOCK_CONTACT, *key)
    if contact is None:
        return None
    # After a wait PostgreSQL reads the locked row anew and nothing else, so the rest needs a statement.
    [beside] = await fetch_rows(session, _READ_BESIDE, *key)
    bound.versions, bound.wrote_or_locked = beside.versions, wrote_or_locked
    return ContactRow(*(*msgspec.structs.astuple(contact), beside.tag_ids))


async def find_live_contacts(session: AsyncSession, contact_ids: Sequence[UUID]) -> list[UUID]:
    """Those of these ids that are contacts of the account."""
    return await fetch_scalars(session, UUID, _FIND_LIVE_CONTACTS, ids=contact_ids)


async def find_contact_by_email(session: AsyncSession, email: str) -> UUID | None:
    """The contact with this address in its normalized form."""
    return await fetch_scalar(session, UUID, _FIND_CONTACT_BY_EMAIL, email=email)
