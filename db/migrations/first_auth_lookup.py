"""The lookup functions as the first migration creates them. Migration 0013 replaces them by those of
`db.migrations.auth_lookup`."""

from alembic import op

from db.migrations.policies import add_definer_function

READS = ("users", "memberships", "accounts", "sessions", "access_tokens", "password_resets")
# What the declarations below share, by the name that stands for it in them.
PARTS = {
    "{SECURE}": "security definer set search_path = pg_catalog, public",
    "{KNOWN}": (
        "user_id uuid, email text, name text, account_id uuid, account_name text, time_zone text, role text, "
        "session_id uuid, token_id uuid, scopes jsonb, memberships jsonb"
    ),
    "{LIVE}": (
        "s.revoked_at is null and s.expires_at > clock_timestamp() "
        "and s.seen_at > clock_timestamp() - interval '8 hours'"
    ),
    # An id whose first 48 bits are milliseconds (RFC 9562): the audit log is in the order of its ids.
    "{UUID7}": (
        "encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) "
        "placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) "
        "from 1 for 6), 52, 1), 53, 1), 'hex')::uuid"
    ),
    # Where the person belongs, for the account switcher.
    "{MEMBERSHIPS}": """
    (select jsonb_agg(jsonb_build_object('account_id', o.id, 'account_name', o.name, 'role', n.role)
                      order by o.name)
       from memberships n join accounts o on o.id = n.account_id where n.user_id = u.id)""",
}

PERSON_BY_EMAIL = """
person_by_email(wanted text)
returns table (user_id uuid, email text, name text, password_hash text, memberships jsonb)
language sql stable {SECURE} as $$
  select u.id, u.email, u.name, u.password_hash,
    (select jsonb_agg(jsonb_build_object('account_id', o.id, 'account_name', o.name, 'role', n.role)
              order by (select max(s.seen_at) from sessions s where s.user_id = u.id and s.account_id = o.id)
                       desc nulls last, o.name)
       from memberships n join accounts o on o.id = n.account_id where n.user_id = u.id)
  from users u where u.email = wanted and u.disabled_at is null
$$
"""

PRINCIPAL_BY_SESSION = """
principal_by_session(wanted uuid, within uuid) returns table ({KNOWN})
language sql stable {SECURE} as $$
  select u.id, u.email, u.name, a.id, a.name, a.time_zone, m.role, s.id,
    null::uuid, null::jsonb, {MEMBERSHIPS}
  from sessions s
  join users u on u.id = s.user_id and u.disabled_at is null
  join memberships m on m.user_id = u.id and m.account_id = within
  join accounts a on a.id = m.account_id
  where s.id = wanted and {LIVE}
$$
"""

PRINCIPAL_BY_ID_AND_DIGEST = """
principal_by_secret(wanted uuid, digest bytea) returns table ({KNOWN})
language sql volatile {SECURE} as $$
  update sessions s set seen_at = clock_timestamp()
  where s.id = wanted and s.secret_hash = digest and {LIVE};
  select p.* from sessions s, principal_by_session(s.id, s.account_id) p
  where s.id = wanted and s.secret_hash = digest
$$
"""

PRINCIPAL_BY_DIGEST = """
principal_by_access_token(digest bytea) returns table ({KNOWN})
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

PERSON_INVITED = """
person_invited(made uuid, wanted text, called text)
returns table (user_id uuid, name text, has_password boolean)
language sql volatile {SECURE} as $$
  insert into users (id, email, name) values (made, wanted, called) on conflict (email) do nothing;
  select u.id, u.name, u.password_hash is not null from users u where u.email = wanted
$$
"""

RESET_MADE = """
reset_made(made uuid, person uuid, digest bytea, until timestamptz) returns void
language sql volatile {SECURE} as $$
  update password_resets r set used_at = clock_timestamp() where r.user_id = person and r.used_at is null;
  insert into password_resets (id, user_id, token_hash, expires_at) values (made, person, digest, until)
$$
"""

PERSON_BY_RESET = """
person_by_reset(digest bytea) returns table (user_id uuid, email text, name text)
language sql stable {SECURE} as $$
  select u.id, u.email, u.name
  from password_resets r join users u on u.id = r.user_id and u.disabled_at is null
  where r.token_hash = digest and r.used_at is null and r.expires_at > clock_timestamp()
$$
"""

RESET_USED = """
reset_used(digest bytea, hash text) returns uuid
language plpgsql volatile {SECURE} as $$
declare person uuid;
begin
  update password_resets r set used_at = clock_timestamp()
  where r.token_hash = digest and r.used_at is null and r.expires_at > clock_timestamp()
  returning r.user_id into person;
  if person is not null then
    update users u set password_hash = hash, updated_at = clock_timestamp() where u.id = person;
    update sessions s set revoked_at = clock_timestamp() where s.user_id = person and s.revoked_at is null;
    insert into audit_logs (id, account_id, occurred_at, actor_kind, actor_id, actor_name, action,
                            subject_kind, subject_id, changes)
    select {UUID7}, m.account_id, clock_timestamp(), 'person', person::text, u.name, 'password.set',
           'member', person::text, '{"by": [null, "a link by e-mail"]}'::jsonb
    from memberships m join users u on u.id = m.user_id where m.user_id = person;
  end if;
  return person;
end
$$
"""

FUNCTIONS = (
    ("person_by_email(text)", PERSON_BY_EMAIL),
    ("principal_by_session(uuid, uuid)", PRINCIPAL_BY_SESSION),
    ("principal_by_secret(uuid, bytea)", PRINCIPAL_BY_ID_AND_DIGEST),
    ("principal_by_access_token(bytea)", PRINCIPAL_BY_DIGEST),
    ("person_invited(uuid, text, text)", PERSON_INVITED),
    ("reset_made(uuid, uuid, bytea, timestamptz)", RESET_MADE),
    ("person_by_reset(bytea)", PERSON_BY_RESET),
    ("reset_used(bytea, text)", RESET_USED),
)


GRANTS = (
    "insert (id, email, name), update (password_hash, updated_at) on users",
    "update (seen_at, revoked_at) on sessions",
    "update (last_used_at) on access_tokens",
    "insert (id, user_id, token_hash, expires_at), update (used_at) on password_resets",
    "insert on audit_logs",
)


def add_lookup_functions() -> None:
    """Makes or renews all of them, with the rights that they need and no more."""
    for grant in GRANTS:
        op.execute(f"grant {grant} to app_definer")
    for signature, declaration in FUNCTIONS:
        add_definer_function(signature, fill_parts(declaration), READS)


def fill_parts(declaration: str) -> str:
    """A declaration with the shared parts put in."""
    for name, part in PARTS.items():
        declaration = declaration.replace(name, part)
    return declaration
