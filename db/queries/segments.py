"""Filters of segments, and the names that conditions of an account can refer to."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.filters.ast import Filter, FilterError, Group, Predicate
from app.filters.fields import AccountNames
from app.json_types import Json, JsonObject
from db.queries.segment_members import NEVER_COMPARED
from db.queries.statements import execute, fetch_all


class HasFilter(Protocol):
    """A segment, or a row with its filter."""

    @property
    def id(self) -> UUID: ...
    @property
    def filter(self) -> Json: ...


class NamedRow(msgspec.Struct, frozen=True):
    """A member, segment or workflow; only a segment has a filter."""

    kind: Literal["users", "segments", "workflows"]
    id: UUID
    name: str
    filter: JsonObject | None


_NAMES = text("""
select 'users' as kind, m.user_id as id, u.name, null as filter
  from memberships m join users u on u.id = m.user_id where m.account_id = current_account()
 union all
select 'segments', s.id, s.name, s.filter from segments s where s.account_id = current_account()
 union all
select 'workflows', w.id, w.name, null from workflows w where w.account_id = current_account()
 order by 3, 2
""").columns(filter=JSONB)
_LOCK = text("select pg_advisory_xact_lock(hashtextextended('segments:' || current_account()::text, 0))")
_COMPARE_NOW = text("""
update segments set due_at = cast(:now as timestamptz)
 where account_id = current_account() and id = any(cast(:ids as uuid[]))
   and due_at > cast(:never_compared as timestamptz)
""")


def decode_filter(stored: Json) -> Filter:
    """A stored filter. Raises FilterError for JSON that this version does not know."""
    try:
        expression: Filter = msgspec.convert(stored, Group | Predicate)
    except (msgspec.ValidationError, RecursionError) as error:
        raise FilterError({"": f"This filter cannot be read: {error}"}) from None
    return expression


def readable_filter(stored: Json) -> Filter | None:
    """A stored filter; None for one that cannot be read."""
    try:
        return decode_filter(stored)
    except FilterError:
        return None


def filters_by_id(segments: Iterable[HasFilter]) -> dict[UUID, Filter | None]:
    """The filters of segments; None for an unreadable one, so that only filters that refer to it fail."""
    return {row.id: readable_filter(row.filter) for row in segments if row.filter is not None}


async def account_names(session: AsyncSession) -> AccountNames:
    """The account's members, segments and workflows by id, sorted by name, and the segments' filters."""
    rows = await fetch_all(session, NamedRow, _NAMES)
    names: dict[str, dict[str, str]] = {"users": {}, "segments": {}, "workflows": {}}
    for row in rows:
        names[row.kind][str(row.id)] = row.name
    return AccountNames(names["users"], names["segments"], names["workflows"], filters_by_id(rows))


async def lock_segments(session: AsyncSession) -> None:
    """Serializes changes of segment filters until the transaction ends: two at once could create a cycle."""
    await execute(session, _LOCK)


async def compare_segments_now(session: AsyncSession, segment_ids: Collection[UUID], now: datetime) -> None:
    """Schedules a full evaluation now for those that a live workflow watches, unless their first comparison
    has not run yet."""
    await execute(session, _COMPARE_NOW, ids=list(segment_ids), now=now, never_compared=NEVER_COMPARED)
