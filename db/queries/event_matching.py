"""Statements of the matcher: claim events, read entry histories, insert enrollments and decisions, and wake
waiting enrollments."""

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB

_CLAIM_EVENTS = """
select id, kind, subject_id, source, data, root_event_id, depth, occurred_at from events
 where account_id = current_account() and matched_at is null {which} order by id limit :most
   for update skip locked
"""
CLAIM_UNMATCHED_EVENTS = text(_CLAIM_EVENTS.format(which="")).columns(data=JSONB)
# Of the next 500 events by id. Ids follow each process's own clock and the time of writing, while an event of
# a long transaction occurred when that began: the first id need not be the oldest event.
OLDEST_UNMATCHED_EVENT = text("""
select min(occurred_at) as oldest from (
  select occurred_at from events where account_id = current_account() and matched_at is null
   order by id limit 500) x
""")
CLAIM_EVENTS_BY_ID = text(_CLAIM_EVENTS.format(which="and id = any(cast(:ids as uuid[]))")).columns(
    data=JSONB
)
MARK_EVENTS_MATCHED = text("""
update events set matched_at = cast(:now as timestamptz)
 where account_id = current_account() and id = any(cast(:ids as uuid[]))
""")
# By contact only: with the workflow too, the planner may read all enrollments of the workflow for each
# contact.
READ_ENTRY_HISTORIES = text("""
with mine as materialized (
        select workflow_id, contact_id, id, status, entry_key, entered_at, ended_at from enrollments
         where account_id = current_account() and contact_id = any(cast(:contacts as uuid[]))),
     lately as (
        select contact_id, count(*) as entries from mine
         where entered_at > cast(:now as timestamptz) - interval '1 hour' group by 1)
select w.workflow_id, w.contact_id, count(e.id) > 0 as entered_before, max(e.ended_at) as last_ended_at,
       array_agg(e.id) filter (where e.status = 'active') as live,
       array_agg(e.entry_key) filter (where e.status = 'active') as keys,
       count(*) filter (where e.entered_at > cast(:now as timestamptz) - interval '1 hour') as last_hour,
       coalesce(max(l.entries), 0) as last_hour_anywhere
  from unnest(cast(:workflows as uuid[]), cast(:contacts as uuid[])) w(workflow_id, contact_id)
  left join mine e on e.workflow_id = w.workflow_id and e.contact_id = w.contact_id
  left join lately l on l.contact_id = w.contact_id
 where e.id is not null or l.entries is not null
 group by 1, 2
""")
# By id, which begins with its creation time: reads the last day only, however many enrollments there are.
COUNT_ENTRIES_TODAY = text("""
select (select count(*) from (
          select from enrollments e
           where e.account_id = current_account() and e.workflow_id = w.id and e.id > :since
             and e.entered_at > cast(:now as timestamptz) - interval '1 day' limit w.cap) x) as entered, w.id
  from unnest(cast(:workflows as uuid[]), cast(:caps as int[])) w(id, cap)
""")
INSERT_ENROLLMENTS = text("""
insert into enrollments
       (id, workflow_id, version, contact_id, event_id, root_event_id, depth, entry_key, data,
          contact_deleted,
        status, exit_reason, ended_at, due_at, wait_until, entered_at)
select v.id, v.workflow_id, v.version, v.contact_id, v.event_id, v.root_event_id, v.depth, v.entry_key,
       cast(v.data as jsonb), v.contact_deleted,
       case when v.superseded then 'exited' else 'active' end,
       case when v.superseded then 'superseded' end,
       case when v.superseded then cast(:now as timestamptz) end,
       case when not v.superseded then coalesce(v.settled_at, cast(:now as timestamptz)) end,
       case when not v.superseded then v.settled_at end, cast(:now as timestamptz)
  from unnest(cast(:id as uuid[]), cast(:workflow_id as uuid[]), cast(:version as int[]),
              cast(:contact_id as uuid[]), cast(:event_id as uuid[]), cast(:root_event_id as uuid[]),
              cast(:depth as int[]), cast(:entry_key as text[]), cast(:data as text[]),
              cast(:contact_deleted as boolean[]), cast(:superseded as boolean[]),
              cast(:settled_at as timestamptz[]))
       v(id, workflow_id, version, contact_id, event_id, root_event_id, depth, entry_key, data,
          contact_deleted,
         superseded, settled_at)
on conflict do nothing returning id, workflow_id, contact_id, root_event_id, depth
""")
INSERT_DECISIONS = text("""
insert into trigger_decisions (event_id, workflow_id, version, contact_id, verdict, detail, decided_at)
select v.event_id, v.workflow_id, v.version, v.contact_id, v.verdict, cast(v.detail as jsonb),
       cast(:now as timestamptz)
  from unnest(cast(:event_id as uuid[]), cast(:workflow_id as uuid[]), cast(:version as int[]),
              cast(:contact_id as uuid[]), cast(:verdict as text[]), cast(:detail as text[]))
       v(event_id, workflow_id, version, contact_id, verdict, detail)
on conflict do nothing
""")

READ_ACTIVE_ENROLLMENTS = text("""
select e.id, e.workflow_id, e.version, e.contact_id, e.step_key, e.seq, e.wait_reason, e.wait_until,
       e.entered_at, e.contact_deleted, e.due_at <= cast(:now as timestamptz) as due, x.started_at
  from enrollments e
  left join enrollment_executions x
    on x.account_id = e.account_id and x.enrollment_id = e.id and x.seq = e.seq and e.wait_reason = 'event'
 where e.account_id = current_account() and e.contact_id = any(cast(:ids as uuid[]))
   and e.status = 'active'
""")
# Waits for the workers that advance them now. Several enrollments are always locked in this order.
LOCK_ENROLLMENTS = text("""
select id from enrollments
 where account_id = current_account() and id = any(cast(:ids as uuid[])) order by id for update
""")
WAKE_ENROLLMENTS = text("""
update enrollments set due_at = cast(:now as timestamptz)
 where account_id = current_account() and id = any(cast(:ids as uuid[])) and status = 'active'
   and paused_at is null and (due_at is null or due_at > cast(:now as timestamptz))
""")
WAKE_ENROLLMENTS_OF_CONTACTS = text("""
with x as materialized (
        select id from enrollments
         where account_id = current_account() and contact_id = any(cast(:ids as uuid[]))
           and status = 'active' and paused_at is null and not contact_deleted
         order by id for update)
update enrollments e set due_at = cast(:now as timestamptz) from x
 where e.account_id = current_account() and e.id = x.id
""")
# A paused enrollment has the event when it is resumed.
WAKE_BY_EVENT = text("""
update enrollments e set wake_event_id = v.event_id,
       due_at = case when e.paused_at is null then cast(:now as timestamptz) end
  from unnest(cast(:id as uuid[]), cast(:seq as int[]), cast(:event_id as uuid[])) v(id, seq, event_id)
 where e.account_id = current_account() and e.id = v.id and e.seq = v.seq and e.status = 'active'
   and e.wait_reason = 'event'
""")
LOCK_ACTIVE_ENROLLMENTS = text("""
select e.*, w.name as workflow_name, w.status as workflow_status
  from enrollments e join workflows w on w.account_id = e.account_id and w.id = e.workflow_id
 where e.account_id = current_account() and e.id = any(cast(:ids as uuid[])) and e.status = 'active'
 order by e.id for update of e
""").columns(data=JSONB)

# Events of a contact, newest first, each with the decision of one workflow on it.
_DECISIONS_ON_EVENTS = """
select v.id, v.kind, v.source, v.subject_id, v.data, v.depth, v.occurred_at, d.verdict, d.detail, d.version,
       v.matched_at is not null as matched,
       exists (select from audit_logs a
         where a.account_id = v.account_id and a.subject_kind = 'contact'
           and a.subject_id = cast(v.subject_id as text) and a.action = 'event.skipped'
           and a.changes->'event'->>0 = cast(v.id as text)
           and (strpos(a.changes->'event'->>1, 'could not be matched') > 0
             or strpos(a.changes->'event'->>1, cast(cast(:workflow as uuid) as text)) > 0)) as passed_over
  from events v
  left join trigger_decisions d
    on d.account_id = v.account_id and d.event_id = v.id and d.workflow_id = cast(:workflow as uuid)
 where v.account_id = current_account() and v.subject_id = :contact {which}
 order by v.id {order} limit :most
"""
_OLDER, _NEWER = "and v.id < cast(:edge as uuid)", "and v.id > cast(:edge as uuid)"
LATEST_EVENT_DECISIONS = text(_DECISIONS_ON_EVENTS.format(which="", order="desc")).columns(
    data=JSONB, detail=JSONB
)
OLDER_EVENT_DECISIONS = text(_DECISIONS_ON_EVENTS.format(which=_OLDER, order="desc")).columns(
    data=JSONB, detail=JSONB
)
NEWER_EVENT_DECISIONS = text(_DECISIONS_ON_EVENTS.format(which=_NEWER, order="asc")).columns(
    data=JSONB, detail=JSONB
)
