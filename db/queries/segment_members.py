"""Statements of watched segments: a live workflow starts when a contact enters or leaves them, so their
members are stored."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, literal, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Contact, SegmentMember

# `due_at` of a watched segment before its first comparison, which adds members without events.
NEVER_COMPARED = datetime(1970, 1, 1, tzinfo=UTC)

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
SYNC_WATCHED_SEGMENTS = text(f"""
with used as ({_USED_BY_TRIGGERS})
update segments s set due_at = case when s.due_at is null then cast(:first as timestamptz) end
 where s.account_id = current_account()
   and (s.due_at is null) = exists (select from used u where u.id = s.id)
returning s.id, s.due_at
""")  # noqa: S608 -- a constant
RESTART_FAILED_SEGMENTS = text(f"""
with used as ({_USED_BY_TRIGGERS})
update segments s set due_at = cast(:first as timestamptz)
 where s.account_id = current_account() and s.due_at is null and s.id in (select u.id from used u)
""")  # noqa: S608 -- a constant
DELETE_MEMBERS_OF_SEGMENTS = text("""
delete from segment_members where account_id = current_account() and segment_id = any(cast(:ids as uuid[]))
""")
CLAIM_DUE_SEGMENT = text("""
select id, filter, due_at from segments
 where account_id = current_account() and due_at <= cast(:now as timestamptz)
 order by due_at limit 1 for update skip locked
""").columns(filter=JSONB)
SET_NEXT_COMPARISON = text("""
update segments set due_at = cast(:due_at as timestamptz) where account_id = current_account() and id = :id
""")
FIND_COMPARED_SEGMENTS = text("""
select id from segments
 where account_id = current_account() and id = any(cast(:ids as uuid[]))
   and due_at > cast(:first as timestamptz)
""")
READ_MEMBERS = text("""
select segment_id, contact_id from segment_members
 where account_id = current_account() and contact_id = any(cast(:contacts as uuid[]))
   and segment_id = any(cast(:segments as uuid[]))
""")
INSERT_MEMBERS = text("""
insert into segment_members (segment_id, contact_id, entered_at)
select v.segment_id, v.contact_id, cast(:now as timestamptz)
  from unnest(cast(:segment_id as uuid[]), cast(:contact_id as uuid[])) v(segment_id, contact_id)
 order by 1, 2 on conflict do nothing returning segment_id, contact_id
""")
DELETE_MEMBERS = text("""
delete from segment_members m
 using unnest(cast(:segment_id as uuid[]), cast(:contact_id as uuid[])) v(segment_id, contact_id)
 where m.account_id = current_account() and m.segment_id = v.segment_id and m.contact_id = v.contact_id
returning m.segment_id, m.contact_id
""")


async def sync_watched_segments(session: Any) -> bool:
    """Watches exactly the segments that triggers of live workflows name; returns whether that changed."""
    rows = (await session.execute(SYNC_WATCHED_SEGMENTS, {"first": NEVER_COMPARED})).all()
    forgotten = [row.id for row in rows if row.due_at is None]
    if forgotten:
        await session.execute(DELETE_MEMBERS_OF_SEGMENTS, {"ids": forgotten})
    return bool(rows)


async def restart_failed_segments(session: Any) -> None:
    """Schedules the first comparison of segments again for which it failed."""
    await session.execute(RESTART_FAILED_SEGMENTS, {"first": NEVER_COMPARED})


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
) -> Sequence[Any]:
    """Members that are not in the segment anymore: id, and `there` (the contact is not deleted)."""
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
    return (await session.execute(query.order_by(Contact.id).limit(most))).all()
