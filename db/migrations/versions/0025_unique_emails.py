"""the emails of live contacts, so that each belongs to one, and a second phone that is one of the others

Triggers keep both for every writer: a process of the release before only knows `email` and `phone2`.
Migration 0026 fills them for the contacts that exist.
"""

import sqlalchemy as sa
from alembic import op

from db.migrations.policies import add_tenant_policy, grant_to_app_user

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

FUNCTION = """
create or replace function {name}() returns trigger language plpgsql
set search_path = pg_catalog, public, pg_temp as $$
begin
{body}
end $$
"""
EMAILS_OF = """
create or replace function emails_of(email text, other_emails jsonb) returns setof text
language sql immutable parallel safe as $$
  select email where email is not null
  union all
  select o ->> 'value' from jsonb_array_elements(other_emails) o
$$
"""
# The unique key refuses an email that another live contact has, and waits for one that is being written.
ADDED = """
  insert into contact_emails (account_id, email, contact_id)
  select account_id, email, id from added where email is not null and deleted_at is null
  union all
  select a.account_id, o ->> 'value', a.id
    from added a cross join lateral jsonb_array_elements(a.other_emails) o
   where a.other_emails <> '[]' and a.deleted_at is null;
  return null;
"""
CHANGED = """
  if old.deleted_at is null then
    delete from contact_emails
     where account_id = old.account_id and contact_id = old.id
       and email in (select emails_of(old.email, old.other_emails));
  end if;
  if new.deleted_at is null then
    insert into contact_emails (account_id, email, contact_id)
    select new.account_id, e, new.id from emails_of(new.email, new.other_emails) e;
  end if;
  return null;
"""
ERASED = """
  delete from contact_emails
   where account_id = old.account_id and contact_id = old.id
     and email in (select emails_of(old.email, old.other_emails));
  return null;
"""
# Who writes only the second phone changes the first of the other phones; else that one is the second phone.
SECOND_PHONE = """
  if new.other_phones is distinct from (case when tg_op = 'UPDATE' then old.other_phones else '[]' end) then
    new.phone2 := new.other_phones -> 0 ->> 'value';
  elsif new.phone2 is null then
    new.other_phones := new.other_phones - 0;
    new.phone2 := new.other_phones -> 0 ->> 'value';
  else
    new.other_phones :=
      jsonb_build_array(jsonb_build_object(
        'value', new.phone2, 'label', coalesce(new.other_phones -> 0 ->> 'label', '')))
      || (new.other_phones - 0);
  end if;
  return new;
"""
EMAILS_DIFFER = """
old.email is distinct from new.email or old.other_emails <> new.other_emails
or (old.deleted_at is null) <> (new.deleted_at is null)
"""
SECOND_DIFFERS = "new.phone2 is distinct from (new.other_phones -> 0 ->> 'value')"
TRIGGERS = (
    ("claim_emails_added", ADDED,
     "after insert on contacts referencing new table as added for each statement"),
    ("claim_emails_changed", CHANGED,
     f"after update on contacts for each row when ({EMAILS_DIFFER})"),
    ("release_emails", ERASED,
     "after delete on contacts for each row when (old.deleted_at is null)"),
    ("keep_second_phone", SECOND_PHONE,
     f"before insert or update on contacts for each row when ({SECOND_DIFFERS})"),
)  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "contact_emails",
        sa.Column("account_id", sa.Uuid(), server_default=sa.text("current_account()"), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_contact_emails_account_id_accounts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "email", name=op.f("pk_contact_emails")),
    )
    add_tenant_policy("contact_emails")
    grant_to_app_user(("contact_emails",))
    op.execute(EMAILS_OF)
    op.execute("grant execute on function emails_of(text, jsonb) to app_user")
    for name, body, event in TRIGGERS:
        op.execute(FUNCTION.format(name=name, body=body))
        op.execute(f"create trigger {name} {event} execute function {name}()")
