"""invitations, which a new member accepts by a link"""

import sqlalchemy as sa
from alembic import op

from db.migrations.auth_lookup import fill_parts
from db.migrations.policies import add_definer_function, add_tenant_policy, grant_to_app_user

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

OPENED = """
invitation_by_token(digest bytea) returns table (email text, name text, role text, account_name text,
  invited_by text, expires_at timestamptz, user_id uuid, has_password boolean)
language sql stable {SECURE} as $$
  select i.email, i.name, i.role, a.name, i.invited_by, i.expires_at, u.id,
         coalesce(u.password_hash is not null, false)
  from invitations i join accounts a on a.id = i.account_id left join users u on u.email = i.email
  where i.token_hash = digest and i.expires_at > clock_timestamp() and u.disabled_at is null
$$
"""

# `person` is who accepts, proven by a session or a password: required where the address has a password.
# Elsewhere `hash` is the password that the holder of the link chose.
ACCEPTED = """
invitation_accepted(digest bytea, person uuid, made uuid, called text, hash text) returns uuid
language plpgsql volatile {SECURE} as $$
declare
  taken invitations%rowtype;
  member users%rowtype;
begin
  select * into taken from invitations i where i.token_hash = digest and i.expires_at > clock_timestamp();
  select * into member from users u where u.email = taken.email;
  if taken.id is null or member.disabled_at is not null
     or (member.password_hash is not null and person is distinct from member.id)
     or (member.password_hash is null and hash is null) then
    return null;
  end if;
  delete from invitations i where i.account_id = taken.account_id and i.id = taken.id
    and i.token_hash = digest;
  if not found then
    return null;
  end if;
  if member.id is null then
    insert into users (id, email, name, password_hash) values (made, taken.email, called, hash);
    select * into member from users u where u.id = made;
  elsif member.password_hash is null then
    update users u set password_hash = hash, updated_at = clock_timestamp() where u.id = member.id;
  end if;
  insert into memberships (account_id, user_id, role) values (taken.account_id, member.id, taken.role)
  on conflict do nothing;
  insert into audit_logs (id, account_id, occurred_at, actor_kind, actor_id, actor_name, action,
                          subject_kind, subject_id, changes)
  values ({UUID7}, taken.account_id, clock_timestamp(), 'person', member.id::text, member.name,
          'member.joined', 'member', member.id::text,
          jsonb_build_object('email', jsonb_build_array(null, taken.email),
                             'role', jsonb_build_array(null, taken.role),
                             'invited_by', jsonb_build_array(null, taken.invited_by)));
  return member.id;
end
$$
"""
FUNCTIONS = (
    ("invitation_by_token(bytea)", OPENED),
    ("invitation_accepted(bytea, uuid, uuid, text, text)", ACCEPTED),
)


def upgrade() -> None:
    op.create_table(
        "invitations",
        sa.Column("account_id", sa.Uuid(), server_default=sa.text("current_account()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("invited_by", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "role in ('owner', 'admin', 'operator', 'viewer')", name=op.f("ck_invitations_role")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_invitations_account_id_accounts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_invitations")),
        sa.UniqueConstraint("account_id", "email", name=op.f("uq_invitations_account_id_email")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_invitations_token_hash")),
    )
    add_tenant_policy("invitations")
    grant_to_app_user(["invitations"])
    op.execute("grant insert (id, email, name, password_hash) on users to app_definer")
    op.execute("grant insert (account_id, user_id, role) on memberships to app_definer")
    op.execute("grant delete on invitations to app_definer")
    for signature, declaration in FUNCTIONS:
        add_definer_function(signature, fill_parts(declaration), ("invitations",))
