"""Writes and reads marks: which enrollments a worker is advancing and which events it is matching, so that
the ones that kill the worker can be found (see app/engine/recovery/poison_isolation.py).

A mark is written before the batch is processed, and the batch's own transaction deletes it. It need not
survive a crash of the database, which undoes the batch as well: hence an unlogged table and an asynchronous
commit.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db.queries.statements import execute, fetch_one, fetch_scalar


class BatchKind(StrEnum):
    """What a mark names: enrollments that are being advanced, or events that are being matched."""

    ADVANCE = "advance"
    MATCH = "match"


class LeftMark(msgspec.Struct, frozen=True):
    """A mark that no living worker holds."""

    id: UUID
    ids: list[UUID]
    crashes: int
    worker_id: UUID | None


class TakenSuspect(msgspec.Struct, frozen=True):
    """The row of a mark that this worker took, and how often a worker died at it."""

    ids: list[UUID]
    crashes: int


_INSERT_MARK = text("""
with quick as (select set_config('synchronous_commit', 'off', true) as how)
insert into inflight_batches (id, kind, worker_id, ids)
select cast(:id as uuid), cast(:kind as text), cast(:worker as uuid), cast(:ids as uuid[]) from quick
 where cast(:kind as text) = 'advance'
    or not exists (select from inflight_batches o where o.account_id = current_account() and o.kind = 'match')
returning id
""")
_DELETE_MARKS = text("""
delete from inflight_batches where account_id = current_account() and id = any(cast(:marks as uuid[]))
""")
# Marks without a worker, or whose worker has sent no heartbeat for `gone` seconds. Of enrollments, marks that
# never crashed alone come first. Of events, only the oldest mark: the others wait until it is done.
_GONE_SINCE = "clock_timestamp() - make_interval(secs => cast(:gone as double precision))"
_LOCK_LEFT_BEHIND_MARK = text(f"""
select b.id, b.ids, b.crashes, b.worker_id from inflight_batches b
 where b.account_id = current_account() and b.kind = cast(:kind as text)
   and (b.kind = 'advance'
        or b.id = (select o.id from inflight_batches o where o.account_id = current_account()
        and o.kind = 'match'
                    order by cardinality(o.ids) desc, o.ids[1], o.id limit 1))
   and (b.worker_id is null
        or b.started_at < {_GONE_SINCE}
           and not exists (select from workers w where w.id = b.worker_id and w.last_seen_at > {_GONE_SINCE}))
 order by cardinality(b.ids) desc, b.crashes, b.id limit 1 for update of b skip locked
""")  # noqa: S608 -- a constant
# The crash counts against each of them: one of them caused it, and it is unknown which.
_SPLIT_ENROLLMENT_MARK = text("""
with gone as (delete from inflight_batches where account_id = current_account() and id = :id returning ids)
insert into inflight_batches (id, worker_id, ids, crashes)
select gen_random_uuid(), null, array[e.id], 1 from gone, enrollments e
 where e.account_id = current_account() and e.id = any(gone.ids) and e.status = 'active'
   and e.due_at <= cast(:now as timestamptz)
""")
_SPLIT_EVENT_MARK = text("""
with gone as (delete from inflight_batches where account_id = current_account() and id = :id returning ids)
insert into inflight_batches (id, kind, worker_id, ids, crashes)
select gen_random_uuid(), 'match', null, array[e.id], 1 from gone, events e
 where e.account_id = current_account() and e.id = any(gone.ids) and e.matched_at is null
""")
_TAKE_SUSPECT = text("""
update inflight_batches set worker_id = cast(:worker as uuid), started_at = clock_timestamp(),
       crashes = crashes + case when worker_id is null then 0 else 1 end
 where account_id = current_account() and id = :id
returning ids, crashes
""")
_SPLIT_MARK = {BatchKind.ADVANCE: _SPLIT_ENROLLMENT_MARK, BatchKind.MATCH: _SPLIT_EVENT_MARK}


async def insert_mark(
    session: AsyncSession, mark: UUID, kind: BatchKind, worker: UUID, ids: Sequence[UUID]
) -> bool:
    """Writes a mark; False when events of this account have one already."""
    inserted = await fetch_scalar(session, UUID, _INSERT_MARK, id=mark, kind=kind, worker=worker, ids=ids)
    return inserted is not None


async def delete_marks(session: AsyncSession, marks: Sequence[UUID]) -> None:
    """Removes marks."""
    await execute(session, _DELETE_MARKS, marks=marks)


async def lock_left_mark(session: AsyncSession, kind: BatchKind, gone_seconds: float) -> LeftMark | None:
    """The next mark without a worker, or whose worker sent no heartbeat for so long; locked."""
    return await fetch_one(session, LeftMark, _LOCK_LEFT_BEHIND_MARK, kind=kind, gone=gone_seconds)


async def split_mark(session: AsyncSession, kind: BatchKind, mark: UUID, now: datetime) -> None:
    """Replaces the mark by one for each row that is still to be processed."""
    await execute(session, _SPLIT_MARK[kind], id=mark, now=now)


async def take_suspect(session: AsyncSession, mark: UUID, worker: UUID) -> TakenSuspect | None:
    """This worker takes a locked mark."""
    return await fetch_one(session, TakenSuspect, _TAKE_SUSPECT, id=mark, worker=worker)
