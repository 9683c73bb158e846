"""Triggers that append the deltas of counters; `db/queries/counters.py` says which statements append their
own.

A trigger counts all rows of its statement at once, from transition tables, and appends one row per count.
Each statement of a function has a snapshot of its own, and sees what the statement before it waited for.

When contacts are deleted or restored, their tags count differently. So a transaction that adds or removes a
tag must not pass one that deletes or restores the contact: the one holds a key share lock of the contact (a
new tag has it by its foreign key), the other takes its row for update, and counts its tags after that.

An account that is deleted takes its counters along: nothing may be added to them then."""

from alembic import op

from db.migrations.policies import add_definer_trigger

_FUNCTION = """
create or replace function {name}() returns trigger language plpgsql
set search_path = pg_catalog, public, pg_temp as $$
begin
{body}
end $$
"""
_CONTACTS_ADDED = """
  insert into counter_deltas (account_id, family, subject_id, state, n)
  select account_id, 'contacts', '00000000-0000-0000-0000-000000000000',
         case when deleted_at is null then 'live' else 'deleted' end, count(*)
    from added group by 1, 4;
  return null;
"""
_CONTACTS_CHANGED = """
  if not exists (select from before where deleted_at is not null)
     and not exists (select from after where deleted_at is not null) then
    return null;
  end if;
  perform from contacts c
     join before b on b.account_id = c.account_id and b.id = c.id
     join after a on a.account_id = c.account_id and a.id = c.id
    where (a.deleted_at is null) <> (b.deleted_at is null)
    order by c.id for update of c;
  with changed as (
    select a.account_id, a.id, case when a.deleted_at is null then 1 else -1 end as live
      from before b join after a on a.account_id = b.account_id and a.id = b.id
     where (a.deleted_at is null) <> (b.deleted_at is null)),
  counts as (
    select account_id, 'contacts' as family, uuid '00000000-0000-0000-0000-000000000000' as subject_id, state,
           sum(live * sign) as n
      from changed cross join (values ('live', 1), ('deleted', -1)) v(state, sign) group by 1, 4
    union all
    select c.account_id, 'tags', t.tag_id, '', sum(c.live)
      from changed c join contact_tags t on t.account_id = c.account_id and t.contact_id = c.id group by 1, 3)
  insert into counter_deltas (account_id, family, subject_id, state, n)
  select account_id, family, subject_id, state, n from counts where n <> 0;
  return null;
"""
_CONTACTS_ERASED = """
  insert into counter_deltas (account_id, family, subject_id, state, n)
  select account_id, 'contacts', '00000000-0000-0000-0000-000000000000',
         case when deleted_at is null then 'live' else 'deleted' end, -count(*)
    from erased e where exists (select from accounts a where a.id = e.account_id)
   group by 1, 4;
  return null;
"""
# Before the row is deleted: its tags are deleted with it. Only by hand is a contact erased that was live.
_LIVE_CONTACT_ERASED = """
  insert into counter_deltas (account_id, family, subject_id, n)
  select account_id, 'tags', tag_id, -1 from contact_tags t
   where t.account_id = old.account_id and t.contact_id = old.id
     and exists (select from accounts a where a.id = old.account_id);
  return old;
"""
_TAGS_ADDED = """
  insert into counter_deltas (account_id, family, subject_id, n)
  select t.account_id, 'tags', t.tag_id, count(*)
    from added t join contacts c on c.account_id = t.account_id and c.id = t.contact_id
   where c.deleted_at is null group by 1, 3;
  return null;
"""
# Nothing is counted for a tag that is deleted itself. Deleted contacts are locked too: they may be restored.
_TAGS_REMOVED = """
  perform from removed t join contacts c on c.account_id = t.account_id and c.id = t.contact_id
    where exists (select from tags g where g.account_id = t.account_id and g.id = t.tag_id)
    order by c.id for key share of c;
  insert into counter_deltas (account_id, family, subject_id, n)
  select t.account_id, 'tags', t.tag_id, -count(*)
    from removed t join contacts c on c.account_id = t.account_id and c.id = t.contact_id
   where c.deleted_at is null
     and exists (select from tags g where g.account_id = t.account_id and g.id = t.tag_id)
   group by 1, 3;
  return null;
"""
_MEMBERS_ADDED = """
  insert into counter_deltas (account_id, family, subject_id, n)
  select account_id, 'segments', segment_id, count(*) from added group by 1, 3;
  return null;
"""
_MEMBERS_REMOVED = """
  insert into counter_deltas (account_id, family, subject_id, n)
  select account_id, 'segments', segment_id, -count(*)
    from removed r where exists (select from accounts a where a.id = r.account_id)
   group by 1, 3;
  return null;
"""
# Before the row is deleted: its visits are deleted with it.
_ENROLLMENT_ERASED = """
  if not exists (select from accounts a where a.id = old.account_id) then
    return old;
  end if;
  insert into counter_deltas (account_id, family, subject_id, version, step_key, state, n)
  values (old.account_id, 'enrollments', old.workflow_id, old.version, coalesce(old.step_key, ''), old.status,
          -1);
  insert into counter_deltas (account_id, family, subject_id, step_key, state, lane, n)
  select old.account_id, 'visits', old.workflow_id, x.step_key, x.outcome,
         coalesce(x.detail ->> 'branch', ''), -count(*)
    from enrollment_executions x
   where x.account_id = old.account_id and x.enrollment_id = old.id and x.finished_at is not null
     and (x.outcome <> 'passed' or x.detail -> 'again' is null)
   group by x.step_key, x.outcome, 6;
  return old;
"""
# A new account has nothing to count.
_ACCOUNT_ADDED = """
  insert into counter_states (account_id, family, counted_at)
  select new.id, family, clock_timestamp()
    from unnest(array['contacts', 'tags', 'segments', 'enrollments', 'visits']) v(family);
  return null;
"""
# The function, its body, and the trigger that calls it.
_TRIGGERS = (
    ("count_account_added", _ACCOUNT_ADDED, "after insert on accounts for each row"),
    ("count_contacts_added", _CONTACTS_ADDED,
     "after insert on contacts referencing new table as added for each statement"),
    ("count_contacts_changed", _CONTACTS_CHANGED,
     "after update on contacts referencing old table as before new table as after for each statement"),
    ("count_contacts_erased", _CONTACTS_ERASED,
     "after delete on contacts referencing old table as erased for each statement"),
    ("count_live_contact_erased", _LIVE_CONTACT_ERASED,
     "before delete on contacts for each row when (old.deleted_at is null)"),
    ("count_tags_added", _TAGS_ADDED,
     "after insert on contact_tags referencing new table as added for each statement"),
    ("count_tags_removed", _TAGS_REMOVED,
     "after delete on contact_tags referencing old table as removed for each statement"),
    ("count_members_added", _MEMBERS_ADDED,
     "after insert on segment_members referencing new table as added for each statement"),
    ("count_members_removed", _MEMBERS_REMOVED,
     "after delete on segment_members referencing old table as removed for each statement"),
    ("count_enrollment_erased", _ENROLLMENT_ERASED, "before delete on enrollments for each row"),
)  # fmt: skip

# Enrollments and visits are counted by the statements that write them, in sessions that say so. What any
# other session writes makes the family unknown in its account. A superuser may have none: then it is that of
# all rows that are as new as the transaction, which are those that it wrote (more would do no harm).
_UNKNOWN = """
count_unknown() returns trigger language plpgsql security definer
set search_path = pg_catalog, public, pg_temp as $$
begin
  insert into counter_deltas (account_id, family, subject_id, n)
  select account_id, tg_argv[0], '00000000-0000-0000-0000-000000000000', null
    from (select current_account() as account_id
          union
          select e.account_id from enrollments e
           where current_account() is null and tg_argv[0] = 'enrollments'
             and age(e.xmin) <= age(pg_current_xact_id()::xid)
          union
          select x.account_id from enrollment_executions x
           where current_account() is null and tg_argv[0] = 'visits'
             and age(x.xmin) <= age(pg_current_xact_id()::xid)) written
   where account_id is not null;
  return null;
end $$
"""
_UNCOUNTED_WRITE = """
create trigger count_unknown after insert or update on {table} for each statement
  when (current_setting('app.counts', true) is distinct from 'on') execute function count_unknown('{family}')
"""

# What creating the triggers locks, at once and in the order in which the engine and the screens write: in
# another order a batch and the migration could wait for each other.
_LOCK_TABLES = """
lock table accounts, contacts, contact_tags, enrollment_executions, enrollments, segment_members
  in share row exclusive mode
"""


def add_counter_triggers() -> None:
    """All functions and triggers of the counters."""
    op.execute(_LOCK_TABLES)
    for name, body, event in _TRIGGERS:
        op.execute(_FUNCTION.format(name=name, body=body))
        op.execute(f"create trigger {name} {event} execute function {name}()")
    op.execute("grant insert on counter_deltas to app_definer")
    add_definer_trigger("count_unknown()", _UNKNOWN, ("enrollments", "enrollment_executions"))
    for table, family in (("enrollments", "enrollments"), ("enrollment_executions", "visits")):
        op.execute(_UNCOUNTED_WRITE.format(table=table, family=family))
