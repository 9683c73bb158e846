"""a function that lists the accounts with expired events and deliveries"""

from db.migrations.policies import add_definer_function

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Ids begin with their time of making, so the index of the key finds what is old.
AGED_ACCOUNTS = """
aged_accounts(moment timestamptz, floor uuid) returns table (account_id uuid)
language sql stable security definer set search_path = pg_catalog, public as $$
  select a.id from accounts a
   where exists (select from events v where v.account_id = a.id and v.id < floor
                    and v.matched_at is not null and v.occurred_at < moment)
      or exists (select from hook_deliveries d where d.account_id = a.id and d.received_at < moment)
$$
"""


def upgrade() -> None:
    add_definer_function(
        "aged_accounts(timestamptz, uuid)", AGED_ACCOUNTS, ("accounts", "events", "hook_deliveries")
    )
