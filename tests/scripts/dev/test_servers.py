"""Throw-away servers really start, take passwords only, and are gone afterwards."""

import asyncpg
import psutil
import pytest
from redis import AuthenticationError, Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from scripts._lib.dev.postgres import Postgres
from scripts._lib.dev.valkey import Valkey

PASSWORDS = {"app_owner": "owner", "app_user": "user"}


async def test_postgres_with_the_roles_of_bootstrap() -> None:
    with Postgres.temporary() as server:
        assert server.process is not None
        pid = server.process.pid
        for _ in range(2):  # running it again is harmless
            server.bootstrap("switchyard", PASSWORDS)
        connection = await asyncpg.connect(server.url("app_user", "user", "switchyard"))
        row = await connection.fetchrow(
            "select version() as version, rolsuper, rolbypassrls, datlocale, "
            "current_setting('TimeZone') as zone "
            "from pg_roles, pg_database where rolname = current_user and datname = current_database()"
        )
        assert row is not None
        assert row["version"].startswith("PostgreSQL 18")
        assert (row["rolsuper"], row["rolbypassrls"], row["zone"]) == (False, False, "UTC")
        assert row["datlocale"] == "C.UTF-8"
        await connection.close()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.url("app_user", "wrong", "switchyard"))
        addresses = {row.laddr.ip for row in psutil.Process(pid).net_connections() if row.status == "LISTEN"}
        assert addresses == {"127.0.0.1"}
        folder = server.folder
    assert not folder.exists()
    assert not psutil.pid_exists(pid)


def test_valkey_keeps_its_password() -> None:
    with Valkey.temporary() as server:
        assert server.process is not None
        pid = server.process.pid
        client = Redis.from_url(server.url())
        assert client.set("a", "1")
        client.close()
        stranger = Redis(host="127.0.0.1", port=server.port, retry=Retry(NoBackoff(), 0))
        with pytest.raises(AuthenticationError):
            stranger.get("a")
        stranger.close()
        assert server.password not in " ".join(psutil.Process(pid).cmdline())
    assert not psutil.pid_exists(pid)
