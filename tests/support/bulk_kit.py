"""Fills an account for bulk edits, and reads their forms and jobs."""

import re
from uuid import UUID

from db.ids import uuid7
from tests.support.world import AccountMember, World


async def fill(world: World, who: AccountMember, count: int, **values: str) -> list[UUID]:
    """So many contacts, written at once."""
    ids = [uuid7() for _ in range(count)]
    columns = {"last_name": "Doe"} | values
    names, places = ", ".join(columns), ", ".join(f"${n}" for n in range(3, 3 + len(columns)))
    await world.sql(
        f"insert into contacts (account_id, id, first_name, {names})"  # noqa: S608 -- names of this file
        f" select $1, id, 'P', {places} from unnest($2::uuid[]) as id",
        who.account_id, ids, *columns.values(),
    )  # fmt: skip
    return ids


async def jobs(world: World, who: AccountMember) -> int:
    return len(await world.sql("select 1 from jobs where account_id = $1", who.account_id))


def hidden(text: str) -> dict[str, list[str]]:
    """What the form of the page that asks carries."""
    main = text.partition("<main")[2]
    fields: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', main):
        fields.setdefault(name, []).append(value)
    return fields
