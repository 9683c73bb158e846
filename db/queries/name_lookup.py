"""Names of everything that filters and steps can refer to, read with one statement."""

from collections.abc import Mapping

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.engine.core.name_lookup import Names
from db.queries.catalogs import Catalog, read_catalog
from db.queries.statements import fetch_all

_LIST_NAMES = text("""
select 'tags' as kind, cast(id as text) as id, name from tags where account_id = current_account()
union all
select 'segments', cast(id as text), name from segments where account_id = current_account()
union all
select 'workflows', cast(id as text), name from workflows
 where account_id = current_account() and status <> 'archived'
union all
select 'users', cast(u.id as text), u.name from users u
  join memberships m on m.user_id = u.id and m.account_id = current_account()
 order by 1, 3, 2
""")


class Name(msgspec.Struct, frozen=True):
    """The name of one thing; `kind` is a field of `Names`."""

    kind: str
    id: str
    name: str


async def read_names(session: AsyncSession) -> Names:
    """The names of the account's tags, segments, members and workflows that are not archived: by id, sorted
    by name."""
    return await read_catalog(session, _CATALOG)


async def _read_names(session: AsyncSession) -> Names:
    names_by_kind: dict[str, dict[str, str]] = {"tags": {}, "segments": {}, "workflows": {}, "users": {}}
    for row in await fetch_all(session, Name, _LIST_NAMES):
        names_by_kind[row.kind][row.id] = row.name
    return Names(
        names_by_kind["tags"],
        names_by_kind["segments"],
        names_by_kind["workflows"],
        names_by_kind["users"],
    )


def _as_they_are(names: Names) -> Names:
    return names


_CATALOG = Catalog("names", ("tags", "segments", "workflows", "members"), Names, _read_names, _as_they_are)


async def read_member_names(session: AsyncSession) -> Mapping[str, str]:
    """The names of the account's members by id."""
    return (await read_names(session)).users
