"""Keeps the counters of all accounts small and complete: folds their deltas, and counts what is not known.

Every worker does both, by itself and without Redis; a lock lets one of them at a time work on an account."""

from collections.abc import Awaitable
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError

from app.runtime import Runtime
from app.work import SYSTEM, open_work
from db.queries.counter_folds import (
    begin_snapshot,
    count_family,
    find_accounts_to_count,
    find_accounts_with_deltas,
    fold_deltas,
    lock_counters,
)
from db.queries.statements import SERIALIZATION_FAILURE, UNIQUE_VIOLATION, sqlstate_of

log = structlog.get_logger(__name__)
FOLD_SECONDS = 5.0
DELTAS = 20_000  # folded in one transaction
# A family that others than this release write is counted when they have stopped for so long.
QUIET = timedelta(seconds=30)


async def keep_counters(runtime: Runtime, quiet: timedelta = QUIET) -> int:
    """One round over all accounts; returns how many families were counted and deltas folded."""
    async with runtime.engine.connect() as connection:
        to_count = await find_accounts_to_count(connection, quiet)
        with_deltas = await find_accounts_with_deltas(connection)
    done = 0
    for account_id in with_deltas:
        done += await _carefully(fold_account(runtime, account_id))
    for account in to_count:
        for family in account.families:
            done += await _carefully(count_in_account(runtime, account.account_id, family))
    return done


async def _carefully(upkeep: Awaitable[int]) -> int:
    """Logs an error in one account, so that the others have their turn; the next round tries again."""
    try:
        return await upkeep
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        log.exception("counters.error")
        return 0


async def fold_account(runtime: Runtime, account_id: UUID) -> int:
    """Folds the deltas of an account; returns how many."""
    total = 0
    async with open_work(runtime, account_id, SYSTEM) as work:
        while await lock_counters(work.session) and (folded := await fold_deltas(work.session, DELTAS)):
            await work.commit()
            total += folded
    return total


async def count_in_account(runtime: Runtime, account_id: UUID, family: str) -> bool:
    """Counts one family in a transaction of its own: what was counted stays when the worker dies. False if
    another transaction folded or counted in the account meanwhile; the next round tries again."""
    async with runtime.engine.connect() as connection:
        await begin_snapshot(connection, account_id)
        if not await lock_counters(connection):
            return False
        try:
            await count_family(connection, family)
            await connection.commit()
        except DBAPIError as error:
            if sqlstate_of(error) not in (SERIALIZATION_FAILURE, UNIQUE_VIOLATION):
                raise
            return False
    return True
