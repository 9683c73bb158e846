"""How many turns the workers did, of each task: counters of the whole installation."""

from collections.abc import Mapping

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from db.queries.statements import execute, fetch_all

_ADD_TURNS = text("""
insert into turn_counts (task, via, turns) values (:task, :via, :turns)
on conflict (task, via) do update set turns = turn_counts.turns + excluded.turns
""")
_READ_TURNS = text("select task, via, turns from turn_counts order by task, via")


class CountedTurns(msgspec.Struct, frozen=True):
    """How many turns of a task all workers did that came in one way (`saq`, `sweep` or `inline`)."""

    task: str
    via: str
    turns: int


async def add_turns(connection: AsyncConnection, turns: Mapping[tuple[str, str], int]) -> None:
    """Adds the turns of a worker, by task and how they came, to the counts of all."""
    for (task, via), count in sorted(turns.items()):  # in one order: workers wait for each other's rows
        await execute(connection, _ADD_TURNS, task=task, via=via, turns=count)


async def read_turns(connection: AsyncConnection) -> list[CountedTurns]:
    """The turns of all workers since the database was created."""
    return await fetch_all(connection, CountedTurns, _READ_TURNS)
