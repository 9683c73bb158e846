"""The few places that an account has for heavy queries, across all processes: advisory locks, which end with
the transaction or its connection."""

from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db.queries.statements import fetch_scalar

# Tries one place after the other and stops at the first that is free: the rows of unnest come in order, and
# LIMIT ends it.
_TAKE_PLACE = text("""
select place from unnest(cast(:places as int[])) place
 where pg_try_advisory_xact_lock(hashtext('heavy:' || current_account()::text), place) limit 1
""").execution_options(keeps_catalogs=True)


async def take_heavy_place(session: AsyncSession, places: Iterable[int]) -> bool:
    """Takes the first of these places of the account that is free, until the transaction ends. False when all
    are taken."""
    return await fetch_scalar(session, int, _TAKE_PLACE, places=list(places)) is not None
