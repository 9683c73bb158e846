"""The schema is what the models say, and the program starts only as a role that the walls bind."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from litestar import Litestar
from sqlalchemy import text

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
