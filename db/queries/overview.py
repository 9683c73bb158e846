"""Totals for the overview: counters, and bounded reads."""

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db.queries.counters import is_known, summed
from db.queries.statements import fetch_one

COUNT_LIMIT = 100_000


def _count(table: str, condition: str) -> str:
    """How many rows of the account, counted up to COUNT_LIMIT."""
    return f"""(select count(*) from (select from {table}
         where account_id = current_account() and {condition} limit {COUNT_LIMIT}) x)"""  # noqa: S608 -- constants


def _known_or_count(family: str, state: str, condition: str) -> str:
    """The counter, or while it is not known, how many rows up to COUNT_LIMIT."""
    return f"""case when {is_known(family)} then {summed(family, f"state = '{state}'")}
            else {_count(family, condition)} end"""


_COUNT_TOTALS = text(f"""
select {_known_or_count("contacts", "live", "deleted_at is null")} as contacts,
       {_count("workflows", "status = 'active'")} as workflows,
       {_known_or_count("enrollments", "active", "ended_at is null")} as enrollments,
       {_count("jobs", "status in ('queued', 'running')")} as jobs,
       {_count("jobs", "status = 'failed'")} as failed,
       {_count("effects", "status = 'unknown'")} as doubt
""")


class AccountTotals(msgspec.Struct, frozen=True):
    """How many contacts, live workflows, active enrollments, unfinished and failed jobs, and effects in
    doubt. What has no counter is counted up to COUNT_LIMIT."""

    contacts: int
    workflows: int
    enrollments: int
    jobs: int
    failed: int
    doubt: int


async def count_totals(session: AsyncSession) -> AccountTotals:
    """The totals of the session's account."""
    return await fetch_one(session, AccountTotals, _COUNT_TOTALS) or AccountTotals(0, 0, 0, 0, 0, 0)
