"""Redis is flushed (F06), stopped, frozen or never there (F07), or repeats messages (F08)."""

import asyncio
import random
import signal
import time
from contextlib import suppress
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError
from saq.queue.redis import RedisQueue

from jobs.settings import TURN_TASKS, queue_name
from scripts._lib.dev.processes import free_port
from scripts._lib.faults.scenarios.harness import Harness, cpu_seconds, ensure, figures, percentile

OUTAGE_SECONDS = 20.0
IDLE_SECONDS = 10.0
ALWAYS_ALLOWED = 0.1  # seconds that an answer may take, however fast it was before


async def f06_redis_is_flushed() -> dict[str, Any]:
    """FLUSHALL once a second under load.

    Nothing is lost or doubled, everything is at most three seconds late, and sessions stay.
    """
    async with Harness.start(workers=2) as harness:
        client = redis.asyncio.Redis.from_url(harness.deployment.valkey.url())
        async with harness.load(8.0):
            for _ in range(15):
                await client.flushall()
                await asyncio.sleep(1.0)
        await client.aclose()
        response, _ = await harness.get("/contacts")
        ensure(response.status_code == 200, f"a session didn't survive the flush: {response.status_code}")
        verdict = await harness.judge()
        ensure(verdict.deliveries >= 30, f"only {verdict.deliveries} were sent")
        ensure(verdict.repeats == 0, f"{verdict.repeats} repeats")
        return figures(**await harness.check_lateness(3.0), deliveries=verdict.deliveries)


async def f07_redis_is_stopped() -> dict[str, Any]:
    """SIGKILL Redis: connections are refused."""
    async with Harness.start(workers=2) as harness:
        normal = await measure_api_p99(harness)
        harness.deployment.signal_valkey(signal.SIGKILL)
        return await check_without_redis(harness, normal)


async def f07_redis_is_frozen() -> dict[str, Any]:
    """SIGSTOP Redis: connections are accepted and never answered."""
    async with Harness.start(workers=2) as harness:
        normal = await measure_api_p99(harness)
        harness.deployment.signal_valkey(signal.SIGSTOP)
        outcome = await check_without_redis(harness, normal)
        harness.deployment.signal_valkey(signal.SIGCONT)
        return outcome


async def f07_redis_was_never_there() -> dict[str, Any]:
    """Start with an address at which nothing listens."""
    async with Harness.start(workers=2, REDIS_URL=f"redis://127.0.0.1:{free_port()}/0") as harness:
        return await check_without_redis(harness, await measure_api_p99(harness))


async def measure_api_p99(harness: Harness) -> float:
    """The p99 of forty answers, in seconds."""
    return percentile([(await harness.get("/tags"))[1] for _ in range(40)], 0.99)


async def check_without_redis(harness: Harness, normal: float) -> dict[str, Any]:
    """Check everything that must hold without Redis; `normal` is the p99 of answers before, in seconds.

    The pages say that Redis is gone. Everything is at most five seconds late, answers are hardly slower, idle
    workers use less than a tenth of a core, and the log has a few lines and not thousands.
    """
    lines_before = len(harness.log_lines())
    started = time.monotonic()
    await asyncio.sleep(2.0)
    await check_pages_and_metric(harness)
    slow = await measure_api_p99(harness)
    ensure(
        slow <= max(2 * normal, ALWAYS_ALLOWED),
        f"answers took {slow * 1000:.0f} ms (p99), and {normal * 1000:.0f} ms before",
    )
    await harness.add_contacts(10)
    verdict = await harness.judge()
    late = await harness.check_lateness(5.0)
    cpu = await measure_idle_cpu(harness, max(IDLE_SECONDS, started + OUTAGE_SECONDS - time.monotonic()))
    ensure(cpu < 0.10, f"an idle worker used {cpu:.0%} of a core")
    lines = harness.log_lines()
    about_redis = [line for line in lines if "queue.unavailable" in line or "redis" in line.lower()]
    ensure(bool(about_redis), "no log line says that Redis is gone")
    new_lines, seconds = len(lines) - lines_before, time.monotonic() - started
    allowed = len(harness.workers) * 3 * (1 + int(seconds // 30))
    ensure(new_lines <= allowed, f"{new_lines} log lines in {seconds:.0f} s")
    return figures(
        **late,
        api_p99=slow,
        api_p99_before=normal,
        cpu=cpu,
        log_lines=new_lines,
        repeats=verdict.repeats,
    )


async def measure_idle_cpu(harness: Harness, seconds: float) -> float:
    """The share of a core that the busiest worker uses during these seconds."""
    before, started = [cpu_seconds(worker) for worker in harness.workers], time.monotonic()
    await asyncio.sleep(seconds)
    elapsed = time.monotonic() - started
    after = [cpu_seconds(worker) for worker in harness.workers]
    return max((end - start) / elapsed for start, end in zip(before, after, strict=True))


async def check_pages_and_metric(harness: Harness) -> None:
    """Health, the Jobs page in JSON and HTML, and the metrics say that Redis is gone."""
    ready, _ = await harness.get("/health/ready")
    ensure(ready.json()["redis"] == "down", f"/health/ready says {ready.text}")
    page, _ = await harness.get("/jobs")
    ensure(page.json()["redis"] is False, "the JSON of the Jobs page doesn't say that Redis is gone")
    page, _ = await harness.get("/jobs", accept="text/html")
    ensure("responding. Nothing is lost" in page.text, "the Jobs page shows no banner")
    metrics, _ = await harness.get("/metrics", authorization="Bearer faults")
    ensure("switchyard_redis_up 0.0" in metrics.text, "the metrics say that Redis is up")


async def f08_queue_jobs_repeat() -> dict[str, Any]:
    """Enqueue each job one to five times, and jobs that nothing needs: everything happens once."""
    chance = random.Random(8)  # noqa: S311 -- repeatable on purpose
    async with Harness.start(workers=3) as harness:
        client = redis.asyncio.Redis.from_url(harness.deployment.valkey.url())
        queues = {task.name: RedisQueue(client, name=queue_name(task.name)) for task in TURN_TASKS}
        enqueued = 0
        async with harness.load(10.0):
            end = time.monotonic() + 10
            while time.monotonic() < end:
                for _ in range(chance.randint(1, 5)):
                    task = chance.choice(list(queues))  # with a key of its own each: none is refused
                    account = str(harness.accounts[0].id)
                    with suppress(RedisError):
                        await queues[task].enqueue(task, account_id=account, slot=0, turn=0, hops=0)
                        enqueued += 1
                await asyncio.sleep(0.02)
        await client.aclose()
        verdict = await harness.judge()
        enough = min(enqueued, verdict.deliveries) >= 50
        ensure(enough, f"only {enqueued} jobs and {verdict.deliveries} deliveries")
        ensure(verdict.repeats == 0, f"{verdict.repeats} repeats")
        return figures(enqueued=enqueued, deliveries=verdict.deliveries)
