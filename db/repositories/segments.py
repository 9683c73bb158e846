"""Segments, and the names that conditions of an account can refer to."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session

from app.filters.ast import Filter, FilterError, Group, Predicate
from app.filters.fields import AccountNames
from db.ids import uuid7
from db.models import Segment
from db.queries.segment_members import NEVER_COMPARED
from db.tenancy import TenantRepository

SELECT_SEGMENT_FILTERS = text("""
select id, filter from segments where account_id = current_account() order by id
""").columns(filter=JSONB)
SELECT_NAMES = text("""
select 'users' as kind, m.user_id as id, u.name, null as filter
  from memberships m join users u on u.id = m.user_id where m.account_id = current_account()
 union all
select 'segments', s.id, s.name, s.filter from segments s where s.account_id = current_account()
 union all
select 'workflows', w.id, w.name, null from workflows w where w.account_id = current_account()
 order by 3, 2
""").columns(filter=JSONB)
COLUMNS = (
    Segment.id,
    Segment.name,
    Segment.slug,
    Segment.filter,
    Segment.rev,
    Segment.due_at,
    Segment.created_by,
    Segment.created_at,
    Segment.updated_at,
)
LOCK_SEGMENTS = text(
    "select pg_advisory_xact_lock(hashtextextended('segments:' || current_account()::text, 0))"
)
_FILTER: Any = Group | Predicate


def decode_filter(stored: Any) -> Filter:
    """A stored filter. Raises FilterError for JSON that this version does not know."""
    try:
        expression: Filter = msgspec.convert(stored, _FILTER)
    except (msgspec.ValidationError, RecursionError) as error:
        raise FilterError({"": f"This filter cannot be read: {error}"}) from None
    return expression


def filters_by_id(rows: Iterable[Any]) -> dict[UUID, Filter | None]:
    """The filters of rows that have `id` and `filter`; None for an unreadable one, so that only filters that
    refer to it fail."""
    return {row.id: _read_or_none(row.filter) for row in rows if row.filter is not None}


def _read_or_none(stored: Any) -> Filter | None:
    try:
        return decode_filter(stored)
    except FilterError:
        return None


async def load_names(session: AsyncSession | async_scoped_session[AsyncSession]) -> AccountNames:
    """The account's members, segments and workflows by id, sorted by name."""
    rows = (await session.execute(SELECT_NAMES)).all()
    names: dict[str, dict[str, str]] = {"users": {}, "segments": {}, "workflows": {}}
    for row in rows:
        names[row.kind][str(row.id)] = row.name
    return AccountNames(**names, filters=filters_by_id(rows))


class SegmentRepository(TenantRepository[Segment]):
    model_type = Segment

    async def rows(self) -> Sequence[Any]:
        """Every segment, sorted by name."""
        query = select(*COLUMNS).where(Segment.account_id == self.account_id).order_by(Segment.slug)
        return (await self.session.execute(query.limit(2000))).all()

    async def row(self, segment_id: UUID, *, lock: bool = False) -> Any | None:
        """One segment; None when there is none. `lock` locks the row until the transaction ends."""
        query = select(*COLUMNS).where(Segment.account_id == self.account_id, Segment.id == segment_id)
        query = query.with_for_update() if lock else query
        return (await self.session.execute(query)).one_or_none()

    async def by_slug(self, slug: str) -> Any | None:
        """id and name of the segment with that folded name."""
        query = select(Segment.id, Segment.name).where(
            Segment.account_id == self.account_id, Segment.slug == slug
        )
        return (await self.session.execute(query)).one_or_none()

    async def one_at_a_time(self) -> None:
        """Serializes changes of segment filters, because two at once could create a cycle."""
        await self.session.execute(LOCK_SEGMENTS)

    async def insert(self, columns: Mapping[str, Any], now: datetime) -> UUID:
        """Inserts a segment; returns its id. Raises IntegrityError when another one has the name."""
        segment_id = uuid7()
        await self.session.execute(
            insert(Segment).values(
                id=segment_id, account_id=self.account_id, created_at=now, updated_at=now, **columns
            )
        )
        return segment_id

    async def change(self, segment_id: UUID, columns: Mapping[str, Any], now: datetime) -> None:
        """Updates columns and increments the revision."""
        await self.session.execute(
            update(Segment)
            .where(Segment.account_id == self.account_id, Segment.id == segment_id)
            .values(**columns, rev=Segment.rev + 1, updated_at=now)
        )

    async def compare_now(self, segment_ids: Iterable[UUID], now: datetime) -> None:
        """Schedules a full evaluation now for those that a live workflow watches."""
        await self.session.execute(
            update(Segment)
            .where(
                Segment.account_id == self.account_id,
                Segment.id.in_(list(segment_ids)),
                Segment.due_at > NEVER_COMPARED,  # the first comparison has not run yet
            )
            .values(due_at=now)
        )

    async def remove(self, segment_id: UUID) -> None:
        """Deletes a segment and its recorded members."""
        await self.session.execute(
            delete(Segment).where(Segment.account_id == self.account_id, Segment.id == segment_id)
        )
