"""Counts that would otherwise scan: contacts, sizes of tags and watched segments, enrollments by place,
visits by outcome.

Each transaction appends what it changed to `counter_deltas`. `counter_folds` adds the deltas up in `counters`
in the background, and a read sums both tables in one statement. No row is updated by two batches, and what a
transaction changed counts from its commit on.

Triggers append the deltas of contacts, tags and segment members, and of everything that is deleted
(`db/migrations/counter_triggers.py`). Enrollments and visits are written far more often: their statements
append their own deltas, `append_counts` those of the engine's batches. Sessions of this program say so with
the setting `app.counts` (`db/connection.py`). A write by any other session, such as a process of an earlier
release, makes the family unknown, and it is counted again.

While a family is unknown, or was not counted yet, the reads return None and the caller scans."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.json_types import Json
from db.models.counters import NO_SUBJECT
from db.queries.batch_statements import BatchStatement, write_batch
from db.queries.statements import execute, fetch_all

# Workflow, version, step (None: before the first) and status of enrollments.
Place: TypeAlias = tuple[UUID, int, str | None, str]
# Workflow, step, outcome and lane ("": none) of finished visits.
Visit: TypeAlias = tuple[UUID, str, str, str]


class NewDelta(msgspec.Struct, frozen=True):
    """What changed of one count."""

    family: str
    subject_id: UUID
    version: int
    step_key: str
    state: str
    lane: str
    n: int


class CountedPlace(msgspec.Struct, frozen=True):
    """A count of one workflow. Without counts there is one row, whose `n` is 0."""

    available: bool
    version: int
    step_key: str
    state: str
    lane: str
    n: int


class CountedSubject(msgspec.Struct, frozen=True):
    """The size of one tag or segment. Without counts there is one row, whose `n` is 0."""

    available: bool
    subject_id: UUID
    n: int


def is_known(family: str) -> str:
    """SQL: whether the counts of the family can be read."""
    return f"""(exists (select from counter_states s where s.account_id = current_account()
           and s.family = '{family}' and s.counted_at is not null)
   and not exists (select from counter_deltas d where d.account_id = current_account()
           and d.family = '{family}' and d.subject_id = '{NO_SUBJECT}' and d.n is null))"""  # noqa: S608 -- constants


def summed(family: str, condition: str) -> str:
    """SQL: the sum of the family's counts for which the condition on their columns holds."""
    return f"""(select cast(coalesce(sum(c.n), 0) as bigint) from (
     select n from counters where account_id = current_account() and family = '{family}' and {condition}
     union all
     select n from counter_deltas where account_id = current_account() and family = '{family}'
        and {condition} and n is not null) c)"""  # noqa: S608 -- constants


def _rows(family: str, columns: Mapping[str, str], condition: str) -> str:
    """SQL: whether the family is known, and if so its counts by these columns; they are given with the value
    that they have in the one row without counts."""
    names = ", ".join(columns)
    which = f"account_id = current_account() and family = '{family}' and {condition}"
    values = ", ".join(f"coalesce(c.{name}, {none}) as {name}" for name, none in columns.items())
    return f"""
select k.available, {values}, coalesce(c.n, 0) as n
  from (select {is_known(family)} as available) k left join (
       select {names}, cast(sum(n) as bigint) as n from (
         select {names}, n from counters where {which}
         union all
         select {names}, n from counter_deltas where {which} and n is not null) x
        group by {names} having sum(n) <> 0) c on k.available
"""  # noqa: S608 -- constants


_PLACE = {"version": "0", "step_key": "''", "state": "''", "lane": "''"}
_OF_WORKFLOW = {
    family: text(_rows(family, _PLACE, "subject_id = :subject")) for family in ("enrollments", "visits")
}
_BY_SUBJECT = {
    family: text(_rows(family, {"subject_id": f"'{NO_SUBJECT}'"}, "true")) for family in ("tags", "segments")
}
_APPEND = BatchStatement(
    NewDelta,
    """
insert into counter_deltas (family, subject_id, version, step_key, state, lane, n)
select v.family, v.subject_id, v.version, v.step_key, v.state, v.lane, v.n from {v}
""",
)
_MAKE_UNKNOWN = text(f"""
insert into counter_deltas (family, subject_id, n)
select family, '{NO_SUBJECT}', null from unnest(cast(:families as text[])) v(family)
""")  # noqa: S608 -- a constant

# For statements that write visits: counts what they return as `written`, which has the columns of a visit.
COUNT_WRITTEN_VISITS = """
insert into counter_deltas (family, subject_id, step_key, state, lane, n)
select 'visits', e.workflow_id, x.step_key, x.outcome, coalesce(x.detail ->> 'branch', ''), count(*)
  from written x join enrollments e on e.account_id = current_account() and e.id = x.enrollment_id
 where x.outcome <> 'passed' or x.detail -> 'again' is null
 group by e.workflow_id, x.step_key, x.outcome, 5
"""


async def append_counts(
    session: AsyncSession, places: Mapping[Place, int], visits: Mapping[Visit, int] | None = None
) -> None:
    """Appends what the transaction changed: how many more enrollments are at these places, and how many more
    visits ended like this."""
    rows = [
        NewDelta("enrollments", workflow, version, step or "", status, "", n)
        for (workflow, version, step, status), n in places.items()
        if n
    ]
    rows += [
        NewDelta("visits", workflow, 0, step, outcome, lane, n)
        for (workflow, step, outcome, lane), n in (visits or {}).items()
        if n
    ]
    await write_batch(session, _APPEND, rows)


async def make_unknown(session: AsyncSession, *families: str) -> None:
    """For a transaction that changes rows without counting them: the families are counted anew after it."""
    await execute(session, _MAKE_UNKNOWN, families=families)


async def read_counts(session: AsyncSession, family: str, workflow_id: UUID) -> list[CountedPlace] | None:
    """The counts of one workflow: of the family "enrollments" by version, step and status, of "visits" by
    step, outcome and lane. None when they are not known."""
    rows = await fetch_all(session, CountedPlace, _OF_WORKFLOW[family], subject=workflow_id)
    return [row for row in rows if row.n] if rows[0].available else None


async def read_sizes(session: AsyncSession, family: str) -> dict[UUID, int] | None:
    """The sizes of all "tags" or "segments" that have some contacts; None when they are not known."""
    rows = await fetch_all(session, CountedSubject, _BY_SUBJECT[family])
    return {row.subject_id: row.n for row in rows if row.n} if rows[0].available else None


def counts(outcome: str, detail: Mapping[str, Json]) -> bool:
    """Whether a finished visit counts: not one after which the step was visited again (a sending window, a
    missed slot)."""
    return outcome != "passed" or "again" not in detail


def place_changes(moves: Iterable[tuple[Place, Place]]) -> dict[Place, int]:
    """The changes of counts when enrollments go from one place to another each."""
    changed: dict[Place, int] = {}
    for before, after in moves:
        if before != after:
            changed[before] = changed.get(before, 0) - 1
            changed[after] = changed.get(after, 0) + 1
    return changed
