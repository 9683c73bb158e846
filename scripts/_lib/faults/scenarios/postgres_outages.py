"""Rows of PostgreSQL: F03 killed, F04 connections dropped from a small pool."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import asyncpg

from scripts._lib.faults.scenarios.scenario import Scene, ensure, figures
from scripts._lib.faults.tenants import Sent

ROUNDS = 3
DOWN = 2.5  # seconds
DROPPING = 20.0
AT_ONCE = 20  # requests
HANGS = 10.0  # seconds after which a request counts as one that hangs; connecting may take five
# Two of its pool, and perhaps one that was ended and is not gone yet.
WEB = "select count(*) from pg_stat_activity where application_name = $1"
DROP = """
select count(pg_terminate_backend(pid)) from (
  select pid from pg_stat_activity where usename = 'app_user' order by random() limit 1) x
"""


async def f03_postgres_is_killed(scenes: type[Scene]) -> dict[str, Any]:
    """Under load. While it is gone the API answers 503 with Retry-After within two seconds; five seconds
    after it accepts again work goes on, by itself; whatever got a 2xx is there."""
    slowest, resumed = 0.0, []
    async with scenes.of(workers=2) as scene:
        pids = [worker.pid for worker in scene.workers]
        async with scene.fed(5.0):
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
    """pg_terminate_backend each fifth of a second, two connections per process, twenty requests at a time: no
    worker ends, the API takes or refuses with 503, none hangs, nobody sees another account's people."""
    async with scenes.of(workers=2, accounts=2, DATABASE_POOL_SIZE="2", CHAOS_POOL_OVERFLOW="0") as scene:
        pids = [worker.pid for worker in scene.workers]
        web = f"switchyard {scene.site.web.pid if scene.site.web else 0}"
        dropping = asyncio.create_task(dropped(scene))
        strangers, most, offered = 0, 0, list[Sent]()
        while not dropping.done():
            offers = asyncio.gather(*(scene.offer(number % 2) for number in range(AT_ONCE // 2)))
            looks = asyncio.gather(*(foreign(scene, number % 2) for number in range(AT_ONCE // 2)))
            offered += await offers
            strangers += sum(await looks)
            most = max(most, await scene.site.value(WEB, web))
        answers = Counter(one.status for one in offered)
        ensure(await dropping >= 20, f"only {await dropping} connections were dropped")
        ensure(0 < most <= 3, f"the web server had {most} connections: its pool was not small")
        ensure(set(answers) <= {201, 503}, f"the API answered {dict(answers)}")
        ensure(answers[201] >= 20, f"hardly anything was taken: {dict(answers)}")
        slowest = max(one.seconds for one in offered)
        ensure(slowest <= HANGS, f"an answer took {slowest:.1f} s")
        ensure(strangers == 0, f"{strangers} times somebody saw another account's people")
        alive = [worker.pid for worker in scene.workers if worker.alive()]
        ensure(alive == pids, "a worker ended because its connections were dropped")
        await scene.judged()
        return figures(dropped=await dropping, answers=dict(answers), slowest=slowest)


async def dropped(scene: Scene) -> int:
    """Ends connections of the program, one each fifth of a second; how many."""
    count, end = 0, time.monotonic() + DROPPING
    while time.monotonic() < end:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            count += await scene.site.value(DROP)
        await asyncio.sleep(0.2)
    return count


async def foreign(scene: Scene, tenant: int) -> int:
    """How many people of other accounts a list shows."""
    of = scene.tenants[tenant]
    answer = await scene.client.get("/contacts", headers=of.headers())
    ensure(answer.status_code in (200, 503), f"GET /contacts answered {answer.status_code}")
    if answer.status_code == 503:
        return 0
    return sum(not one["email"].endswith(f"@a{of.number}.example") for one in answer.json()["items"])
