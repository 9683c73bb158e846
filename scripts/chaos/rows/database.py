"""Rows of PostgreSQL: F03 killed, F04 connections dropped from a small pool."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import asyncpg

from scripts.chaos.load import Sent
from scripts.chaos.rows.scene import Scene, ensure, figures

ROUNDS = 3
DOWN = 2.5  # seconds
DROPPING = 20.0
DROP = """
select count(pg_terminate_backend(pid)) from (
  select pid from pg_stat_activity where usename = 'app_user' order by random() limit 1) x
"""


async def f03_postgres_is_killed(scenes: type[Scene]) -> dict[str, Any]:
    """While it is gone the API answers 503 with Retry-After within two seconds; work goes on five seconds
    after it accepts again, by itself; whatever got a 2xx is there."""
    slowest, resumed = 0.0, []
    async with scenes.of(workers=2) as scene:
        pids = [worker.pid for worker in scene.workers]
        for _ in range(ROUNDS):
            await scene.add(5)  # their timers end while the database is gone
            scene.site.kill_postgres()
            end = time.monotonic() + DOWN
            while time.monotonic() < end:
                slowest = max(slowest, *await asyncio.gather(refused(scene), unread(scene)))
            await scene.site.start_postgres()
            before = scene.taken()
            resumed.append(await scene.until(more_than(scene, before), 5.0, "the next send"))
        ensure([worker.pid for worker in scene.workers] == pids, "a worker was replaced")
        ensure(
            all(worker.alive() for worker in scene.workers), "a worker ended because the database was gone"
        )
        verdict = await scene.judged()
        return figures(
            rounds=ROUNDS, slowest_503=slowest, resumed=max(resumed), acknowledged=verdict.acknowledged
        )


def more_than(scene: Scene, before: int) -> Callable[[], bool]:
    return lambda: scene.taken() > before


async def refused(scene: Scene) -> float:
    """One POST while the database is gone; how many seconds it took."""
    one = await scene.offer()
    ensure(one.status == 503, f"POST /contacts answered {one.status} without a database")
    ensure(one.seconds <= 2.0, f"a 503 took {one.seconds:.1f} s")
    return one.seconds


async def unread(scene: Scene) -> float:
    answer, seconds = await scene.get("/contacts")
    ensure(answer.status_code == 503, f"GET /contacts answered {answer.status_code} without a database")
    ensure(answer.headers.get("retry-after", "").isdigit(), "a 503 names no Retry-After")
    ensure(seconds <= 2.0, f"a 503 took {seconds:.1f} s")
    return seconds


async def f04_connections_are_dropped(scenes: type[Scene]) -> dict[str, Any]:
    """pg_terminate_backend each fifth of a second, with two connections per process: no worker ends, the API
    refuses with 503 and nothing else, and nobody sees another account's people."""
    async with scenes.of(workers=2, accounts=2, DATABASE_POOL_SIZE="2") as scene:
        pids = [worker.pid for worker in scene.workers]
        dropped, strangers, answers = 0, 0, dict[int, int]()
        end = time.monotonic() + DROPPING
        offered: list[Sent] = []
        while time.monotonic() < end:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                dropped += await scene.site.value(DROP)
            pair = await asyncio.gather(scene.offer(0), scene.offer(1), foreign(scene, 0), foreign(scene, 1))
            offered += pair[:2]
            strangers += pair[2] + pair[3]
            await asyncio.sleep(0.1)
        for one in offered:
            answers[one.status] = answers.get(one.status, 0) + 1
        ensure(dropped >= 20, f"only {dropped} connections were dropped")
        ensure(set(answers) <= {201, 503}, f"the API answered {answers}")
        ensure(answers.get(201, 0) >= 20, f"hardly anything was taken: {answers}")
        ensure(strangers == 0, f"{strangers} times somebody saw another account's people")
        alive = [worker.pid for worker in scene.workers if worker.alive()]
        ensure(alive == pids, "a worker ended because its connections were dropped")
        await scene.judged()
        return figures(dropped=dropped, answers=answers)


async def foreign(scene: Scene, tenant: int) -> int:
    """How many people of other accounts a list shows."""
    of = scene.tenants[tenant]
    answer = await scene.client.get("/contacts", headers=of.headers())
    ensure(answer.status_code in (200, 503), f"GET /contacts answered {answer.status_code}")
    if answer.status_code == 503:
        return 0
    return sum(not one["email"].endswith(f"@a{of.number}.example") for one in answer.json()["items"])
