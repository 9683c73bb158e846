"""Lateness: how late steps are, with real `switchyard worker` and `switchyard web` processes.

`measure_herd` makes very many enrollments of one account due in the same second as a few of another.
`measure_streams` makes a steady number due each second, of one account and of many. Lateness is the time from
the due time to the *commit* of the step (PostgreSQL's own time stamp of the transaction); a step that began
before its due time is early.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from redis.asyncio import Redis

from scripts._lib.bench.app_processes import percentile, running_web, running_worker
from scripts._lib.bench.step_throughput import bench_steps
from scripts._lib.bench.testbed import Testbed
from scripts._lib.dev.terminal import ScriptError

PAGES = ("/contacts", "/enrollments")
SEED_SECONDS = 0.03  # at most, for one account of few contacts
HEARTBEAT_SECONDS = 6.0
LATENESS = """
select extract(epoch from pg_xact_commit_timestamp(x.xmin) - due.at)::float8 as late,
       x.started_at < due.at as early
  from enrollment_executions x
  join enrollments e on e.account_id = x.account_id and e.id = x.enrollment_id
  join contacts c on c.account_id = e.account_id and c.id = e.contact_id,
       lateral (select $2::timestamptz + c.external_id::int * $3::interval as at) due
 where x.account_id = $1 and x.seq = 1
"""
IS_ANY_DUE = """
select exists (select from enrollments
                where account_id = $1 and status = 'active' and due_at > '-infinity' and due_at <= now())
"""


async def seed_due_account(
    testbed: Testbed, name: str, count: int, due: datetime, interval: timedelta, *, analyze: bool = True
) -> UUID:
    """Seed an account whose contact n is due at `due` + n × `interval`."""
    account = await testbed.account(name)
    tag = await testbed.tag(account, "welcomed")
    workflow = await testbed.workflow(account, bench_steps(tag))
    await testbed.contacts(account, count, analyze=analyze)
    await testbed.enroll(account, workflow, due, interval)
    return account


async def first_step_lateness(
    testbed: Testbed, account: UUID, due: datetime, interval: timedelta
) -> tuple[list[float], int]:
    """Seconds late of each contact's first step, and how many were early."""
    rows = await testbed.admin.fetch(LATENESS, account, due, interval)
    early = sum(1 for row in rows if row["early"] or row["late"] < 0)
    return [row["late"] for row in rows], early


async def sleep_until(testbed: Testbed, moment: datetime) -> None:
    """Sleep until a moment of the database's clock."""
    await asyncio.sleep(max(0.0, (moment - await testbed.now()).total_seconds()))


async def measure_herd(testbed: Testbed, big_count: int, small_count: int) -> dict[str, Any]:
    """Make `big_count` contacts of one account due with `small_count` of another, while the web is in use."""
    await testbed.clear()
    tomorrow = await testbed.now() + timedelta(days=1)
    interval = timedelta(seconds=0.8 / small_count)
    big = await seed_due_account(testbed, "Big", big_count, tomorrow, timedelta())
    small = await seed_due_account(testbed, "Small", small_count, tomorrow, interval)
    async with running_worker(testbed), running_web(testbed, big) as client:
        await testbed.vacuum()
        for page in PAGES * 10:
            (await client.get(page)).raise_for_status()
        idle = await time_requests(lambda: asyncio.sleep(2), client, testbed)
        due = await testbed.now() + timedelta(seconds=1)
        await testbed.admin.execute(
            "update enrollments set due_at = due_at + ($1::timestamptz - $2::timestamptz)", due, tomorrow
        )
        started = max(due, await testbed.now())
        busy = await time_requests(lambda: wait_until_drained(testbed, big), client, testbed)
        seconds = (await testbed.now() - started).total_seconds()
        await wait_until_drained(testbed, small)
        late, early = await first_step_lateness(testbed, small, due, interval)
    if len(late) != small_count:
        raise ScriptError(f"{len(late)} of the small account's {small_count} enrollments were moved.")
    update_delay = (started - due).total_seconds()  # the update above may have ended after `due`
    small_late = [max(0.0, seconds_late - update_delay) for seconds_late in late]
    return {
        "herd_small_tenant_p99_late_s": round(percentile(small_late, 0.99), 2),
        "herd_web_p99_ms": round(percentile(busy.answers, 0.99) * 1000, 1),
        "herd": {
            "seconds": round(seconds, 1),
            "requests": len(busy.answers),
            "web_p50_ms": round(percentile(busy.answers, 0.5) * 1000, 1),
            "web_p99_ms_before": round(percentile(idle.answers, 0.99) * 1000, 1),
            "redis_longest_ms": round(max(busy.pings) * 1000, 1),
            "early": early,
        },
    }


async def wait_until_drained(testbed: Testbed, account: UUID, patience: float = 2.0) -> None:
    """Wait until no enrollment of the account is due; look after `patience` seconds first."""
    async with asyncio.timeout(900):
        await asyncio.sleep(patience)
        while await testbed.admin.fetchval(IS_ANY_DUE, account):  # noqa: ASYNC110 -- another process moves them
            await asyncio.sleep(0.5)


@dataclass
class Timings:
    """Seconds of each request to the web server and of each ping of Redis."""

    answers: list[float] = field(default_factory=list)
    pings: list[float] = field(default_factory=list)


async def time_requests(
    action: Callable[[], Awaitable[None]], client: httpx.AsyncClient, testbed: Testbed
) -> Timings:
    """Time ten requests a second, one at a time, and fifty pings of Redis a second, while `action` runs."""
    timings = Timings()
    redis = Redis.from_url(testbed.valkey.url())
    tasks = [
        asyncio.create_task(request_pages(client, timings)),
        asyncio.create_task(ping_redis(redis, timings)),
    ]
    try:
        await action()
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await redis.aclose()
    for result in results:
        if isinstance(result, Exception):
            raise result
    return timings


async def request_pages(client: httpx.AsyncClient, timings: Timings) -> None:
    """Request the pages in turn until canceled."""
    number = 0
    while True:
        started = time.perf_counter()
        (await client.get(PAGES[number % len(PAGES)])).raise_for_status()
        timings.answers.append(time.perf_counter() - started)
        number += 1
        await asyncio.sleep(max(0.0, 0.1 - timings.answers[-1]))


async def ping_redis(redis: Any, timings: Timings) -> None:
    """Ping until canceled."""
    while True:
        started = time.perf_counter()
        await redis.ping()
        timings.pings.append(time.perf_counter() - started)
        await asyncio.sleep(0.02)


async def measure_streams(
    testbed: Testbed, per_second: int, seconds: int, some_accounts: int, many_accounts: int
) -> dict[str, Any]:
    """`measure_stream` with one account, with some and with many; the figures of one have the plain keys."""
    figures: dict[str, Any] = {"late": {}}
    for suffix, number in (("", 1), ("_some_accounts", some_accounts), ("_many_accounts", many_accounts)):
        late, early, by_saq = await measure_stream(testbed, per_second, seconds, number)
        figures |= {f"late_p99_s{suffix}": round(percentile(late, 0.99), 2), f"early{suffix}": early}
        figures["late"][f"{number} accounts"] = {
            "p50_s": round(percentile(late, 0.5), 2),
            "p90_s": round(percentile(late, 0.9), 2),
            "longest_s": round(max(late), 2),
            "turns_by_saq": by_saq,
        }
    return figures


async def measure_stream(
    testbed: Testbed, per_second: int, seconds: int, accounts: int
) -> tuple[list[float], int, float | None]:
    """Make `per_second` contacts due each second, for `seconds`, in turn in each of the accounts.

    Returns the seconds late of each first step, how many were early, and the share of turns that came as SAQ
    jobs (None if no turn did: `EXECUTOR=inline`)."""
    await testbed.clear()
    each, step = per_second * seconds // accounts, timedelta(seconds=1 / per_second)
    late, early = list[float](), 0
    async with running_worker(testbed):
        before = await turns_by_way(testbed)
        due = await testbed.now() + timedelta(seconds=6 + accounts * SEED_SECONDS)
        seeded = [
            (due + place * step, await seed_due_account(
                testbed, f"Stream {place}", each, due + place * step, accounts * step, analyze=place == 0
            ))
            for place in range(accounts)
        ]  # fmt: skip
        await testbed.vacuum()
        if await testbed.now() > due:
            raise ScriptError("Seeding took longer than the time before the first due time.")
        await sleep_until(testbed, due + timedelta(seconds=seconds))
        for first_due, account in seeded:
            await wait_until_drained(testbed, account, patience=0)
            account_late, account_early = await first_step_lateness(
                testbed, account, first_due, accounts * step
            )
            late, early = late + account_late, early + account_early
        await asyncio.sleep(HEARTBEAT_SECONDS)  # the worker counts its turns with its heartbeat
        after = await turns_by_way(testbed)
    if len(late) != each * accounts:
        raise ScriptError(f"{len(late)} of {each * accounts} enrollments were moved.")
    turns = {via: after[via] - before.get(via, 0) for via in after}
    return late, early, round(turns["saq"] / sum(turns.values()), 4) if turns.get("saq") else None


async def turns_by_way(testbed: Testbed) -> dict[str, int]:
    """How many turns came in each way so far."""
    rows = await testbed.admin.fetch("select via, sum(turns)::bigint as turns from turn_counts group by 1")
    return {row["via"]: row["turns"] for row in rows}
