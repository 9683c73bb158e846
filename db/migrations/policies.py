"""What every tenant table gets besides its columns. Migrations call these; nothing else does.

Each function is idempotent, so a later migration may call it again for a table that it changed.
"""

from collections.abc import Iterable

from alembic import op

CURRENT_ACCOUNT = """
create or replace function {name}() returns uuid language sql stable parallel safe
set search_path = pg_catalog as $$ select nullif(current_setting('app.{setting}', true), '')::uuid $$
"""


def add_current_functions() -> None:
    """The account and the person of this transaction. After a transaction the setting is '' and not
    null, and unset must mean no rows: hence nullif, and no fallback."""
    op.execute(CURRENT_ACCOUNT.format(name="current_account", setting="account_id"))
    op.execute(CURRENT_ACCOUNT.format(name="current_person", setting="user_id"))
    op.execute("grant execute on function current_account(), current_person() to app_user, app_definer")


def add_tenant_policy(table: str, condition: str = "account_id = (select current_account())") -> None:
    """Row-level security, enabled and forced, with one policy that guards reads and writes alike."""
    op.execute(f"alter table {table} enable row level security")
    op.execute(f"alter table {table} force row level security")
    op.execute(f"drop policy if exists tenant on {table}")
    op.execute(f"create policy tenant on {table} using ({condition}) with check ({condition})")


def grant_to_app_user(tables: Iterable[str], rights: str = "select, insert, update, delete") -> None:
    for table in tables:
        op.execute(f"revoke all on {table} from app_user")
        op.execute(f"grant {rights} on {table} to app_user")


def add_definer_function(signature: str, declaration: str, reads: Iterable[str]) -> None:
    """A function of app_definer that may look across accounts: `declaration` is everything after the
    signature. The list of them is checked by a test, so a new one is a decision, not an accident."""
    for table in reads:
        op.execute(f"grant select on {table} to app_definer")
    # As its owner from the start: app_owner is a member of app_definer but does not inherit, so it could
    # neither take PUBLIC's right away after handing the function over nor replace it later.
    op.execute("set local role app_definer")
    op.execute(f"create or replace function {declaration}")
    op.execute(f"revoke all on function {signature} from public")
    op.execute(f"grant execute on function {signature} to app_user")
    op.execute("reset role")


def add_definer_trigger(signature: str, declaration: str, reads: Iterable[str]) -> None:
    """The same for a function of triggers. Who writes to their tables needs no right to it, and who had one
    could run it with a trigger on a temporary table, for rows of any account."""
    add_definer_function(signature, declaration, reads)
    op.execute("set local role app_definer")
    op.execute(f"revoke execute on function {signature} from app_user")
    op.execute(f"grant execute on function {signature} to session_user")  # who makes the triggers
    op.execute("reset role")
