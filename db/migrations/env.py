"""Alembic runs as app_owner (MIGRATE_DATABASE_URL) over asyncpg, like everything else."""

import asyncio
import os

from alembic import context
from sqlalchemy import pool
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from db.engine import driver_url
from db.models import Base


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, compare_server_default=False)
    with context.begin_transaction():
        # Two starts at once must not migrate twice, and a migration must not queue behind traffic for ever.
        connection.exec_driver_sql("set local lock_timeout = '10s'")
        connection.exec_driver_sql("select pg_advisory_xact_lock(7415001)")
        context.run_migrations()


async def main() -> None:
    url = context.config.get_main_option("sqlalchemy.url") or os.environ.get("MIGRATE_DATABASE_URL", "")
    if not url:
        raise SystemExit("Set MIGRATE_DATABASE_URL to the address of app_owner; see db/bootstrap.sql.")
    engine = create_async_engine(driver_url(url), poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()


asyncio.run(main())
