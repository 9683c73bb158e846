"""F25: a database that was restored from a backup does not send again by itself what it does not know of."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from app.engine.effects.dispatcher import send_effects
from app.engine.recovery.restore_guard import RestoreGuard, hold_engine, hold_status, release_engine
from app.runtime import open_runtime
from app.settings import Settings
from jobs.tasks import match_and_advance
from scripts.local.postgres import Postgres
from scripts.local.valkey import Valkey
from tests.conftest import ROOT
from tests.faults.servers import PASSWORDS, migrate
from tests.integration.jobs.test_worker_process import MAIL, Process, sink, tagged, until
from tests.support.fakes import Outside, TestClock
from tests.support.scenario import Stage
from tests.support.world import World


@pytest.fixture
def own(valkey: Valkey, tmp_path: Path) -> Iterator[tuple[Postgres, Settings]]:
    """A PostgreSQL of one's own: it is dumped and restored."""
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


def copied(server: Postgres, name: str) -> Settings:
    """What `pg_dump` and `pg_restore` do, by the server itself."""
    server.psql(f'create database "{name}" template before')
    return Settings(database_url=server.url("app_user", PASSWORDS["app_user"], name))


def engine(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line."""
    return subprocess.run(  # noqa: S603 -- our own program
        [sys.executable, "-m", "litestar", "engine", *words],
        cwd=ROOT, env=Process(settings, 1).env, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("redis_state", ["redis", "file"])
async def test_after_a_restore_nothing_is_sent_before_a_person_says_so(
    own: tuple[Postgres, Settings], world: World, redis_state: str
) -> None:
    server, settings = own
    runtime = open_runtime(settings, pool_size=0)
    here = World(world.app, server.superuser_url("before"), [], runtime)
    stage = Stage(here, await here.account("Acme"), TestClock(), Outside())
    async with sink(stage.account) as (taken, port):
        await tagged(stage, 10, MAIL)
        await match_and_advance(runtime, stage.account)
        backup = copied(server, "after")
        async with Process(settings, port).running() as worker:

            async def out() -> bool:
                return len(taken.keys) == 10

            await until(out, 90)
            await worker.end(signal.SIGTERM)
        again = msgspec.structs.replace(
            backup,
            redis_url=settings.redis_url if redis_state == "redis" else "redis://127.0.0.1:1/0",
            data_dir=settings.data_dir if redis_state == "file" else settings.data_dir / "empty",
        )
        restored = open_runtime(again, pool_size=0)
        async with Process(again, port).running() as worker:

            async def held() -> bool:
                return (await hold_status(restored)).held

            await until(held, 90)

            async def beaten_often() -> bool:
                rows = await sql(server, "select seen_at - started_at > interval '6 seconds' from workers")
                return any(row[0] for row in rows)

            await until(beaten_often, 90)
            assert sum(taken.keys.values()) == 10, "nothing was sent again"
            assert len(await sql(server, "select from effects where status = 'sent'")) == 0
            output = engine(again, "status")
            assert output.returncode == 1
            assert "restored from a backup" in output.stdout
            assert "is missing from it" in output.stdout
            assert "running again" in engine(again, "release").stdout

            async def twice() -> bool:
                return sum(taken.keys.values()) == 20

            await until(twice, 90)
            assert set(taken.keys.values()) == {2}, "the keys of the second time are those of the first"
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
    own: tuple[Postgres, Settings],
) -> None:
    _, settings = own
    runtime = open_runtime(settings, pool_size=0)
    guard = RestoreGuard(runtime)
    assert not await guard.check()
    await guard.heartbeat()
    assert not await guard.check()
    async with runtime.engine.begin() as connection:
        await connection.exec_driver_sql("update installation set beat_at = beat_at - interval '1 day'")
    assert await guard.check(), "it remembers by itself"
    standing_now = await hold_status(runtime)
    assert standing_now.gap_from
    assert standing_now.gap_to
    assert 23 < (standing_now.gap_to - standing_now.gap_from).total_seconds() / 3600 < 25
    await guard.heartbeat()
    assert await guard.check(), "the next beat does not hide it"
    assert not await hold_engine(runtime, "Olive", "again")
    assert await release_engine(runtime, "Olive")
    assert not await guard.check()
    assert not await release_engine(runtime, "Olive")
    await runtime.close()


async def test_held_by_hand_nothing_moves_and_nothing_is_sent(stage: Stage) -> None:
    person = await stage.contact()
    vip = await stage.tag("vip")
    await tagged_one(stage, person, vip)
    await hold_engine(stage.runtime, "Olive", "Moving servers.")
    try:
        await stage.drain()
        assert stage.outside.letters == []
        assert (await stage.enrollment(person))["seq"] == 0
        page = (await hold_status(stage.runtime)).sentence
        assert page == "The engine is on hold: nothing moves or is sent. Moving servers."
    finally:
        await release_engine(stage.runtime, "Olive")
    await stage.drain()
    assert len(stage.outside.letters) == 1


async def test_held_engine_claims_nothing_that_was_pending(stage: Stage) -> None:
    person, vip = await stage.contact(), await stage.tag("vip")
    await tagged_one(stage, person, vip)
    await match_and_advance(stage.runtime, stage.account)
    await hold_engine(stage.runtime, "Olive", "Moving servers.")
    try:
        assert await send_effects(stage.runtime, stage.account) == 0
        assert (await stage.effect(person))["status"] == "pending"
    finally:
        await release_engine(stage.runtime, "Olive")


async def tagged_one(stage: Stage, person: Any, vip: Any) -> None:
    from app.engine.core.triggers import TagAdded

    await stage.workflow([MAIL], TagAdded(key="t1", tag=vip))
    await stage.add_tag(person, vip)


async def test_a_concurrent_heartbeat_of_another_worker_is_no_gap(own: tuple[Postgres, Settings]) -> None:
    """Found by scripts/faults --short --seed 11: Redis was frozen while a worker looked, and another beat."""
    _, settings = own
    runtime = open_runtime(settings, pool_size=0)
    other = RestoreGuard(runtime)
    await other.heartbeat()

    class Slow(RestoreGuard):
        async def _redis_heartbeat(self, run_id: str) -> Any:
            await asyncio.sleep(1.2)
            await other.heartbeat()
            return await super()._redis_heartbeat(run_id)

    assert not await Slow(runtime).check()
    await runtime.close()
