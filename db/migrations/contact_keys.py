"""The columns by which lists of contacts sort and searches find: what fills them, and filling them for rows
that are older. `app/filters/search_text.py` has the Python side.

A trigger fills them, so that every writer gets them, and older releases during an upgrade. Generated columns
would rewrite the table and block reads meanwhile; these are filled in batches that lock only their rows."""

from collections.abc import Sequence
from uuid import UUID

from alembic import op

from app.filters.phone_conditions import SIGNS
from app.filters.search_text import SMALL_LETTERS, SPELLED_OUT

BATCH = 2_000  # rows that one transaction rewrites
NO_ID = UUID(int=0)

_SPELLED_OUT = (  # replace(replace(…, 'æ', 'ae'), 'œ', 'oe') …
    "replace(" * len(SPELLED_OUT) + "{bare}" + "".join(f", '{x}', '{y}')" for x, y in SPELLED_OUT.items())
)
_BARE = "translate(regexp_replace(normalize(value, NFKD), '[\\u0300-\\u036f]', '', 'g'), '{from_}', '{to}')"
# Text of ASCII, which most of it is, needs no more than lower case.
FOLDED = """
create or replace function folded(value text) returns text language sql immutable parallel safe as $$
  select case when octet_length(value) = char_length(value) then lower(value collate "C") else {folding} end
$$
""".format(
    folding=_SPELLED_OUT.format(
        bare=_BARE.format(
            from_="".join(map(chr, SMALL_LETTERS)), to="".join(map(chr, SMALL_LETTERS.values()))
        )
    )
)
# `search` begins each word after a space, so that '% an%' finds where one begins; the line break at its end
# tells it from what an earlier release left there.
FILL = f"""
create or replace function fill_contact_keys() returns trigger language plpgsql as $$
begin
  new.name_key := public.folded(nullif(concat_ws(' ', new.last_name, new.first_name), ''));
  new.email_key := public.folded(new.email);
  new.phone_key := public.folded(translate(new.phone, '{SIGNS}', ''));
  new.company_key := public.folded(new.company);
  new.city_key := public.folded(new.city);
  new.state_key := public.folded(new.state);
  new.search := concat_ws(' ', '', public.folded(concat_ws(' ', new.first_name, new.last_name)),
    new.email_key, new.company_key, new.phone_key, public.folded(translate(new.phone2, '{SIGNS}', '')),
    new.city_key, public.folded(concat_ws(' ', new.website, new.external_id))) || E'\\n';
  return new;
end $$
"""
# Also for rows that are replicated or seeded with `session_replication_role = replica`.
TRIGGER = """
create trigger fill_contact_keys before insert or update of first_name, last_name, email, phone, phone2,
  company, city, state, website, external_id, search on contacts
  for each row execute function fill_contact_keys()
"""
KEYS = ("name_key", "email_key", "phone_key", "company_key", "city_key", "state_key")

# One batch in the order of ids. Rows that are filled are passed over, so a migration that broke off is
# simply run again.
_FILL_BATCH = """
with batch as (
  select id, right(search, 1) is distinct from E'\\n' as old from contacts
   where account_id = current_account() and id > $1 order by id limit $2),
filled as (
  update contacts c set search = '' from batch b
   where c.account_id = current_account() and c.id = b.id and b.old)
select id from batch order by id desc limit 1
"""


def list_accounts() -> Sequence[UUID]:
    """Every account: row-level security of the owner is lifted until the transaction ends."""
    op.execute("alter table accounts no force row level security")
    accounts = op.get_bind().exec_driver_sql("select id from accounts order by id").scalars().all()
    op.execute("alter table accounts force row level security")
    return accounts


def fill_keys(accounts: Sequence[UUID]) -> None:
    """Fills the columns of contacts that were written before the trigger. Commits what the migration did
    before; each batch is a transaction of one account, so that row-level security stays as it is."""
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        for account in accounts:
            op.execute(f"select set_config('app.account_id', '{account}', false)")
            after: UUID | None = NO_ID
            while after is not None:
                after = connection.exec_driver_sql(_FILL_BATCH, (after, BATCH)).scalar()
        op.execute("select set_config('app.account_id', '', false)")
