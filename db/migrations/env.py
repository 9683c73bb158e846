"""Alembic runs as app_owner (MIGRATE_DATABASE_URL) over asyncpg, like everything else."""

import asyncio
import os
import time

from alembic import context
from sqlalchemy import pool
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from db.connection import driver_url
from db.migrations.indexes import LOCK_TIMEOUT
from db.models import Base

TRY_MIGRATION_LOCK = "select pg_try_advisory_lock(7415001)"
RETRY_SECONDS = 0.5


def run(connection: Connection) -> None:
    """Runs each migration in its own transaction; one that builds indexes commits within it."""
    take_migration_lock(connection)
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_server_default=False,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def take_migration_lock(connection: Connection) -> None:
    """Two processes must not migrate at once, and a migration must not wait for traffic forever.

    The lock belongs to the session, and a waiting process polls for it: a blocked statement would hold a
    snapshot, and building an index waits for snapshots."""
    while not connection.exec_driver_sql(TRY_MIGRATION_LOCK).scalar():
        connection.rollback()
        time.sleep(RETRY_SECONDS)
    connection.exec_driver_sql(f"set lock_timeout = '{LOCK_TIMEOUT}'")
    connection.commit()


async def main() -> None:
    url = context.config.get_main_option("sqlalchemy.url") or os.environ.get("MIGRATE_DATABASE_URL", "")
    if not url:
        raise SystemExit("Set MIGRATE_DATABASE_URL to the address of app_owner; see db/bootstrap.sql.")
    engine = create_async_engine(driver_url(url), poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()


asyncio.run(main())
