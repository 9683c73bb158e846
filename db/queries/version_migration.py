"""Statements of publishing: count enrollments by version and step, and move them to another version."""

from sqlalchemy import text

from db.queries.effect_claims import NEVER_TRIED

_MAY_BE_GOING_OUT = f"(f.status = 'unknown' or f.status = 'claimed' and not ({NEVER_TRIED}))"
_UNSENT_AT_STEP = "f.seq = e.seq and f.status in ('pending', 'retry', 'claimed')"


def _count_having(condition: str) -> str:
    """How many of the enrollments `e` have an effect `f` like that."""
    return f"""count(*) filter (where exists (
         select from effects f where f.account_id = e.account_id and f.enrollment_id = e.id
            and {condition}))"""


# By version and step: how many enrollments, since when and until when; for how many an effect may be going
# out, was never tried, or waits for a retry.
COUNT_ENROLLMENTS_BY_STEP = text(f"""
select e.version, e.step_key, count(*) as enrollments, min(e.wait_until) as due_first,
       max(e.wait_until) as due_last, min(x.started_at) as began_first, max(x.started_at) as began_last,
       {_count_having(_MAY_BE_GOING_OUT)} as under_way,
       {_count_having(f"{_UNSENT_AT_STEP} and {NEVER_TRIED}")} as untried,
       {_count_having(f"{_UNSENT_AT_STEP} and f.status <> 'claimed' and not ({NEVER_TRIED})")} as tried,
       min(e.wait_reason) as reason, count(distinct coalesce(e.wait_reason, '')) as reasons
  from enrollments e
  left join enrollment_executions x
    on x.account_id = e.account_id and x.enrollment_id = e.id and x.seq = e.seq and x.finished_at is null
 where e.account_id = current_account() and e.workflow_id = :workflow and e.status = 'active'
 group by 1, 2 order by 1 desc, 2
""")  # noqa: S608 -- constants
# Locks the effects that these (locked) enrollments have not sent or may be sending.
LOCK_UNFINISHED_EFFECTS = text(f"""
select f.enrollment_id, {_MAY_BE_GOING_OUT} as under_way, ({NEVER_TRIED}) as untried from effects f
 where f.account_id = current_account() and f.enrollment_id = any(cast(:ids as uuid[]))
   and f.status in ('pending', 'retry', 'claimed', 'unknown')
 order by f.id for update
""")  # noqa: S608 -- constants
# Claimed by a worker that has not begun the call. The new fence keeps it from beginning, and it cannot be
# beginning right now, because the enrollment is locked.
CANCEL_UNBEGUN_CLAIMS = text(f"""
update effects f set status = 'cancelled', fence = f.fence + 1, lease_until = null, error = :error
 where f.account_id = current_account() and f.enrollment_id = any(cast(:ids as uuid[]))
   and f.status = 'claimed' and {NEVER_TRIED}
""")  # noqa: S608 -- constants
COUNT_ENROLLMENTS_AT_STEP = text("""
select count(*) as enrollments from enrollments
 where account_id = current_account() and workflow_id = :workflow and version = :version
   and step_key is not distinct from cast(:step as text) and status = 'active'
""")
# Locked until the transaction ends, in the order of their ids.
LOCK_ENROLLMENTS_AT_STEP = text("""
select e.id, e.contact_id, e.step_key, e.seq, e.wait_reason, e.wait_until, e.paused_at, x.started_at
  from enrollments e
  left join enrollment_executions x
    on x.account_id = e.account_id and x.enrollment_id = e.id and x.seq = e.seq and x.finished_at is null
 where e.account_id = current_account() and e.workflow_id = :workflow and e.version = :version
   and e.step_key is not distinct from cast(:step as text) and e.status = 'active'
   and e.id > :after
 order by e.id limit :most for update of e
""")
# Marks all enrollments at these steps for a job. From the commit on they do not advance in their old version,
# because CLAIM_DUE_ENROLLMENTS leaves them out. An earlier job loses enrollments that it had marked.
MARK_FOR_MIGRATION = text("""
with x as materialized (
        select e.id, v.place from enrollments e
          join unnest(cast(:version as int[]), cast(:step as text[])) with ordinality v(version, step, place)
            on v.version = e.version and v.step is not distinct from e.step_key
         where e.account_id = current_account() and e.workflow_id = :workflow and e.status = 'active'
         order by e.id for update of e),
     marked as (
        insert into enrollment_migrations (enrollment_id, job_id, choice) select id, :job, place - 1 from x
        on conflict (account_id, enrollment_id)
           do update set job_id = excluded.job_id, choice = excluded.choice
        returning choice)
select choice, count(*) as enrollments from marked group by 1
""")
LOCK_NEXT_MARKED = text("""
select r.choice, e.id, e.contact_id, e.version, e.status, e.step_key, e.seq, e.wait_reason, e.wait_until,
       e.paused_at, x.started_at
  from enrollment_migrations r
  join enrollments e on e.account_id = r.account_id and e.id = r.enrollment_id
  left join enrollment_executions x
    on x.account_id = e.account_id and x.enrollment_id = e.id and x.seq = e.seq and x.finished_at is null
 where r.account_id = current_account() and r.job_id = :job
 order by r.enrollment_id limit :most for update of e
""")
UNMARK_ENROLLMENTS = text("""
delete from enrollment_migrations where account_id = current_account()
   and enrollment_id = any(cast(:ids as uuid[]))
""")
# All enrollments at these steps, in the order in which several are always locked.
LOCK_ENROLLMENTS_AT_STEPS = text("""
select e.id from enrollments e
  join unnest(cast(:version as int[]), cast(:step as text[])) v(version, step)
    on v.version = e.version and v.step is not distinct from e.step_key
 where e.account_id = current_account() and e.workflow_id = :workflow and e.status = 'active'
 order by e.id for update of e
""")
# `kept`: the visit continues, and the enrollment becomes due, because it may meet a goal of the new version.
# A paused enrollment stays paused; one that waits for a call becomes due after it.
MIGRATE_ENROLLMENTS = text("""
update enrollments e
   set version = :version, step_key = v.step_key, fence = e.fence + 1,
       updated_at = cast(:now as timestamptz),
       wait_reason = case when v.kept then e.wait_reason end,
       wait_until = case when v.kept then v.wait_until end,
       wake_event_id = case when v.kept then e.wake_event_id end,
       due_at = case when e.paused_at is null and (not v.kept or e.due_at is not null)
                     then cast(:now as timestamptz) end
  from unnest(cast(:id as uuid[]), cast(:step_key as text[]), cast(:kept as boolean[]),
              cast(:wait_until as timestamptz[])) v(id, step_key, kept, wait_until)
 where e.account_id = current_account() and e.id = v.id
""")
INSERT_MOVES = text("""
insert into enrollment_moves
       (id, enrollment_id, from_version, to_version, from_step, to_step, moved_by, moved_at)
select v.id, v.enrollment_id, :from_version, :to_version, v.from_step, v.to_step, :by,
       cast(:now as timestamptz)
  from unnest(cast(:id as uuid[]), cast(:enrollment_id as uuid[]), cast(:from_step as text[]),
              cast(:to_step as text[])) v(id, enrollment_id, from_step, to_step)
""")
UPDATE_APPROVAL_DEADLINES = text("""
update approvals a set due_at = v.wait_until
  from unnest(cast(:id as uuid[]), cast(:seq as int[]), cast(:wait_until as timestamptz[]))
       v(id, seq, wait_until)
 where a.account_id = current_account() and a.enrollment_id = v.id and a.seq = v.seq and a.status = 'open'
""")
WAKE_ARCHIVED_ENROLLMENTS = text("""
with x as materialized (
        select id from enrollments
         where account_id = current_account() and workflow_id = :workflow and status = 'active'
         order by id for update)
update enrollments e set due_at = cast(:now as timestamptz), paused_at = null from x
 where e.account_id = current_account() and e.id = x.id
""")
