"""The values of indexed custom fields, in columns of contacts that indexes can use: `value_1` to `value_10`.
An account gives its field one of these slots; a trigger keeps the column up to date for every writer."""

from alembic import op

from db.migrations.policies import add_definer_trigger

SLOTS = range(1, 11)
# Numbers and amounts as they are, days since 2000, moments in seconds since 2000; null for anything else.
SORTABLE = r"""
create or replace function sortable(value jsonb, kind text) returns double precision
language plpgsql immutable parallel safe set search_path = pg_catalog as $$
declare
  stored text := value #>> '{}';
begin
  if kind in ('number', 'money') and jsonb_typeof(value) = 'number' then
    return stored::double precision;
  elsif kind = 'date' and stored ~ '^\d{4}-\d\d-\d\d$' then
    return stored::date - date '2000-01-01';
  elsif kind = 'datetime' and stored ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$' then
    return extract(epoch from (replace(stored, 'Z', '')::timestamp - timestamp '2000-01-01'));
  end if;
  return null;
exception when data_exception then
  return null;
end $$
"""
# Of a definer: row-level security would hide the fields from a migration or an import without an account.
_ASSIGNMENTS = "\n".join(f"  new.value_{slot} := slots[{slot}];" for slot in SLOTS)
_FILL = f"""
fill_contact_values() returns trigger language plpgsql security definer
set search_path = pg_catalog, public, pg_temp as $$
declare
  slots double precision[] := array_fill(null::double precision, array[10]);
  field record;
begin
  for field in select f.slot, f.id::text as id, f.type from custom_fields f
                where f.account_id = new.account_id and f.slot is not null loop
    slots[field.slot] := sortable(new.fields -> field.id, field.type);
  end loop;
{_ASSIGNMENTS}
  return new;
end $$
"""  # noqa: S608 -- constants
_TRIGGERS = """
create trigger fill_contact_values_added before insert on contacts for each row
  when (new.fields <> '{}') execute function fill_contact_values();
create trigger fill_contact_values before update of fields on contacts for each row
  when (new.fields is distinct from old.fields) execute function fill_contact_values();
alter table contacts enable always trigger fill_contact_values_added,
  enable always trigger fill_contact_values
"""


def add_value_triggers() -> None:
    """The functions and triggers."""
    op.execute(SORTABLE)
    op.execute("grant execute on function sortable(jsonb, text) to app_user, app_definer")
    add_definer_trigger("fill_contact_values()", _FILL, ("custom_fields",))
    for statement in _TRIGGERS.split(";\n"):
        op.execute(statement)
