"""How many contacts a list selects: `count_page` answers with the number, `total_of` serves the list."""

from uuid import UUID
from zoneinfo import ZoneInfo

from app.contacts.listing import Query, condition
from app.contacts.schemas import ContactCount
from app.contacts.use_cases import Catalogs
from app.filters.ast import Group, Op, Predicate
from app.work import Work
from db.queries.contact_conditions import Clause
from db.queries.contact_pages import MOST_COUNTED_IN_LIST, MOST_EXACT, count_all_contacts, count_contacts
from db.queries.counters import read_sizes


async def count_page(work: Work, query: Query, group: Group, catalogs: Catalogs) -> ContactCount:
    """How many contacts the query string selects. Raises `Invalid`."""
    clause = condition_of(work, query, group, catalogs)
    number, how = await _number_with_tag(work, query, group), query.count or "capped"
    counted = await total_of(work, query, clause, how) if number is None else _as_total(query, number, how)
    return counted or ContactCount(0, more_than_total=False)


async def total_of(work: Work, query: Query, clause: Clause | None, how: str) -> ContactCount | None:
    """The number of contacts. Without conditions the counters have it, which costs nothing."""
    most = None if how == "exact" else MOST_COUNTED_IN_LIST
    if clause is None and query.count != "none":
        number = await count_all_contacts(work.session, deleted=query.deleted, exact=most is None)
    elif clause is None or how == "none":
        return None
    else:
        number = await count_contacts(work.session, clause, most or MOST_EXACT)
    return _as_total(query, number, how)


async def _number_with_tag(work: Work, query: Query, group: Group) -> int | None:
    """The number of contacts if nothing but one tag is asked for, and the counters have it."""
    [item] = group.items if len(group.items) == 1 and not query.q and not query.deleted else [None]
    if isinstance(item, Predicate) and (item.field, item.op) == ("tags", Op.ANY_OF):
        tags = item.value if isinstance(item.value, list) else [item.value]
        sizes = await read_sizes(work.session, "tags") if len(tags) == 1 else None
        return None if sizes is None else sizes.get(UUID(str(tags[0])), 0)
    return None


def _as_total(query: Query, number: int, how: str) -> ContactCount:
    if how == "exact" or number <= MOST_COUNTED_IN_LIST:
        return ContactCount(number, more_than_total=False)
    return ContactCount(MOST_COUNTED_IN_LIST, more_than_total=True, href=query.count_href("exact"))


def condition_of(work: Work, query: Query, group: Group, catalogs: Catalogs) -> Clause | None:
    """The condition of the list; None for all contacts."""
    if not group.items and not query.q:
        return None
    zone = ZoneInfo(catalogs.account.time_zone)
    return condition(group, query.q, catalogs.fields, zone, work.now, deleted=query.deleted)
