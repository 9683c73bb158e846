"""F25: after a restore from a backup the engine is on hold, so that it does not send again what the backup
does not know of."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from app.engine.core.triggers import TagAdded
from app.engine.effects.dispatcher import send_effects
from app.engine.recovery.restore_guard import RestoreGuard, hold_engine, hold_status, release_engine
from app.runtime import open_runtime
from app.settings import Settings
from jobs.turns import match_and_advance
from scripts._lib.dev.postgres import Postgres
from scripts._lib.dev.valkey import Valkey
from tests.conftest import ROOT
from tests.faults.servers import PASSWORDS, migrate
from tests.support.fakes import Outside, TestClock
from tests.support.scenario import Stage
from tests.support.worker_process import MAIL, LitestarWorker, mail_server, tag_contacts, until
from tests.support.world import World


@pytest.fixture
def own_server(valkey: Valkey, tmp_path: Path) -> Iterator[tuple[Postgres, Settings]]:
    """A PostgreSQL that only this test uses: it is copied and restored."""
    with Postgres.temporary() as server:
        migrate(server, "before")
        yield (
            server,
            Settings(
                database_url=server.url("app_user", PASSWORDS["app_user"], "before"),
                redis_url=valkey.url(3),
                data_dir=tmp_path,
            ),
        )


def copy_of(server: Postgres, name: str) -> Settings:
    """A restored backup of the database: what `pg_dump` and `pg_restore` do, done by the server itself."""
    server.psql(f'create database "{name}" template before')
    return Settings(database_url=server.url("app_user", PASSWORDS["app_user"], name))


def run_engine_command(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    """`switchyard engine …`."""
    return subprocess.run(  # noqa: S603 -- our own program
        [sys.executable, "-m", "litestar", "engine", *words],
        cwd=ROOT, env=LitestarWorker(settings, 1).env, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("redis_state", ["redis", "file"])
async def test_after_a_restore_nothing_is_sent_before_the_release(
    own_server: tuple[Postgres, Settings], world: World, redis_state: str
) -> None:
    server, settings = own_server
    runtime = open_runtime(settings, pool_size=0)
    own_world = World(world.app, server.superuser_url("before"), [], runtime)
    stage = Stage(own_world, await own_world.account("Acme"), TestClock(), Outside())
    async with mail_server(stage.account) as mail:
        await tag_contacts(stage, 10, MAIL)
        await match_and_advance(runtime, stage.account)
        backup = copy_of(server, "after")
        async with LitestarWorker(settings, mail.port).running() as worker:

            async def all_sent() -> bool:
                return len(mail.keys) == 10

            await until(all_sent, 90)
            await worker.end(signal.SIGTERM)
        restored_settings = msgspec.structs.replace(
            backup,
            redis_url=settings.redis_url if redis_state == "redis" else "redis://127.0.0.1:1/0",
            data_dir=settings.data_dir if redis_state == "file" else settings.data_dir / "empty",
        )
        restored = open_runtime(restored_settings, pool_size=0)
        async with LitestarWorker(restored_settings, mail.port).running() as worker:

            async def is_held() -> bool:
                return (await hold_status(restored)).held

            await until(is_held, 90)

            async def has_beaten_often() -> bool:
                rows = await sql(
                    server, "select last_seen_at - started_at > interval '6 seconds' from workers"
                )
                return any(row[0] for row in rows)

            await until(has_beaten_often, 90)
            assert sum(mail.keys.values()) == 10, "nothing was sent again"
            assert len(await sql(server, "select from effects where status = 'sent'")) == 0
            output = run_engine_command(restored_settings, "status")
            assert output.returncode == 1
            assert "restored from a backup" in output.stdout
            assert "is missing from it" in output.stdout
            assert "running again" in run_engine_command(restored_settings, "release").stdout

            async def all_sent_twice() -> bool:
                return sum(mail.keys.values()) == 20

            await until(all_sent_twice, 90)
            assert set(mail.keys.values()) == {2}, "the keys of the second time are those of the first"
            assert not (await hold_status(restored)).held
        await restored.close()
    await runtime.close()


async def sql(server: Postgres, statement: str) -> list[Any]:
    connection = await asyncpg.connect(server.superuser_url("after"))
    try:
        return list(await connection.fetch(statement))
    finally:
        await connection.close()


async def test_a_guard_holds_once_and_resumes_after_the_release(
    own_server: tuple[Postgres, Settings],
) -> None:
    _, settings = own_server
    runtime = open_runtime(settings, pool_size=0)
    guard = RestoreGuard(runtime)
    assert not await guard.check()
    await guard.heartbeat()
    assert not await guard.check()
    async with runtime.engine.begin() as connection:
        await connection.exec_driver_sql(
            "update engine_state set heartbeat_at = heartbeat_at - interval '1 day'"
        )
    assert await guard.check(), "the worker remembers its last heartbeat"
    status = await hold_status(runtime)
    assert status.gap_from
    assert status.gap_to
    assert 23 < (status.gap_to - status.gap_from).total_seconds() / 3600 < 25
    await guard.heartbeat()
    assert await guard.check(), "the next heartbeat does not hide it"
    assert not await hold_engine(runtime, "Olive", "again")
    assert await release_engine(runtime, "Olive")
    assert not await guard.check()
    assert not await release_engine(runtime, "Olive")
    await runtime.close()


async def test_the_newest_heartbeat_counts_under_the_names_of_earlier_releases_too(
    own_server: tuple[Postgres, Settings],
) -> None:
    """An earlier release knows only its own names: a restore is noticed while upgrading and going back."""
    _, settings = own_server
    runtime = open_runtime(settings, pool_size=0)
    guard = RestoreGuard(runtime)
    await guard.heartbeat()
    async with runtime.engine.connect() as connection:
        row = (await connection.exec_driver_sql("select id, heartbeat_at from engine_state")).one()
    written = row.heartbeat_at.isoformat()
    files = [settings.data_dir / f"{name}-{row.id}" for name in ("heartbeat", "beat")]
    keys = [f"switchyard:{name}:{row.id}" for name in ("heartbeat", "beat")]
    assert [path.read_text() for path in files] == [written, written]
    assert [value.decode() for value in await runtime.redis.mget(keys)] == [written, written]
    later = (row.heartbeat_at + timedelta(hours=1)).isoformat()
    files[1].write_text(later)
    assert await RestoreGuard(runtime).check(), "the file of an earlier release is newer"
    await release_engine(runtime, "Olive")
    assert not await RestoreGuard(runtime).check()
    await runtime.close()


async def test_on_hold_nothing_moves_and_nothing_is_sent(stage: Stage) -> None:
    contact = await stage.contact()
    vip = await stage.tag("vip")
    await tag_contact(stage, contact, vip)
    await hold_engine(stage.runtime, "Olive", "Moving servers.")
    try:
        await stage.drain()
        assert stage.outside.letters == []
        assert (await stage.enrollment(contact))["seq"] == 0
        sentence = (await hold_status(stage.runtime)).sentence
        assert sentence == "The engine is on hold: nothing moves or is sent. Moving servers."
    finally:
        await release_engine(stage.runtime, "Olive")
    await stage.drain()
    assert len(stage.outside.letters) == 1


async def test_held_engine_claims_nothing_that_was_pending(stage: Stage) -> None:
    contact, vip = await stage.contact(), await stage.tag("vip")
    await tag_contact(stage, contact, vip)
    await match_and_advance(stage.runtime, stage.account)
    await hold_engine(stage.runtime, "Olive", "Moving servers.")
    try:
        assert await send_effects(stage.runtime, stage.account) == 0
        assert (await stage.effect(contact))["status"] == "pending"
    finally:
        await release_engine(stage.runtime, "Olive")


async def tag_contact(stage: Stage, contact: UUID, vip: UUID) -> None:
    await stage.workflow([MAIL], TagAdded(key="t1", tag=vip))
    await stage.add_tag(contact, vip)


async def test_a_concurrent_heartbeat_of_another_worker_is_no_gap(
    own_server: tuple[Postgres, Settings],
) -> None:
    """Found by scripts/faults --short --seed 11: Redis was frozen while a worker checked, and another
    worker wrote its heartbeat."""
    _, settings = own_server
    runtime = open_runtime(settings, pool_size=0)
    other = RestoreGuard(runtime)
    await other.heartbeat()

    class SlowGuard(RestoreGuard):
        async def _redis_heartbeat(self, run_id: str) -> Any:
            await asyncio.sleep(1.2)
            await other.heartbeat()
            return await super()._redis_heartbeat(run_id)

    assert not await SlowGuard(runtime).check()
    await runtime.close()
