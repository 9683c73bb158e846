"""The schema is what the models say, and the program starts only as a role that the walls bind."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from litestar import Litestar
from sqlalchemy import event, text

from app.settings import Settings
from db.connection import open_engine, refuse_strong_role
from scripts._lib.dev.postgres import Postgres

ROOT = Path(__file__).resolve().parents[3]
DATABASE = "switchyard"


async def test_migrations_are_in_step_with_the_models(postgres: Postgres) -> None:
    url = postgres.url("app_owner", "owner-of-tests", DATABASE)
    program = (
        "from alembic import command; from alembic.config import Config; c = Config(); "
        f"c.set_main_option('script_location', 'db/migrations');"
        f"c.set_main_option('sqlalchemy.url', {url!r}); "
        "command.check(c)"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("role", ["superuser", "app_owner"])
async def test_a_superuser_role_is_refused(postgres: Postgres, app: Litestar, role: str) -> None:
    url = (
        postgres.superuser_url(DATABASE)
        if role == "superuser"
        else postgres.url("app_owner", "owner-of-tests", DATABASE)
    )
    engine = open_engine(url, 0)
    async with engine.connect() as connection:
        with pytest.raises(SystemExit, match="Use app_user"):
            await refuse_strong_role(connection)
    await engine.dispose()


async def test_bypassing_row_security_is_refused(postgres: Postgres, app: Litestar) -> None:
    engine = open_engine(postgres.superuser_url(DATABASE), 0)
    async with engine.connect() as connection:
        await connection.execute(text("create role passer with bypassrls"))
        await connection.execute(text("set local role passer"))
        with pytest.raises(SystemExit, match="BYPASSRLS"):
            await refuse_strong_role(connection)
        await connection.rollback()
    await engine.dispose()


async def test_the_web_server_does_not_start_as_the_owner(postgres: Postgres, settings: Settings) -> None:
    program = (
        "import asyncio; from app.main import create_app\n"
        "async def main():\n    async with create_app().lifespan(): pass\n"
        "asyncio.run(main())"
    )
    env = {
        **os.environ,
        "DATABASE_URL": postgres.url("app_owner", "owner-of-tests", DATABASE),
        "REDIS_URL": settings.redis_url,
        "DATA_DIR": str(settings.data_dir),
    }
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "row-level security does not bind" in done.stderr


async def test_no_use_of_a_pooled_connection_fails_because_the_server_cut_it(settings: Settings) -> None:
    engine = open_engine(settings.database_url, 10)
    everyone = asyncio.Barrier(10)

    async def ask() -> int:
        async with engine.connect() as connection:
            pid: int = (await connection.execute(text("select pg_backend_pid()"))).scalar_one()
            await everyone.wait()
            return pid

    async def cut(pids: list[int]) -> None:
        async with other.connect() as connection:
            await connection.execute(
                text("select pg_terminate_backend(p, 5000) from unnest(cast(:p as int[])) p"), {"p": pids}
            )

    other = open_engine(settings.database_url, 0)
    try:
        first = await asyncio.gather(*(ask() for _ in range(10)))
        await cut(first)
        second = await asyncio.gather(*(ask() for _ in range(10)))
        assert not set(first) & set(second)
        assert sorted(await asyncio.gather(*(ask() for _ in range(10)))) == sorted(second), "they are kept"
    finally:
        await engine.dispose()
        await other.dispose()


async def test_a_pooled_connection_is_not_asked_whether_it_lives(settings: Settings) -> None:
    engine = open_engine(settings.database_url, 1)
    sent: list[str] = []

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def note_statement(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    try:
        async with engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            driver.add_query_logger(lambda query: sent.append(query.query))
        async with engine.connect() as connection:
            await connection.execute(text("select 1"))
        await asyncio.sleep(0.01)  # the driver tells its loggers in tasks of their own
        assert sorted(sent) == ["BEGIN;", "ROLLBACK;", "select 1"]
    finally:
        await engine.dispose()
