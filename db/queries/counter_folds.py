"""Upkeep of the counters (see `counters`): adds up their deltas, and counts families that are not known.

Both are exact while others write. A fold deletes deltas and adds them to the counters in one statement, so a
read sees them before or after, never both. A count reads one snapshot: it replaces the counters and deletes
the deltas of that snapshot, and the deltas of transactions that it did not see stay."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from db.models.counters import NO_SUBJECT
from db.queries.statements import execute, fetch_all, fetch_scalar, fetch_scalars


class AccountToCount(msgspec.Struct, frozen=True):
    """An account, and its families that are not known."""

    account_id: UUID
    families: list[str]


_FIND_WITH_DELTAS = text("select account_id from accounts_with_counter_deltas()")
_FIND_TO_COUNT = text("select account_id, families from accounts_to_count(cast(:quiet as interval))")
_READ_ONE_SNAPSHOT = text("set transaction isolation level repeatable read")
_BIND = text("select set_config('app.account_id', :account, true)")
_LOCK = text("select pg_try_advisory_xact_lock(hashtextextended('counters:' || current_account()::text, 0))")
# A delta without a number makes its family unknown.
_FOLD = text("""
with taken as (
       delete from counter_deltas where account_id = current_account() and ctid = any(array(
         select ctid from counter_deltas where account_id = current_account() order by id limit :most))
       returning family, subject_id, version, step_key, state, lane, n),
     unknown as (
       insert into counter_states (family, counted_at)
       select distinct family, cast(null as timestamptz) from taken where n is null
       on conflict (account_id, family) do update set counted_at = null, changed_at = clock_timestamp()),
     added as (
       insert into counters (family, subject_id, version, step_key, state, lane, n)
       select family, subject_id, version, step_key, state, lane, sum(n) from taken where n is not null
        group by 1, 2, 3, 4, 5, 6 having sum(n) <> 0
       on conflict (account_id, family, subject_id, version, step_key, state, lane)
          do update set n = counters.n + excluded.n)
select count(*) from taken
""")
_DELETE_EMPTY = text("""
delete from counters c
 where c.account_id = current_account()
   and (c.n = 0
     or c.family = 'tags' and not exists (
          select from tags t where t.account_id = c.account_id and t.id = c.subject_id)
     or c.family = 'segments' and not exists (
          select from segments s where s.account_id = c.account_id and s.id = c.subject_id))
""")
_FORGET = {
    table: text(f"delete from {table} where account_id = current_account() and family = :family")  # noqa: S608 -- constants
    for table in ("counters", "counter_deltas")
}
_STATE_KNOWN = text("""
insert into counter_states (family, counted_at) values (:family, clock_timestamp())
on conflict (account_id, family)
   do update set counted_at = excluded.counted_at, changed_at = excluded.counted_at
""")
# What each family counts, as the columns of a counter.
TRUE_COUNTS: Mapping[str, str] = MappingProxyType(
    {
        "contacts": f"""
select cast('{NO_SUBJECT}' as uuid) as subject_id, 0 as version, '' as step_key,
       case when deleted_at is null then 'live' else 'deleted' end as state, '' as lane, count(*) as n
  from contacts where account_id = current_account() group by 4""",  # noqa: S608 -- a constant
        "tags": """
select t.tag_id as subject_id, 0 as version, '' as step_key, '' as state, '' as lane, count(*) as n
  from contact_tags t join contacts c on c.account_id = t.account_id and c.id = t.contact_id
 where t.account_id = current_account() and c.deleted_at is null group by 1""",
        "segments": """
select segment_id as subject_id, 0 as version, '' as step_key, '' as state, '' as lane, count(*) as n
  from segment_members where account_id = current_account() group by 1""",
        "enrollments": """
select workflow_id as subject_id, version, coalesce(step_key, '') as step_key, status as state, '' as lane,
       count(*) as n
  from enrollments where account_id = current_account() group by 1, 2, 3, 4""",
        "visits": """
select e.workflow_id as subject_id, 0 as version, x.step_key, x.outcome as state,
       coalesce(x.detail ->> 'branch', '') as lane, count(*) as n
  from enrollment_executions x join enrollments e on e.account_id = x.account_id and e.id = x.enrollment_id
 where x.account_id = current_account() and x.finished_at is not null
   and (x.outcome <> 'passed' or x.detail -> 'again' is null)
 group by 1, 3, 4, 5""",
    }
)
_COUNT = {
    family: text(f"""
insert into counters (family, subject_id, version, step_key, state, lane, n)
select '{family}', t.* from ({counts}) t""")  # noqa: S608 -- constants
    for family, counts in TRUE_COUNTS.items()
}


async def find_accounts_with_deltas(connection: AsyncConnection) -> list[UUID]:
    """Accounts whose deltas can be folded, those with the most first."""
    return await fetch_scalars(connection, UUID, _FIND_WITH_DELTAS)


async def find_accounts_to_count(connection: AsyncConnection, quiet: timedelta) -> list[AccountToCount]:
    """Accounts with families that were never counted, or became unknown at least `quiet` ago."""
    return await fetch_all(connection, AccountToCount, _FIND_TO_COUNT, quiet=quiet)


async def begin_snapshot(connection: AsyncConnection, account_id: UUID) -> None:
    """Starts a transaction in the account that reads one snapshot from now on. Not as a session of the
    account: what that does first would be before the isolation level."""
    await execute(connection, _READ_ONE_SNAPSHOT)
    await execute(connection, _BIND, account=str(account_id))


async def lock_counters(session: AsyncSession | AsyncConnection) -> bool:
    """Lets one transaction at a time fold or count in the account; False while another one does."""
    return await fetch_scalar(session, bool, _LOCK) or False


async def fold_deltas(session: AsyncSession, most: int) -> int:
    """Adds up the oldest `most` deltas of the account; returns how many there were."""
    folded = await fetch_scalar(session, int, _FOLD, most=most) or 0
    if folded:
        await execute(session, _DELETE_EMPTY)
    return folded


async def count_family(connection: AsyncConnection, family: str) -> None:
    """Counts a family of the account anew, in a transaction of `begin_snapshot`."""
    for forget in _FORGET.values():
        await execute(connection, forget, family=family)
    await execute(connection, _COUNT[family])
    await execute(connection, _STATE_KNOWN, family=family)
