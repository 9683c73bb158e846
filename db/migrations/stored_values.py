"""Converts values of contacts that an earlier version stored, account by account and batch by batch.

It never lifts row-level security of contacts: it sets the account, as the program does, so no batch keeps
others out. What a batch computed is written only where the contact is still at the revision that was read. An
interrupted run is simply started again: what is converted already does not change.
"""

from collections.abc import Callable, Iterator, Mapping
from uuid import UUID

import sqlalchemy as sa
from alembic import op
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

BATCH = 5_000
FIRST = UUID(int=0)
UNIQUE = ("email", "external_id")
JSON_COLUMNS = ("fields", "other_emails", "other_phones")

_LIST_ACCOUNTS = """
do $$ begin
  alter table accounts no force row level security;
  perform set_config('switchyard.accounts',
    (select coalesce(string_agg(id || ' ' || default_region, ',' order by id), '') from accounts), false);
  alter table accounts force row level security;
end $$
"""
_SET_ACCOUNT = sa.text("select set_config('app.account_id', :account, false)")


def each_account(connection: Connection) -> Iterator[tuple[UUID, str]]:
    """Every account and its region, which is the current account of the session meanwhile. Only outside of a
    transaction."""
    connection.exec_driver_sql(_LIST_ACCOUNTS)
    listed = connection.exec_driver_sql("select current_setting('switchyard.accounts')").scalar_one()
    for account, _, region in (line.partition(" ") for line in listed.split(",") if line):
        connection.execute(_SET_ACCOUNT, {"account": account})
        yield UUID(account), region
    connection.execute(_SET_ACCOUNT, {"account": ""})


def in_batches(connection: Connection, statement: str) -> None:
    """Runs a statement for the contacts of the account, `BATCH` at a time: it has the parameters `after` and
    `batch`, and returns the id of its last contact."""
    after: UUID | None = FIRST
    while after is not None:
        after = connection.execute(sa.text(statement), {"after": after, "batch": BATCH}).scalar()


def convert_contacts(
    connection: Connection,
    columns: tuple[str, ...],
    convert: Callable[[Mapping[str, object]], dict[str, object]],
) -> int:
    """Stores what `convert` gives for each contact of the account (only columns that change); returns how
    many were changed. What would be unique and is not stays as it is."""
    changed, after = 0, FIRST
    read = sa.text(
        f"select id, rev, {', '.join(columns)} from contacts"  # noqa: S608 -- constants only
        " where account_id = current_account() and id > :after order by id limit :batch"
    ).columns(**{name: sa.JSON() for name in columns if name in JSON_COLUMNS})
    while rows := connection.execute(read, {"after": after, "batch": BATCH}).all():
        for row in rows:
            new = convert(dict(zip(columns, row[2:], strict=True)))
            if new:
                changed += _store(connection, row[0], row[1], new)
        after = rows[-1][0]
    return changed


def _store(connection: Connection, contact_id: UUID, rev: int, new: dict[str, object]) -> int:
    assignments = ", ".join(
        f"{name} = cast(:{name} as jsonb)" if name in JSON_COLUMNS else f"{name} = :{name}" for name in new
    )
    update = sa.text(
        f"update contacts set {assignments}"  # noqa: S608 -- names of columns
        " where account_id = current_account() and id = :id and rev = :rev"
    )
    try:
        return connection.execute(update, {**new, "id": contact_id, "rev": rev}).rowcount
    except IntegrityError:
        rest = {name: value for name, value in new.items() if name not in UNIQUE}
        return _store(connection, contact_id, rev, rest) if rest and len(rest) < len(new) else 0


def run_outside_transaction(convert: Callable[[Connection], None]) -> None:
    """Runs a conversion whose statements commit one by one. Commits what the migration did before."""
    with op.get_context().autocommit_block():
        convert(op.get_bind())
