"""The functions that look users up before an account is known, owned by app_definer. `add_lookup_functions`
makes them.

They are the only way across accounts for signing in: each takes an exact key (an email address, an id, a
digest) and returns one user, never a list. `db/auth_lookup.py` calls them.
"""

from db.migrations.policies import add_definer_function

READS = ("users", "memberships", "accounts", "sessions", "access_tokens", "password_resets", "invitations")
# What the declarations below share, by the name that stands for it in them.
PARTS = {
    "{SECURE}": "security definer set search_path = pg_catalog, public, pg_temp",
    "{PRINCIPAL}": (
        "user_id uuid, email text, name text, account_id uuid, account_name text, time_zone text, role text, "
        "session_id uuid, token_id uuid, scopes jsonb, memberships jsonb"
    ),
    "{LIVE}": (
        "s.revoked_at is null and s.expires_at > clock_timestamp() "
        "and s.last_seen_at > clock_timestamp() - interval '8 hours'"
    ),
    # An id whose first 48 bits are milliseconds (RFC 9562): the audit log is in the order of its ids.
    "{UUID7}": (
        "encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) "
        "placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) "
        "from 1 for 6), 52, 1), 53, 1), 'hex')::uuid"
    ),
    # The accounts of the user, for the account switcher.
    "{MEMBERSHIPS}": """
    (select jsonb_agg(jsonb_build_object('account_id', o.id, 'account_name', o.name, 'role', n.role)
                      order by o.name)
       from memberships n join accounts o on o.id = n.account_id where n.user_id = u.id)""",
}

USER_BY_EMAIL = """
user_by_email(address text)
returns table (user_id uuid, email text, name text, password_hash text, memberships jsonb)
language sql stable {SECURE} as $$
  select u.id, u.email, u.name, u.password_hash,
    (select jsonb_agg(jsonb_build_object('account_id', o.id, 'account_name', o.name, 'role', n.role)
              order by (select max(s.last_seen_at) from sessions s
                         where s.user_id = u.id and s.account_id = o.id) desc nulls last, o.name)
       from memberships n join accounts o on o.id = n.account_id where n.user_id = u.id)
  from users u where u.email = address and u.disabled_at is null
$$
"""

PRINCIPAL_BY_SESSION = """
principal_by_session(session uuid, account uuid) returns table ({PRINCIPAL})
language sql stable {SECURE} as $$
  select u.id, u.email, u.name, a.id, a.name, a.time_zone, m.role, s.id,
    null::uuid, null::jsonb, {MEMBERSHIPS}
  from sessions s
  join users u on u.id = s.user_id and u.disabled_at is null
  join memberships m on m.user_id = u.id and m.account_id = account
  join accounts a on a.id = m.account_id
  where s.id = session and {LIVE}
$$
"""

PRINCIPAL_BY_ID_AND_DIGEST = """
principal_by_secret(session uuid, digest bytea) returns table ({PRINCIPAL})
language sql volatile {SECURE} as $$
  update sessions s set last_seen_at = clock_timestamp()
  where s.id = session and s.secret_hash = digest and {LIVE};
  select p.* from sessions s, principal_by_session(s.id, s.account_id) p
  where s.id = session and s.secret_hash = digest
$$
"""

PRINCIPAL_BY_DIGEST = """
principal_by_access_token(digest bytea) returns table ({PRINCIPAL})
language sql volatile {SECURE} as $$
  update access_tokens t set last_used_at = clock_timestamp()
  where t.token_hash = digest and t.revoked_at is null
    and (t.last_used_at is null or t.last_used_at < clock_timestamp() - interval '1 minute');
  select u.id, u.email, u.name, a.id, a.name, a.time_zone, m.role, null::uuid, t.id, t.scopes, {MEMBERSHIPS}
  from access_tokens t
  join users u on u.id = t.user_id and u.disabled_at is null
  join memberships m on m.user_id = u.id and m.account_id = t.account_id
  join accounts a on a.id = m.account_id
  where t.token_hash = digest and t.revoked_at is null and t.expires_at > clock_timestamp()
$$
"""

# Earlier links of the user stop working.
CREATE_RESET = """
create_password_reset(new_id uuid, reset_user uuid, digest bytea, until timestamptz) returns void
language sql volatile {SECURE} as $$
  update password_resets r set used_at = clock_timestamp()
  where r.user_id = reset_user and r.used_at is null;
  insert into password_resets (id, user_id, token_hash, expires_at)
  values (new_id, reset_user, digest, until)
$$
"""

USER_BY_RESET = """
user_by_password_reset(digest bytea) returns table (user_id uuid, email text, name text)
language sql stable {SECURE} as $$
  select u.id, u.email, u.name
  from password_resets r join users u on u.id = r.user_id and u.disabled_at is null
  where r.token_hash = digest and r.used_at is null and r.expires_at > clock_timestamp()
$$
"""

USE_RESET = """
use_password_reset(digest bytea, hash text) returns uuid
language plpgsql volatile {SECURE} as $$
declare reset_user uuid;
begin
  update password_resets r set used_at = clock_timestamp()
  where r.token_hash = digest and r.used_at is null and r.expires_at > clock_timestamp()
  returning r.user_id into reset_user;
  if reset_user is not null then
    update users u set password_hash = hash, updated_at = clock_timestamp() where u.id = reset_user;
    update sessions s set revoked_at = clock_timestamp()
    where s.user_id = reset_user and s.revoked_at is null;
    insert into audit_logs (id, account_id, occurred_at, actor_kind, actor_id, actor_name, action,
                            subject_kind, subject_id, changes)
    select {UUID7}, m.account_id, clock_timestamp(), 'member', reset_user::text, u.name,
           'member.password_set', 'member', reset_user::text, '{"by": [null, "a link by email"]}'::jsonb
    from memberships m join users u on u.id = m.user_id where m.user_id = reset_user;
  end if;
  return reset_user;
end
$$
"""

OPEN_INVITATION = """
invitation_by_token(digest bytea) returns table (email text, name text, role text, account_name text,
  invited_by text, expires_at timestamptz, user_id uuid, has_password boolean)
language sql stable {SECURE} as $$
  select i.email, i.name, i.role, a.name, i.invited_by, i.expires_at, u.id,
         coalesce(u.password_hash is not null, false)
  from invitations i join accounts a on a.id = i.account_id left join users u on u.email = i.email
  where i.token_hash = digest and i.expires_at > clock_timestamp() and u.disabled_at is null
$$
"""

# `accepting` is the user who accepts, proven by a session or a password: required where the address has a
# password. Elsewhere `hash` is the password that the holder of the link chose.
ACCEPT_INVITATION = """
accept_invitation(digest bytea, accepting uuid, new_id uuid, new_name text, hash text) returns uuid
language plpgsql volatile {SECURE} as $$
declare
  invitation invitations%rowtype;
  member users%rowtype;
begin
  select * into invitation from invitations i
  where i.token_hash = digest and i.expires_at > clock_timestamp();
  select * into member from users u where u.email = invitation.email;
  if invitation.id is null or member.disabled_at is not null
     or (member.password_hash is not null and accepting is distinct from member.id)
     or (member.password_hash is null and hash is null) then
    return null;
  end if;
  delete from invitations i where i.account_id = invitation.account_id and i.id = invitation.id
    and i.token_hash = digest;
  if not found then
    return null;
  end if;
  if member.id is null then
    insert into users (id, email, name, password_hash) values (new_id, invitation.email, new_name, hash);
    select * into member from users u where u.id = new_id;
  elsif member.password_hash is null then
    update users u set password_hash = hash, updated_at = clock_timestamp() where u.id = member.id;
  end if;
  insert into memberships (account_id, user_id, role)
  values (invitation.account_id, member.id, invitation.role) on conflict do nothing;
  insert into audit_logs (id, account_id, occurred_at, actor_kind, actor_id, actor_name, action,
                          subject_kind, subject_id, changes)
  values ({UUID7}, invitation.account_id, clock_timestamp(), 'member', member.id::text, member.name,
          'member.joined', 'member', member.id::text,
          jsonb_build_object('email', jsonb_build_array(null, invitation.email),
                             'role', jsonb_build_array(null, invitation.role),
                             'invited_by', jsonb_build_array(null, invitation.invited_by)));
  return member.id;
end
$$
"""

FUNCTIONS = (
    ("user_by_email(text)", USER_BY_EMAIL),
    ("principal_by_session(uuid, uuid)", PRINCIPAL_BY_SESSION),
    ("principal_by_secret(uuid, bytea)", PRINCIPAL_BY_ID_AND_DIGEST),
    ("principal_by_access_token(bytea)", PRINCIPAL_BY_DIGEST),
    ("create_password_reset(uuid, uuid, bytea, timestamptz)", CREATE_RESET),
    ("user_by_password_reset(bytea)", USER_BY_RESET),
    ("use_password_reset(bytea, text)", USE_RESET),
    ("invitation_by_token(bytea)", OPEN_INVITATION),
    ("accept_invitation(bytea, uuid, uuid, text, text)", ACCEPT_INVITATION),
)


def add_lookup_functions() -> None:
    """Makes or renews all of them. The rights that they need were granted by earlier migrations."""
    for signature, declaration in FUNCTIONS:
        add_definer_function(signature, fill_parts(declaration), READS)


def fill_parts(declaration: str) -> str:
    """A declaration with the shared parts put in."""
    for name, part in PARTS.items():
        declaration = declaration.replace(name, part)
    return declaration
