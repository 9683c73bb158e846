"""Which accounts have something due, of which tasks and since when. It calls a definer function, because it
looks across accounts; `retention.py` has the engine's other two queries that do."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from db.queries.statements import fetch_all

_DUE_WORK = text("""
select account_id, tasks, oldest
  from due_work(clock_timestamp() + cast(:ahead as interval), cast(:account as uuid))
""")


class DueAccount(msgspec.Struct, frozen=True):
    """An account with something due: the tasks of `jobs.settings.TURN_TASKS`, and since when."""

    account_id: UUID
    tasks: list[str]
    oldest: datetime


async def find_due_accounts(connection: AsyncConnection, ahead: timedelta) -> list[DueAccount]:
    """Accounts with something due, the longest waiting first. `ahead` is added to the clock (tests)."""
    return await fetch_all(connection, DueAccount, _DUE_WORK, ahead=ahead, account=None)


async def find_due_tasks(connection: AsyncConnection, ahead: timedelta, account_id: UUID) -> list[str]:
    """The tasks of one account that have something due."""
    accounts = await fetch_all(connection, DueAccount, _DUE_WORK, ahead=ahead, account=account_id)
    return accounts[0].tasks if accounts else []
