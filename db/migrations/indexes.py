"""Indexes of large tables, built while the application runs."""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import op

LOCK_TIMEOUT = "10s"  # of every other migration
INVALID = """
select 1 from pg_index where indexrelid = to_regclass('{name}') and not indisvalid
"""


def build_index(name: str, place: str) -> None:
    """Builds the index `name` on `place` ("table (columns) where …") without keeping writers out. What an
    interrupted build left is dropped first, so a migration that broke off is simply run again.

    It commits what the migration did before."""
    with _outside_transaction():
        if op.get_bind().exec_driver_sql(INVALID.format(name=name)).first():
            op.execute(f"drop index concurrently {name}")
        op.execute(f"create index concurrently if not exists {name} on {place}")


def drop_index(name: str) -> None:
    """Drops the index `name`, where it is still there, without blocking writers. It commits what the
    migration did before."""
    with _outside_transaction():
        op.execute(f"drop index concurrently if exists {name}")


@contextmanager
def _outside_transaction() -> Iterator[None]:
    """Runs outside a transaction without a lock timeout: building waits for open transactions and blocks
    none."""
    with op.get_context().autocommit_block():
        op.execute("set lock_timeout = 0")
        yield
        op.execute(f"set lock_timeout = '{LOCK_TIMEOUT}'")
