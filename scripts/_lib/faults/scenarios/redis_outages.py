"""Rows of Redis: F06 flushed, F07 stopped, frozen and never there, F08 hints that come several times."""

import asyncio
import random
import signal
import time
from contextlib import suppress
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError
from saq import Queue

from jobs.settings import QUEUE
from scripts._lib.dev.processes import free_port
from scripts._lib.faults.scenarios.scenario import Scene, cpu_seconds, ensure, figures, percentile

AWAY = 20.0  # seconds
IDLE = 10.0
FLOOR = 0.1  # seconds that an answer may take however fast it was before


async def f06_redis_is_flushed(scenes: type[Scene]) -> dict[str, Any]:
    """FLUSHALL once a second under load: nothing lost, nothing doubled, three seconds late at the most, and
    who is signed in stays so."""
    async with scenes.of(workers=2) as scene:
        client = redis.asyncio.Redis.from_url(scene.site.valkey.url())
        async with scene.fed(8.0):
            for _ in range(15):
                await client.flushall()
                await asyncio.sleep(1.0)
        await client.aclose()
        answer, _ = await scene.get("/contacts")
        ensure(answer.status_code == 200, f"a session did not outlive the flush: {answer.status_code}")
        verdict = await scene.judged()
        ensure(verdict.deliveries >= 30, f"only {verdict.deliveries} were sent")
        ensure(verdict.repeats == 0, f"{verdict.repeats} repeats")
        return figures(**await scene.late(3.0), deliveries=verdict.deliveries)


async def f07_redis_is_stopped(scenes: type[Scene]) -> dict[str, Any]:
    """Killed: connections are refused."""
    async with scenes.of(workers=2) as scene:
        normal = await api_p99(scene)
        scene.site.signal_valkey(signal.SIGKILL)
        return await without_redis(scene, normal)


async def f07_redis_is_frozen(scenes: type[Scene]) -> dict[str, Any]:
    """SIGSTOP: connections are taken and nobody answers."""
    async with scenes.of(workers=2) as scene:
        normal = await api_p99(scene)
        scene.site.signal_valkey(signal.SIGSTOP)
        found = await without_redis(scene, normal)
        scene.site.signal_valkey(signal.SIGCONT)
        return found


async def f07_redis_was_never_there(scenes: type[Scene]) -> dict[str, Any]:
    """An address at which nothing listens, from the start."""
    async with scenes.of(workers=2, REDIS_URL=f"redis://127.0.0.1:{free_port()}/0") as scene:
        return await without_redis(scene, await api_p99(scene))


async def api_p99(scene: Scene) -> float:
    """Of forty answers."""
    return percentile([(await scene.get("/tags"))[1] for _ in range(40)], 0.99)


async def without_redis(scene: Scene, normal: float) -> dict[str, Any]:
    """The page says so; sends five seconds late at the most, the API not much slower, the workers idle at
    less than a tenth of a processor, and a line of log now and then and not thousands."""
    lines = len(scene.log_lines())
    begun = time.monotonic()
    await asyncio.sleep(2.0)
    ready, _ = await scene.get("/health/ready")
    ensure(ready.json()["redis"] == "down", f"/health/ready says {ready.text}")
    page, _ = await scene.get("/jobs")
    ensure(page.json()["redis"] is False, "the Jobs page does not say that Redis is away")
    await said_to_people(scene)
    slow = await api_p99(scene)
    ensure(
        slow <= max(2 * normal, FLOOR),
        f"answers took {slow * 1000:.0f} ms (p99), and {normal * 1000:.0f} before",
    )
    await scene.add(10)
    verdict = await scene.judged()
    late = await scene.late(5.0)
    before, since = [cpu_seconds(worker) for worker in scene.workers], time.monotonic()
    await asyncio.sleep(max(IDLE, begun + AWAY - since))
    span = time.monotonic() - since
    busiest = max(
        (cpu_seconds(worker) - was) / span for worker, was in zip(scene.workers, before, strict=True)
    )
    ensure(busiest < 0.10, f"an idle worker used {busiest:.0%} of a processor")
    said = len(scene.log_lines()) - lines
    named = [line for line in scene.log_lines() if "bell." in line or "redis" in line.lower()]
    ensure(bool(named), "no line of the log says that Redis is away")
    most = len(scene.workers) * 3 * (1 + int((time.monotonic() - begun) // 30))
    ensure(said <= most, f"{said} lines of log in {time.monotonic() - begun:.0f} s")
    return figures(
        **late,
        api_p99=slow,
        api_p99_before=normal,
        cpu=busiest,
        log_lines=said,
        repeats=verdict.repeats,
    )


async def said_to_people(scene: Scene) -> None:
    """The banner on the page that people see, and the metric that a machine watches."""
    page, _ = await scene.get("/jobs", accept="text/html")
    ensure("Redis does not answer" in page.text, "the Jobs page of a browser shows no banner")
    metrics, _ = await scene.get("/metrics", authorization="Bearer faults")
    ensure("switchyard_redis_up 0.0" in metrics.text, "the metric says that Redis is up")


async def f08_hints_come_several_times(scenes: type[Scene]) -> dict[str, Any]:
    """Each hint one to five times, and hints that nobody asked for: everything happens once."""
    chance = random.Random(8)  # noqa: S311 -- repeatable on purpose
    async with scenes.of(workers=3) as scene:
        queue = Queue.from_url(scene.site.valkey.url(), name=QUEUE)
        rung = 0
        async with scene.fed(10.0):
            end = time.monotonic() + 10
            while time.monotonic() < end:
                for _ in range(chance.randint(1, 5)):
                    with suppress(RedisError):
                        await queue.enqueue("drain", account_id=scene.tenants[0].id)
                        rung += 1
                await asyncio.sleep(0.02)
        await queue.disconnect()
        verdict = await scene.judged()
        ensure(min(rung, verdict.deliveries) >= 50, f"only {rung} hints and {verdict.deliveries} sends")
        ensure(verdict.repeats == 0, f"{verdict.repeats} repeats")
        return figures(rung=rung, deliveries=verdict.deliveries)
