"""The few places that an account has for heavy queries, across all processes: advisory locks, which end with
the transaction or its connection."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db.queries.statements import fetch_scalar

# Tries one place after the other and stops at the first that is free: the rows of generate_series come in
# order, and LIMIT ends it.
_TAKE_PLACE = text("""
select place from generate_series(1, cast(:places as int)) place
 where pg_try_advisory_xact_lock(hashtext('heavy:' || current_account()::text), place) limit 1
""").execution_options(keeps_catalogs=True)


async def take_heavy_place(session: AsyncSession, places: int) -> bool:
    """Takes one of the places of the account until the transaction ends. False when all are taken."""
    return await fetch_scalar(session, int, _TAKE_PLACE, places=places) is not None
