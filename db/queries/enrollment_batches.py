"""Statements that claim due enrollments and write what a batch of decisions changed."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB

from db.queries.batch_session import CONSENT_FIELDS, WRITABLE_FIELDS
from db.queries.due_work import due_workflows


class ClaimedEnrollment(msgspec.Struct, frozen=True):
    """A claimed enrollment; the fields are the statement's columns, in order."""

    id: UUID
    workflow_id: UUID
    version: int
    contact_id: UUID
    root_event_id: UUID
    depth: int
    step_key: str | None
    seq: int
    fence: int
    wait_reason: str | None
    wait_until: datetime | None
    goal_key: str | None
    entered_at: datetime
    data: dict[str, Any]
    wake_event_id: UUID | None
    contact_deleted: bool
    workflow_name: str
    workflow_status: str


_CLAIMED_COLUMNS = """
select e.id, e.workflow_id, e.version, e.contact_id, e.root_event_id, e.depth, e.step_key, e.seq,
       e.fence, e.wait_reason, e.wait_until, e.goal_key, e.entered_at, e.data, e.wake_event_id,
          e.contact_deleted,
       w.name as workflow_name, w.status as workflow_status"""
# In a held workflow no enrollment advances; in an archived one enrollments must still end.
_MAY_ADVANCE = "(not w.held or w.status = 'archived')"
# `offset 0` keeps this a lookup by key: as a join it could get a plan made when the table was empty.
_CLAIMABLE_ENROLLMENT = """e.status = 'active' and e.due_at <= cast(:now as timestamptz)
   and e.paused_at is null
   and not exists (select from enrollment_migrations r join jobs j on j.account_id = r.account_id
      and j.id = r.job_id
                    where r.account_id = e.account_id and r.enrollment_id = e.id
                      and j.status in ('queued', 'running') offset 0)"""
# Not ordered by id too: all enrollments due at the same time would be sorted for each batch. Enrollments that
# a dead worker's mark names are left out: they run alone.
CLAIM_DUE_ENROLLMENTS = text(f"""
with w as materialized ({due_workflows("enrollments e", _CLAIMABLE_ENROLLMENT, _MAY_ADVANCE)})
{_CLAIMED_COLUMNS}
  from w
 cross join lateral (
       select e.* from enrollments e
        where e.account_id = current_account() and e.workflow_id = w.id and {_CLAIMABLE_ENROLLMENT}
          and e.id not in (select unnest(b.ids) from inflight_batches b
                            where b.account_id = current_account() and b.kind = 'advance')
        order by e.due_at limit :most for update of e skip locked) e
 limit :most
""").columns(data=JSONB)  # noqa: S608 -- constants
CLAIM_ENROLLMENTS_BY_ID = text(f"""
{_CLAIMED_COLUMNS}
  from enrollments e
  join workflows w on w.account_id = e.account_id and w.id = e.workflow_id
 where e.account_id = current_account() and e.id = any(cast(:ids as uuid[])) and {_MAY_ADVANCE}
   and {_CLAIMABLE_ENROLLMENT}
   and not exists (select from engine_state i where i.held_at is not null)
 order by e.due_at limit :most for update of e skip locked
""").columns(data=JSONB)

READ_EFFECT_OUTCOMES = text("""
select f.enrollment_id, f.status, f.started_at, f.due_at, f.error, f.error_class, f.result from effects f
  join unnest(cast(:ids as uuid[]), cast(:seqs as int[])) w(id, seq)
    on w.id = f.enrollment_id and w.seq = f.seq
 where f.account_id = current_account()
""").columns(result=JSONB)

# Everything in a batch happens at one time, so `now` is one parameter and not a column.
INSERT_EXECUTIONS = text("""
insert into enrollment_executions
       (enrollment_id, seq, step_key, kind, started_at, finished_at, outcome, detail, error)
select v.enrollment_id, v.seq, v.step_key, v.kind, cast(:now as timestamptz),
       case when v.outcome is not null then cast(:now as timestamptz) end, v.outcome,
       cast(v.detail as jsonb), v.error
  from unnest(cast(:enrollment_id as uuid[]), cast(:seq as int[]), cast(:step_key as text[]),
              cast(:kind as text[]), cast(:outcome as text[]), cast(:detail as text[]),
              cast(:error as text[]))
       v(enrollment_id, seq, step_key, kind, outcome, detail, error)
""")
CLOSE_EXECUTIONS = text("""
update enrollment_executions x
   set finished_at = cast(:now as timestamptz), outcome = v.outcome,
       detail = x.detail || cast(v.detail as jsonb), error = v.error
  from unnest(cast(:enrollment_id as uuid[]), cast(:seq as int[]), cast(:outcome as text[]),
              cast(:detail as text[]), cast(:error as text[]))
       v(enrollment_id, seq, outcome, detail, error)
 where x.account_id = current_account() and x.enrollment_id = v.enrollment_id and x.seq = v.seq
""")
UPDATE_ENROLLMENTS = text("""
update enrollments t
   set status = v.status, step_key = v.step_key, seq = v.seq, due_at = v.due_at, wait_until = v.wait_until,
       wait_reason = v.wait_reason, exit_reason = v.exit_reason, goal_key = v.goal_key, error = v.error,
       wake_event_id = null,
       ended_at = case when v.status = 'active' then null else cast(:now as timestamptz) end,
       fence = t.fence + 1, updated_at = cast(:now as timestamptz)
  from unnest(cast(:id as uuid[]), cast(:status as text[]), cast(:step_key as text[]), cast(:seq as int[]),
              cast(:due_at as timestamptz[]), cast(:wait_until as timestamptz[]),
              cast(:wait_reason as text[]), cast(:exit_reason as text[]), cast(:goal_key as text[]),
              cast(:error as text[]))
       v(id, status, step_key, seq, due_at, wait_until, wait_reason, exit_reason, goal_key, error)
 where t.account_id = current_account() and t.id = v.id
""")
UPDATE_DUE_TIMES = text("""
update enrollments t set due_at = v.due_at
  from unnest(cast(:id as uuid[]), cast(:due_at as timestamptz[])) v(id, due_at)
 where t.account_id = current_account() and t.id = v.id
""")
_SET = ", ".join(
    f"{name} = case when v.built_in ? '{name}' then v.built_in ->> '{name}' else c.{name} end"
    for name in WRITABLE_FIELDS
)
_CONSENT = ", ".join(
    f"{name} = case when v.built_in ? '{name}' then coalesce(v.built_in ->> '{name}', 'unknown')"
    f" else c.{name} end"
    for name in CONSENT_FIELDS
)
# A user who is no longer a member becomes null instead of failing the batch.
_OWNER = """owner_id = case when v.built_in ? 'owner' then
       (select m.user_id from memberships m where m.account_id = current_account()
           and m.user_id = cast(v.built_in ->> 'owner' as uuid)) else c.owner_id end"""
UPDATED_FIELDS = frozenset({*WRITABLE_FIELDS, *CONSENT_FIELDS, "owner"})  # all that UPDATE_CONTACTS writes
UPDATE_CONTACTS = text(
    f"""
update contacts c
   set {_SET}, {_CONSENT}, {_OWNER}, fields = jsonb_strip_nulls(c.fields || v.custom), rev = c.rev + 1,
       updated_at = cast(:now as timestamptz)
  from (select u.id, cast(u.built_in as jsonb) as built_in, cast(u.custom as jsonb) as custom
          from unnest(cast(:id as uuid[]), cast(:built_in as text[]), cast(:custom as text[]))
               u(id, built_in, custom)) v
 where c.account_id = current_account() and c.id = v.id
"""  # noqa: S608 -- the names are our own columns
)
# A tag that was deleted meanwhile is skipped instead of failing the batch.
ADD_CONTACT_TAGS = text("""
insert into contact_tags (contact_id, tag_id)
select v.contact_id, v.tag_id
  from unnest(cast(:contact_id as uuid[]), cast(:tag_id as uuid[])) v(contact_id, tag_id)
  join tags t on t.account_id = current_account() and t.id = v.tag_id
on conflict do nothing
""")
READ_TAG_NAMES = text("""
select id, name from tags where account_id = current_account() and id = any(cast(:ids as uuid[]))
""")
REMOVE_CONTACT_TAGS = text("""
delete from contact_tags t
 using unnest(cast(:contact_id as uuid[]), cast(:tag_id as uuid[])) v(contact_id, tag_id)
 where t.account_id = current_account() and t.contact_id = v.contact_id and t.tag_id = v.tag_id
""")
INSERT_EFFECTS = text("""
insert into effects
       (id, enrollment_id, seq, workflow_id, contact_id, step_key, kind, idempotency_key, payload, on_doubt,
        due_at)
select v.id, v.enrollment_id, v.seq, v.workflow_id, v.contact_id, v.step_key, v.kind, v.idempotency_key,
       cast(v.payload as jsonb), v.on_doubt, cast(:now as timestamptz)
  from unnest(cast(:id as uuid[]), cast(:enrollment_id as uuid[]), cast(:seq as int[]),
              cast(:workflow_id as uuid[]), cast(:contact_id as uuid[]), cast(:step_key as text[]),
              cast(:kind as text[]), cast(:idempotency_key as text[]), cast(:payload as text[]),
              cast(:on_doubt as text[]))
       v(id, enrollment_id, seq, workflow_id, contact_id, step_key, kind, idempotency_key, payload, on_doubt)
""")
# The error of an earlier try is kept: it may say that the call may have arrived.
CANCEL_UNSENT_EFFECTS = text("""
update effects set status = 'cancelled', fence = fence + 1,
       error = concat_ws(' ', cast(:error as text), 'Last try: ' || error)
 where account_id = current_account() and enrollment_id = any(cast(:ids as uuid[]))
   and status in ('pending', 'retry')
""")
CANCEL_EFFECTS_OF_VISITS = text("""
update effects f set status = 'cancelled', fence = f.fence + 1,
       error = concat_ws(' ', cast(:error as text), 'Last try: ' || f.error)
  from unnest(cast(:enrollment_id as uuid[]), cast(:seq as int[])) v(enrollment_id, seq)
 where f.account_id = current_account() and f.enrollment_id = v.enrollment_id and f.seq = v.seq
   and f.status in ('pending', 'retry')
""")
# With the fence: a member may have paused or moved the enrollment since it was claimed.
PARK_POISON_ENROLLMENT = text("""
update enrollments set status = 'failed', exit_reason = 'failed_permanent', error = :error, due_at = null,
       step_key = coalesce(step_key, :step), seq = seq + :visits,
       wait_until = null, wait_reason = null, ended_at = cast(:now as timestamptz),
       updated_at = cast(:now as timestamptz), fence = fence + 1
 where account_id = current_account() and id = :id and fence = :fence and status = 'active' returning id
""")
# For a step that failed before it began. An existing row is the visit in which it failed.
INSERT_FAILED_EXECUTION = text("""
insert into enrollment_executions
       (enrollment_id, seq, step_key, kind, started_at, finished_at, outcome, error)
select e.id, e.seq, :step, :kind, cast(:now as timestamptz), cast(:now as timestamptz), 'failed', :error
  from enrollments e where e.account_id = current_account() and e.id = :id
on conflict do nothing
""")
FAIL_OPEN_EXECUTIONS = text("""
update enrollment_executions set finished_at = cast(:now as timestamptz), outcome = 'failed', error = :error
 where account_id = current_account() and enrollment_id = :id and finished_at is null
""")
