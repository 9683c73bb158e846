-- Roles of a Switchyard database. Run once as a superuser, connected to the empty database of Switchyard:
--
--   PGOPTIONS='-c switchyard.owner_password=… -c switchyard.user_password=…' psql -f db/bootstrap.sql switchyard
--
-- app_owner    owns every table and runs the migrations (MIGRATE_DATABASE_URL)
-- app_user     web and worker (DATABASE_URL); owns nothing, bypasses nothing
-- app_definer  cannot sign in; owns the few functions that must look across accounts
--
-- Running it again is harmless and sets the passwords anew; do so after pg_upgrade. Plain SQL, so any client can send it.

do $$
begin
  if not exists (select from pg_roles where rolname = 'app_owner') then create role app_owner; end if;
  if not exists (select from pg_roles where rolname = 'app_user') then create role app_user; end if;
  if not exists (select from pg_roles where rolname = 'app_definer') then create role app_definer; end if;

  execute format(
    'alter role app_owner with login nosuperuser nobypassrls nocreaterole nocreatedb noinherit password %L',
    current_setting('switchyard.owner_password'));
  execute format(
    'alter role app_user with login nosuperuser nobypassrls nocreaterole nocreatedb noinherit password %L',
    current_setting('switchyard.user_password'));
  alter role app_definer with nologin nosuperuser bypassrls nocreaterole nocreatedb;

  -- Migrations hand functions over to app_definer: that takes membership, not its rights.
  grant app_definer to app_owner;

  execute format('alter database %I owner to app_owner', current_database());
  execute format('revoke all on database %I from public', current_database());
  execute format('grant connect, temporary on database %I to app_user', current_database());

  alter schema public owner to app_owner;
  revoke all on schema public from public;
  grant usage on schema public to app_user;
  grant usage, create on schema public to app_definer;
end
$$;

-- Row-level security lets a condition use an index only when its function is marked as leakproof: one that
-- tells nothing about its arguments but its result. LIKE is not marked; all it can tell more is that it met a
-- row that matches as far as a backslash at the end of the pattern, and no pattern of Switchyard ends so.
-- With the mark the search of contacts uses its index; without it (a hosted PostgreSQL whose administrator
-- is no superuser) it finds the same, but reads all contacts of the account.
do $$
begin
  alter function pg_catalog.textlike(text, text) leakproof;
exception when insufficient_privilege then
  raise notice 'Only a superuser can mark LIKE as leakproof: searches will not use their index.';
end
$$;
