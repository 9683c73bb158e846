"""Totals for the overview, each a bounded read."""

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db.queries.statements import fetch_one

COUNT_LIMIT = 100_000


def _count(table: str, condition: str) -> str:
    """How many rows of the account, counted up to COUNT_LIMIT."""
    return f"""(select count(*) from (select from {table}
         where account_id = current_account() and {condition} limit {COUNT_LIMIT}) x)"""  # noqa: S608 -- constants


_COUNT_TOTALS = text(f"""
select {_count("contacts", "deleted_at is null")} as contacts,
       {_count("workflows", "status = 'active'")} as workflows,
       {_count("enrollments", "ended_at is null")} as enrollments,
       {_count("jobs", "status in ('queued', 'running')")} as jobs,
       {_count("jobs", "status = 'failed'")} as failed,
       {_count("effects", "status = 'unknown'")} as doubt
""")


class AccountTotals(msgspec.Struct, frozen=True):
    """How many contacts, live workflows, active enrollments, unfinished and failed jobs, and effects in
    doubt; each counted up to COUNT_LIMIT."""

    contacts: int
    workflows: int
    enrollments: int
    jobs: int
    failed: int
    doubt: int


async def count_totals(session: AsyncSession) -> AccountTotals:
    """The totals of the session's account."""
    return await fetch_one(session, AccountTotals, _COUNT_TOTALS) or AccountTotals(0, 0, 0, 0, 0, 0)
