"""F16: told to stop, a worker claims nothing more, finishes what it holds and leaves when it is idle."""

import asyncio
import signal
import time
from typing import Any

import pytest

from app.engine.core.steps import SendEmail, UpdateField
from app.settings import Settings
from jobs.worker import GRACE_SECONDS
from tests.integration.jobs.test_worker_process import MAIL, Process, counted, sink, tagged, until
from tests.support.scenario import Stage

PATIENCE = 120.0  # seconds: the machine may be busy with other tests


async def heard_of(stage: Stage, worker: Process) -> None:
    async def there() -> bool:
        rows = await stage.sql("select pid from workers")
        return worker.process is not None and worker.process.pid in {row["pid"] for row in rows}

    await until(there, PATIENCE)


@pytest.mark.slow
@pytest.mark.parametrize("redis", [True, False], ids=["redis", "no-redis"])
async def test_an_idle_worker_stops_within_a_second(stage: Stage, settings: Settings, redis: bool) -> None:
    away = {} if redis else {"REDIS_URL": "redis://127.0.0.1:1/0"}
    took = []
    async with Process(settings, 1, **away).running() as worker:
        for _ in range(3):  # the machine may be busy with something else
            await heard_of(stage, worker)
            await asyncio.sleep(1.0)
            signaled_at = time.monotonic()
            assert await worker.end(signal.SIGTERM) == 0
            took.append(time.monotonic() - signaled_at)
            if took[-1] <= 1.0:
                break
            await worker.start()
        assert min(took) <= 1.0, took
        assert worker.process is not None
        pids = {row["pid"] for row in await stage.sql("select pid from workers")}
        assert worker.process.pid not in pids, "it says goodbye"


@pytest.mark.slow
async def test_a_rolling_restart_under_load_loses_nothing_and_repeats_nothing(
    stage: Stage, settings: Settings
) -> None:
    async with sink(stage.account) as (taken, port):
        taken.slow = 0.05
        twice = SendEmail(subject="Again", body="Hi")
        await tagged(stage, 100, MAIL, UpdateField(field="city", value="Far"), twice)
        workers = [Process(settings, port) for _ in range(2)]
        for worker in workers:
            await worker.start()
        try:
            for number in range(4):
                before = sum(taken.keys.values())

                async def more(before: int = before) -> bool:
                    return sum(taken.keys.values()) >= min(before + 15, 200)

                await until(more, PATIENCE)
                await heard_of(stage, workers[number % 2])  # before, SIGTERM finds nobody who listens
                signaled_at = time.monotonic()
                assert await workers[number % 2].end(signal.SIGTERM) == 0
                assert time.monotonic() - signaled_at <= GRACE_SECONDS
                await workers[number % 2].start()

            async def over() -> bool:
                return await counted(stage, "status", "enrollments") == {"completed": 100}

            await until(over, 150)
        finally:
            for worker in workers:
                await worker.end(signal.SIGKILL)
    assert await counted(stage, "status", "effects") == {"sent": 200}, "nothing in doubt"
    tries = await stage.sql("select distinct attempts from effects where account_id = $1", stage.account)
    assert [row["attempts"] for row in tries] == [1]
    repeats: Any = {key: count for key, count in taken.keys.items() if count > 1}
    assert repeats == {}
    assert len(taken.keys) == 200
