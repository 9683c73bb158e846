-- Installed by the judge as a superuser: triggers by which PostgreSQL itself records who writes what.
-- A worker is identified by its application_name, which contains its process id.
create schema chaos;
create table chaos.notes (at timestamptz not null default clock_timestamp(), what text not null, id uuid, said jsonb);
create table chaos.claims (id uuid, fence int, who text not null, at timestamptz not null default clock_timestamp(),
                           begun boolean not null default false, primary key (id, fence));
-- Calls that had begun and whose outcome wasn't written, or was in doubt: each explains one repeat or one hold.
create table chaos.doubts (at timestamptz not null default clock_timestamp(), id uuid not null);
create index on chaos.doubts (id);
-- The rows of each batch whose worker died, once for each crash.
create table chaos.crashes (at timestamptz not null default clock_timestamp(), id uuid not null);

-- How many seconds after the end of a lease another worker took over.
create table chaos.takeovers (at timestamptz not null default clock_timestamp(), id uuid, seconds float not null);

create function chaos.note(what text, id uuid, old jsonb, new jsonb) returns void
language sql as $$
  insert into chaos.notes (what, id, said) values (what, id, jsonb_build_object('old', old, 'new', new,
    'who', current_setting('application_name')))
$$;

create function chaos.see_effect() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
declare
  who text := current_setting('application_name');
  holder text;
  wrong text;
begin
  if new.fence < old.fence then wrong := 'fence_back'; end if;
  if new.status = 'claimed' and new.fence > old.fence then
    insert into chaos.claims (id, fence, who) values (new.id, new.fence, who) on conflict do nothing;
    if not found then wrong := 'claimed_twice'; end if;
    if old.due_at > clock_timestamp() then wrong := 'early'; end if;
    if old.status = 'claimed' and old.lease_until > clock_timestamp() then wrong := 'stale_write'; end if;
    if old.status not in ('pending', 'retry', 'claimed') then wrong := 'stale_write'; end if;
  elsif old.status = 'claimed' and new.fence = old.fence then
    -- An outcome, or the beginning of the call: only the holder of this very claim may write it.
    select c.who into holder from chaos.claims c where c.id = new.id and c.fence = new.fence;
    if holder is distinct from who then wrong := 'stale_write'; end if;
    if old.started_at is null and new.started_at is not null then
      update chaos.claims c set begun = true where c.id = new.id and c.fence = new.fence;
    end if;
  elsif old.status = 'claimed' and new.status = 'unknown' and old.lease_until > clock_timestamp() then
    wrong := 'stale_write';
  elsif old.status in ('sent', 'failed_permanent', 'unknown', 'cancelled')
     and (new.status, new.sent_at) is distinct from (old.status, old.sent_at) then
    wrong := 'stale_write';
  end if;
  if old.status = 'claimed' and new.fence > old.fence and new.status in ('claimed', 'unknown') then
    insert into chaos.takeovers (id, seconds)
    values (new.id, extract(epoch from clock_timestamp() - old.lease_until));
  end if;
  if old.status = 'claimed' and old.started_at is not null
     and (new.fence > old.fence or new.status in ('unknown', 'retry')) then
    insert into chaos.doubts (id) values (new.id);
  end if;
  if wrong is not null then
    perform chaos.note(wrong, new.id, to_jsonb(old) - 'payload', to_jsonb(new) - 'payload');
  end if;
  return null;
end $$;
create trigger chaos_effect after update on public.effects for each row execute function chaos.see_effect();

create function chaos.see_enrollment() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
declare
  wrong text;
begin
  if new.fence < old.fence or new.seq < old.seq then wrong := 'fence_back'; end if;
  if new.version <> old.version then wrong := 'version_changed'; end if;
  if old.status <> 'active' and (new.status, new.seq) is distinct from (old.status, old.seq) then
    wrong := 'stale_write';
  end if;
  if new.seq > old.seq and new.fence <> old.fence + 1 then wrong := 'stale_write'; end if;
  -- The enrollment moved before its wait ended, and no goal was reached instead.
  if old.wait_reason = 'timer' and old.wait_until > clock_timestamp()
     and (new.seq > old.seq or new.status <> 'active') and new.goal_key is not distinct from old.goal_key then
    wrong := 'early';
  end if;
  if wrong is not null then perform chaos.note(wrong, new.id, to_jsonb(old), to_jsonb(new)); end if;
  return null;
end $$;
create trigger chaos_enrollment after update on public.enrollments for each row execute function chaos.see_enrollment();

create function chaos.see_batch() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
begin
  if new.crashes > 0 and (tg_op = 'INSERT' or new.crashes > old.crashes) then
    insert into chaos.crashes (id) select unnest(new.ids);
  end if;
  return null;
end $$;
create trigger chaos_batch after insert or update on public.inflight_batches for each row execute function chaos.see_batch();
