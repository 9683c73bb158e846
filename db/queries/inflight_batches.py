"""Statements of marks: which enrollments a worker is advancing and which events it is matching, so that the
ones that kill the worker can be found (see app/engine/recovery/poison_isolation.py).

A mark is written before the batch is processed, and the batch's own transaction deletes it. It need not
survive a crash of the database, which undoes the batch as well: hence an unlogged table and an asynchronous
commit.
"""

from sqlalchemy import text

INSERT_MARK = text("""
with quick as (select set_config('synchronous_commit', 'off', true) as how)
insert into inflight_batches (id, kind, worker_id, ids)
select cast(:id as uuid), cast(:kind as text), cast(:worker as uuid), cast(:ids as uuid[]) from quick
 where cast(:kind as text) = 'advance'
    or not exists (select from inflight_batches o where o.account_id = current_account() and o.kind = 'match')
returning id
""")
DELETE_MARKS = text("""
delete from inflight_batches where account_id = current_account() and id = any(cast(:marks as uuid[]))
""")
# Marks without a worker, or whose worker has sent no heartbeat for `gone` seconds. Of enrollments, marks that
# never crashed alone come first. Of events, only the oldest mark: the others wait until it is done.
_GONE_SINCE = "clock_timestamp() - make_interval(secs => cast(:gone as double precision))"
LOCK_LEFT_BEHIND_MARK = text(f"""
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
SPLIT_ENROLLMENT_MARK = text("""
with gone as (delete from inflight_batches where account_id = current_account() and id = :id returning ids)
insert into inflight_batches (id, worker_id, ids, crashes)
select gen_random_uuid(), null, array[e.id], 1 from gone, enrollments e
 where e.account_id = current_account() and e.id = any(gone.ids) and e.status = 'active'
   and e.due_at <= cast(:now as timestamptz)
""")
SPLIT_EVENT_MARK = text("""
with gone as (delete from inflight_batches where account_id = current_account() and id = :id returning ids)
insert into inflight_batches (id, kind, worker_id, ids, crashes)
select gen_random_uuid(), 'match', null, array[e.id], 1 from gone, events e
 where e.account_id = current_account() and e.id = any(gone.ids) and e.matched_at is null
""")
TAKE_SUSPECT = text("""
update inflight_batches set worker_id = cast(:worker as uuid), started_at = clock_timestamp(),
       crashes = crashes + case when worker_id is null then 0 else 1 end
 where account_id = current_account() and id = :id
returning ids, crashes
""")
