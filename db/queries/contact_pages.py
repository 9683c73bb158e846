"""What the contact screens read: a page of the list, the number of matches, one contact. Tags and owners come
as ids: their names are in the catalogs."""

from collections.abc import Sequence
from functools import lru_cache
from uuid import UUID

import msgspec
from sqlalchemy import ARRAY, Uuid, any_, func, literal, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.filters.contact_columns import COLUMNS, ContactColumns
from db.models import Contact
from db.queries.catalogs import VERSIONS_NOW
from db.queries.contact_conditions import Clause
from db.queries.contact_sorts import (
    BY_CREATION,
    VALUED,
    Cursor,
    Part,
    Sort,
    SortValue,
    is_in,
    parts_of,
    read_order,
    selected,
)
from db.queries.counters import is_known, summed
from db.queries.driver_statements import DriverStatement, fetch_number, fetch_row, fetch_rows
from db.queries.statements import (
    SqlValue,
    fetch_all,
    fetch_scalar,
    fetch_scalars,
    plan_anew,
    plan_as_usual,
    plan_search,
)
from db.tenancy import begin

MOST_COUNTED_IN_LIST = 10_000
MOST_EXACT = 100_000_000  # more contacts than an account has
MOST_SORTED = 5_000  # matches that are read and sorted, however they are spread
NO_CONTACT = UUID(int=0)
ANY_CURSOR: Cursor = ("", NO_CONTACT)


class ContactRow(ContactColumns, frozen=True):
    """A contact with the ids of its tags."""

    tag_ids: list[UUID]


class BesideContact(msgspec.Struct, frozen=True):
    """What belongs to a locked contact but is not in its row, and the versions of the catalogs."""

    tag_ids: list[UUID]
    versions: list[int] | None


class ListedContact(ContactRow, frozen=True):
    """A contact in a sorted list; None for one without a value there."""

    sort_value: SortValue | None


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


def _count_all(state: str, deleted_at: str, most: int = MOST_COUNTED_IN_LIST + 1) -> str:
    """SQL: from the counters, as far as the list counts; a scan while they are not known."""
    return f"""
select case when {is_known("contacts")} then least({summed("contacts", f"state = '{state}'")}, {most})
       else (select count(*) from (select from contacts where account_id = current_account()
                                      and deleted_at is {deleted_at} limit {most}) as counted) end
"""  # noqa: S608 -- constants only


_COUNT = {
    (deleted, exact): _count_all(*state, *((MOST_EXACT,) if exact else ()))
    for deleted, state in ((False, ("live", "null")), (True, ("deleted", "not null")))
    for exact in (False, True)
}
_FIND_LIVE_CONTACTS = text("""
select id from contacts
 where account_id = current_account() and deleted_at is null and id = any(cast(:ids as uuid[]))
""")
_FIND_CONTACT_BY_EMAIL = text("""
select contact_id from contact_emails where account_id = current_account() and email = :email
""")


async def fetch_contact_page(
    session: AsyncSession,
    condition: Clause | None,
    sort: Sort,
    *,
    descending: bool = False,
    cursor: Cursor | None = None,
    backwards: bool = False,
    limit: int = 50,
    deleted: bool = False,
) -> tuple[list[ListedContact], bool]:
    """At most `limit` contacts that come after `cursor` (its sort value and id; before it when `backwards`),
    and whether there are more in that direction. Without a `condition` all live ones, or all `deleted`.
    Raises LookupError for a cursor that has no place in this order."""
    rows: list[ListedContact] = []
    if condition is not None:
        await plan_search(session)
        condition = await _narrowed(session, condition, 1_000 if sort == BY_CREATION else MOST_SORTED)
    for part in parts_of(sort, descending=descending, backwards=backwards, cursor=cursor):
        if condition is None:
            rows += await _fetch_all(session, sort, part, deleted, limit + 1)
        else:
            rows += await _fetch_matching(session, condition, sort, part, limit + 1)
        if len(rows) > limit:
            break
    page, more = rows[:limit], len(rows) > limit
    return (page[::-1] if backwards else page), more


async def _narrowed(session: AsyncSession, condition: Clause, most: int) -> Clause:
    """The condition, or the contacts themselves when few match. The planner expects them evenly spread in the
    list; but those with one last name stand together in it, and it would read all that stand before them."""
    mine = _CONTACTS.c.account_id == session.info["account_id"]
    query = select(_CONTACTS.c.id).where(mine, condition).limit(most + 1)
    ids = await fetch_scalars(session, UUID, query)
    return condition if len(ids) > most else _CONTACTS.c.id == any_(literal(ids, ARRAY(Uuid)))


async def _fetch_all(
    session: AsyncSession, sort: Sort, part: Part, deleted: bool, limit: int
) -> list[ListedContact]:
    values: list[SqlValue] = [session.info["account_id"]]
    if part.state == "group":
        values.append(part.value)
    if part.cursor is not None:
        values += part.cursor if part.state in VALUED else part.cursor[1:]
    statement = _whole_page(sort, part.state, part.down, part.cursor is not None, deleted, limit)
    return await fetch_rows(session, statement, *values)


@lru_cache(maxsize=256)
def _whole_page(
    sort: Sort, state: str, down: bool, from_cursor: bool, deleted: bool, limit: int
) -> DriverStatement[ListedContact]:
    part = Part(state, down, cursor=ANY_CURSOR if from_cursor else None)
    first = 3 if state == "group" else 2
    after = (f"${first}", f"${first + 1}" if state in VALUED else f"${first}")
    return DriverStatement(
        ListedContact,
        f"select {_COLUMNS}, {selected(sort, part)} from contacts"  # noqa: S608 -- constants only
        f" where account_id = $1 and deleted_at is {'not null' if deleted else 'null'}"
        f"{is_in(sort, part, '$2', after)} order by {read_order(sort, part)} limit {limit}",
    )


async def _fetch_matching(
    session: AsyncSession, condition: Clause, sort: Sort, part: Part, limit: int
) -> list[ListedContact]:
    query = (
        select(text(f"{_COLUMNS}, {selected(sort, part)}"))
        .select_from(_CONTACTS)
        .where(_CONTACTS.c.account_id == session.info["account_id"], condition)
    )
    values: dict[str, SqlValue] = {}
    if part.state == "group" and part.value is not None:
        values["group_id"] = UUID(part.value)
    if part.cursor is not None:
        value, values["cursor_id"] = part.cursor
        values |= {"sort_value": value} if part.state in VALUED else {}
    place = is_in(sort, part, ":group_id", (":sort_value", ":cursor_id")).removeprefix(" and ")
    query = query.where(text(place)) if place else query
    query = query.order_by(text(read_order(sort, part))).limit(limit)
    return await fetch_all(session, ListedContact, query, **values)


async def count_contacts(session: AsyncSession, condition: Clause, most: int = MOST_COUNTED_IN_LIST) -> int:
    """The number of contacts, counted up to one more than `most`."""
    mine = _CONTACTS.c.account_id == session.info["account_id"]
    for_page = most <= MOST_COUNTED_IN_LIST
    await (plan_search if for_page else plan_anew)(session)
    some = select(literal(1)).select_from(_CONTACTS).where(mine, condition).limit(most + 1).subquery()
    number = await fetch_scalar(session, int, select(func.count()).select_from(some)) or 0
    if not for_page:  # a change of these contacts may follow
        await plan_as_usual(session)
    return number


async def count_all_contacts(session: AsyncSession, *, deleted: bool = False, exact: bool = False) -> int:
    """The number of contacts that are live, or deleted, counted up to one more than `MOST_COUNTED_IN_LIST`
    unless it has to be `exact`."""
    return await fetch_number(session, _COUNT[deleted, exact])


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
    """The live contact with this address, primary or not, in its normalized form."""
    return await fetch_scalar(session, UUID, _FIND_CONTACT_BY_EMAIL, email=email)
