"""Reads and writes the members of watched segments: a live workflow starts when a contact enters or leaves
them, so their members are stored."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, literal, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from app.json_types import Json
from db.models import Contact, SegmentMember
from db.queries.batch_statements import BatchStatement, fetch_batch
from db.queries.statements import execute, fetch_all, fetch_one, fetch_scalars

# `due_at` of a watched segment before its first comparison, which adds members without events.
NEVER_COMPARED = datetime(1970, 1, 1, tzinfo=UTC)


class WatchedMember(msgspec.Struct, frozen=True, order=True):
    """The key of a member: a contact in a watched segment."""

    segment_id: UUID
    contact_id: UUID


class DueSegment(msgspec.Struct, frozen=True):
    """A watched segment to compare with all contacts; `due_at` is NEVER_COMPARED at the first time."""

    id: UUID
    filter: Json
    due_at: datetime


class WatchChange(msgspec.Struct, frozen=True):
    """A segment that came to be watched, or is not watched anymore (no `due_at`)."""

    id: UUID
    due_at: datetime | None


class FormerMember(msgspec.Struct, frozen=True):
    """A member that is not in the segment anymore; `there` says that the contact is not deleted."""

    id: UUID
    there: bool


_USED_BY_TRIGGERS = """
select distinct cast(t ->> 'segment' as uuid) as id
  from workflows w
  join workflow_versions v
    on v.account_id = w.account_id and v.workflow_id = w.id and v.number = w.live_version
 cross join jsonb_array_elements(v.document -> 'triggers') t
 where w.account_id = current_account() and w.status in ('active', 'paused')
   and t ->> 'kind' in ('segment_entered', 'segment_left') and t ->> 'segment' is not null
   and v.document -> 'settings' ->> 'audience' is distinct from 'current_only'
"""
_SYNC_WATCHED_SEGMENTS = text(f"""
with used as ({_USED_BY_TRIGGERS})
update segments s set due_at = case when s.due_at is null then cast(:first as timestamptz) end
 where s.account_id = current_account()
   and (s.due_at is null) = exists (select from used u where u.id = s.id)
returning s.id, s.due_at
""")  # noqa: S608 -- a constant
_RESTART_FAILED_SEGMENTS = text(f"""
with used as ({_USED_BY_TRIGGERS})
update segments s set due_at = cast(:first as timestamptz)
 where s.account_id = current_account() and s.due_at is null and s.id in (select u.id from used u)
""")  # noqa: S608 -- a constant
_DELETE_MEMBERS_OF_SEGMENTS = text("""
delete from segment_members where account_id = current_account() and segment_id = any(cast(:ids as uuid[]))
""")
_CLAIM_DUE_SEGMENT = text("""
select id, filter, due_at from segments
 where account_id = current_account() and due_at <= cast(:now as timestamptz)
 order by due_at limit 1 for update skip locked
""").columns(filter=JSONB)
_SET_NEXT_COMPARISON = text("""
update segments set due_at = cast(:due_at as timestamptz) where account_id = current_account() and id = :id
""")
_FIND_COMPARED_SEGMENTS = text("""
select id from segments
 where account_id = current_account() and id = any(cast(:ids as uuid[]))
   and due_at > cast(:first as timestamptz)
""")
_READ_MEMBERS = text("""
select segment_id, contact_id from segment_members
 where account_id = current_account() and contact_id = any(cast(:contacts as uuid[]))
   and segment_id = any(cast(:segments as uuid[]))
""")
_INSERT_MEMBERS = BatchStatement(
    WatchedMember,
    """
insert into segment_members (segment_id, contact_id, entered_at)
select v.segment_id, v.contact_id, cast(:now as timestamptz)
  from {v}
 order by 1, 2 on conflict do nothing returning segment_id, contact_id
""",
)
_DELETE_MEMBERS = BatchStatement(
    WatchedMember,
    """
delete from segment_members m
 using {v}
 where m.account_id = current_account() and m.segment_id = v.segment_id and m.contact_id = v.contact_id
returning m.segment_id, m.contact_id
""",
)


async def sync_watched_segments(session: AsyncSession) -> bool:
    """Watches exactly the segments that triggers of live workflows name; returns whether that changed."""
    changes = await fetch_all(session, WatchChange, _SYNC_WATCHED_SEGMENTS, first=NEVER_COMPARED)
    forgotten = [change.id for change in changes if change.due_at is None]
    if forgotten:
        await execute(session, _DELETE_MEMBERS_OF_SEGMENTS, ids=forgotten)
    return bool(changes)


async def restart_failed_segments(session: AsyncSession) -> None:
    """Schedules the first comparison of segments again for which it failed."""
    await execute(session, _RESTART_FAILED_SEGMENTS, first=NEVER_COMPARED)


async def claim_due_segment(session: AsyncSession, now: datetime) -> DueSegment | None:
    """Locks the watched segment whose comparison is due for the longest time."""
    return await fetch_one(session, DueSegment, _CLAIM_DUE_SEGMENT, now=now)


async def set_next_comparison(session: AsyncSession, segment_id: UUID, due_at: datetime | None) -> None:
    """Stores when the segment is compared next."""
    await execute(session, _SET_NEXT_COMPARISON, id=segment_id, due_at=due_at)


async def find_compared_segments(session: AsyncSession, segments: Sequence[UUID]) -> set[UUID]:
    """Those of these watched segments that were compared before."""
    rows = await fetch_scalars(session, UUID, _FIND_COMPARED_SEGMENTS, ids=segments, first=NEVER_COMPARED)
    return set(rows)


async def read_members(
    session: AsyncSession, segments: Sequence[UUID], contacts: Sequence[UUID]
) -> set[WatchedMember]:
    """Which of these contacts are members of which of these segments."""
    return set(await fetch_all(session, WatchedMember, _READ_MEMBERS, contacts=contacts, segments=segments))


async def insert_members(
    session: AsyncSession, members: Sequence[WatchedMember], now: datetime
) -> list[WatchedMember]:
    """Adds members; returns those that another transaction did not add first."""
    return await fetch_batch(session, WatchedMember, _INSERT_MEMBERS, members, now=now)


async def delete_members(session: AsyncSession, members: Sequence[WatchedMember]) -> list[WatchedMember]:
    """Removes members, in the order of their keys; returns those that another transaction did not remove
    first."""
    return await fetch_batch(session, WatchedMember, _DELETE_MEMBERS, sorted(members))


async def fill_segment(
    session: AsyncSession, segment_id: UUID, condition: ColumnElement[bool], now: datetime
) -> None:
    """Adds all contacts of the segment as members, without events."""
    account = session.info["account_id"]
    contacts = select(literal(account), literal(segment_id), Contact.id, literal(now)).where(
        Contact.account_id == account, Contact.deleted_at.is_(None), condition
    )
    names = ["account_id", "segment_id", "contact_id", "entered_at"]
    await session.execute(upsert(SegmentMember).from_select(names, contacts).on_conflict_do_nothing())


async def find_new_members(
    session: AsyncSession, segment_id: UUID, condition: ColumnElement[bool], most: int
) -> Sequence[UUID]:
    """Contacts that are in the segment now and are not members yet."""
    account = session.info["account_id"]
    member = select(literal(1)).where(
        SegmentMember.account_id == account,
        SegmentMember.segment_id == segment_id,
        SegmentMember.contact_id == Contact.id,
    )
    query = select(Contact.id).where(
        Contact.account_id == account, Contact.deleted_at.is_(None), condition, ~member.exists()
    )
    return (await session.scalars(query.order_by(Contact.id).limit(most))).all()


async def find_former_members(
    session: AsyncSession, segment_id: UUID, condition: ColumnElement[bool], most: int
) -> list[FormerMember]:
    """Members that are not in the segment anymore."""
    account = session.info["account_id"]
    query = (
        select(Contact.id, Contact.deleted_at.is_(None).label("there"))
        .join(
            SegmentMember,
            (SegmentMember.account_id == Contact.account_id) & (SegmentMember.contact_id == Contact.id),
        )
        .where(
            Contact.account_id == account,
            SegmentMember.segment_id == segment_id,
            ~(condition & Contact.deleted_at.is_(None)),
        )
    )
    return await fetch_all(session, FormerMember, query.order_by(Contact.id).limit(most))
