"""Statements that read step contexts (members, step states, contact history) and write the side records of
steps (notes, tasks, notifications, approvals).

Users are joined with memberships: a user who has left the account is skipped instead of failing the batch.
"""

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB

READ_ACCOUNT_MEMBERS = text("""
select m.user_id as id, u.name from memberships m join users u on u.id = m.user_id
 where m.account_id = current_account() order by m.user_id
""")
COUNT_OWNED_CONTACTS = text("""
select owner_id, count(*) as contacts from contacts
 where account_id = current_account() and owner_id is not null and deleted_at is null group by 1
""")
READ_WORKFLOW_MEMBERSHIP = text("""
select contact_id, array_agg(distinct workflow_id) as ever,
       array_agg(distinct workflow_id) filter (where status = 'active') as active,
       array_agg(distinct workflow_id) filter (where status = 'completed') as completed
  from enrollments
 where account_id = current_account() and contact_id = any(cast(:ids as uuid[])) group by 1
""")
# Only events of the needed kinds, and of changes only the needed fields.
READ_CONTACT_HISTORY = text("""
select v.id as contact_id, e.kind, e.occurred_at,
       case when cast(:fields as text[]) <> '{}' and e.kind = 'contact.updated'
            then (select jsonb_object_agg(f.key, e.data->'changes'->f.key)
                    from unnest(cast(:fields as text[])) f(key) where e.data->'changes' ? f.key)
       end as changes
  from unnest(cast(:ids as uuid[])) v(id)
 cross join lateral (select kind, occurred_at, id, data from events
                      where account_id = current_account() and subject_id = v.id
                        and kind = any(cast(:kinds as text[]))
                        and occurred_at >= cast(:since as timestamptz)) e
 order by v.id, e.id desc
""").columns(changes=JSONB)

# Step states, locked until the transaction ends, always in the same order.
CREATE_STEP_STATES = text("""
insert into step_states (workflow_id, step_key, state)
select v.workflow_id, v.step_key, cast('{}' as jsonb)
  from unnest(cast(:workflow_id as uuid[]), cast(:step_key as text[])) v(workflow_id, step_key)
 order by 1, 2 on conflict do nothing
""")
LOCK_STEP_STATES = text("""
select s.workflow_id, s.step_key, s.state from step_states s
  join unnest(cast(:workflow_id as uuid[]), cast(:step_key as text[])) v(workflow_id, step_key)
    on v.workflow_id = s.workflow_id and v.step_key = s.step_key
 where s.account_id = current_account() order by s.workflow_id, s.step_key for update of s
""").columns(state=JSONB)
UPDATE_STEP_STATES = text("""
update step_states s set state = cast(v.state as jsonb)
  from unnest(cast(:workflow_id as uuid[]), cast(:step_key as text[]), cast(:state as text[]))
       v(workflow_id, step_key, state)
 where s.account_id = current_account() and s.workflow_id = v.workflow_id and s.step_key = v.step_key
""")

READ_APPROVAL_ANSWERS = text("""
select a.enrollment_id, a.answer from approvals a
  join unnest(cast(:ids as uuid[]), cast(:seqs as int[])) v(id, seq)
    on v.id = a.enrollment_id and v.seq = a.seq
 where a.account_id = current_account() and a.status = 'answered'
""")
INSERT_APPROVALS = text("""
insert into approvals
       (id, enrollment_id, seq, workflow_id, contact_id, step_key, question, options, users, due_at,
        created_at)
select v.id, v.enrollment_id, v.seq, v.workflow_id, v.contact_id, v.step_key, v.question,
       cast(v.options as jsonb), cast(v.users as jsonb), v.due_at, cast(:now as timestamptz)
  from unnest(cast(:id as uuid[]), cast(:enrollment_id as uuid[]), cast(:seq as int[]),
              cast(:workflow_id as uuid[]), cast(:contact_id as uuid[]), cast(:step_key as text[]),
              cast(:question as text[]), cast(:options as text[]), cast(:users as text[]),
              cast(:due_at as timestamptz[]))
       v(id, enrollment_id, seq, workflow_id, contact_id, step_key, question, options, users, due_at)
""")
CLOSE_APPROVALS = text("""
update approvals a set status = v.status
  from unnest(cast(:enrollment_id as uuid[]), cast(:seq as int[]), cast(:status as text[]))
       v(enrollment_id, seq, status)
 where a.account_id = current_account() and a.enrollment_id = v.enrollment_id and a.seq = v.seq
   and a.status = 'open'
""")
INSERT_NOTES = text("""
insert into notes (id, contact_id, body, author_kind, author_id, author_name, created_at)
select v.id, v.contact_id, v.body, 'step', v.author_id, v.author_name, cast(:now as timestamptz)
  from unnest(cast(:id as uuid[]), cast(:contact_id as uuid[]), cast(:body as text[]),
              cast(:author_id as text[]), cast(:author_name as text[]))
       v(id, contact_id, body, author_id, author_name)
""")
INSERT_TASKS = text("""
insert into tasks
       (id, contact_id, title, body, assignee_id, due_at, author_kind, author_id, author_name, created_at,
        updated_at)
select v.id, v.contact_id, v.title, v.body, m.user_id, v.due_at, 'step', v.author_id, v.author_name,
       cast(:now as timestamptz), cast(:now as timestamptz)
  from unnest(cast(:id as uuid[]), cast(:contact_id as uuid[]), cast(:title as text[]),
              cast(:body as text[]), cast(:assignee_id as uuid[]), cast(:due_at as timestamptz[]),
              cast(:author_id as text[]), cast(:author_name as text[]))
       v(id, contact_id, title, body, assignee_id, due_at, author_id, author_name)
  left join memberships m on m.account_id = current_account() and m.user_id = v.assignee_id
""")
INSERT_NOTIFICATIONS = text("""
insert into notifications (id, user_id, title, body, href, contact_id, created_at)
select v.id, m.user_id, v.title, v.body, v.href, v.contact_id, cast(:now as timestamptz)
  from unnest(cast(:id as uuid[]), cast(:user_id as uuid[]), cast(:title as text[]), cast(:body as text[]),
              cast(:href as text[]), cast(:contact_id as uuid[]))
       v(id, user_id, title, body, href, contact_id)
  join memberships m on m.account_id = current_account() and m.user_id = v.user_id
""")
DELETE_CONTACTS = text("""
update contacts set deleted_at = cast(:now as timestamptz), updated_at = cast(:now as timestamptz),
       rev = rev + 1
 where account_id = current_account() and id = any(cast(:ids as uuid[])) and deleted_at is null
""")
UPDATE_ENROLLMENT_DATA = text("""
update enrollments e set data = cast(v.data as jsonb)
  from unnest(cast(:id as uuid[]), cast(:data as text[])) v(id, data)
 where e.account_id = current_account() and e.id = v.id
""")

# The enrollments that a step asked to end: those that existed before it asked. The event of a date has an id
# of its day, which east of Greenwich may be in the future: then the enrollment's own id decides.
FIND_ENROLLMENTS_TO_END = text("""
select distinct e.id
  from unnest(cast(:event_id as uuid[]), cast(:contact_id as uuid[]), cast(:workflow_id as uuid[]),
              cast(:not_id as uuid[])) v(event_id, contact_id, workflow_id, not_id)
  join enrollments e on e.account_id = current_account() and e.contact_id = v.contact_id
   and e.status = 'active' and least(e.event_id, e.id) < v.event_id
   and (e.workflow_id = v.workflow_id or v.workflow_id is null and e.workflow_id <> v.not_id)
""")
