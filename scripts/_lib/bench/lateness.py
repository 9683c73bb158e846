"""Lateness: a herd of one tenant beside a small one, and a steady stream. Real `litestar worker` and web.

Late is when the step was *committed* (PostgreSQL's own time stamp of the transaction) after it was due; early
is a step that began before.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from redis.asyncio import Redis

from scripts._lib.bench.app_processes import percentile, web, worker
from scripts._lib.bench.step_throughput import steps_of
from scripts._lib.bench.testbed import Place
from scripts._lib.dev.terminal import Problem

PAGES = ("/contacts", "/enrollments")
LATE = """
select extract(epoch from pg_xact_commit_timestamp(x.xmin) - due.at)::float8 as late,
       x.started_at < due.at as early
  from enrollment_executions x
  join enrollments e on e.account_id = x.account_id and e.id = x.enrollment_id
  join contacts c on c.account_id = e.account_id and c.id = e.contact_id,
       lateral (select $2::timestamptz + c.external_id::int * $3::interval as at) due
 where x.account_id = $1 and x.seq = 1
"""
BEHIND = """
select exists (select from enrollments
                where account_id = $1 and status = 'active' and due_at > '-infinity' and due_at <= now())
"""


async def tenant(place: Place, name: str, count: int, due: datetime, apart: timedelta) -> UUID:
    """An account whose person number n is due at `due` + n × `apart`."""
    account = await place.account(name)
    tag = await place.tag(account, "welcomed")
    workflow = await place.workflow(account, steps_of(tag))
    await place.people(account, count)
    await place.enroll(account, workflow, due, apart)
    return account


async def lateness(place: Place, account: UUID, due: datetime, apart: timedelta) -> tuple[list[float], int]:
    """Seconds late of everybody's first step, and how many were early."""
    rows = await place.admin.fetch(LATE, account, due, apart)
    early = sum(1 for row in rows if row["early"] or row["late"] < 0)
    return [row["late"] for row in rows], early


async def wait_until(place: Place, moment: datetime) -> None:
    await asyncio.sleep(max(0.0, (moment - await place.now()).total_seconds()))


async def herd(place: Place, big: int, small: int) -> dict[str, Any]:
    """`big` people of one tenant due in the same second as `small` of another, with the web in use."""
    await place.clear()
    far = await place.now() + timedelta(days=1)
    apart, none = timedelta(seconds=0.8 / small), timedelta()
    herd_of = await tenant(place, "Big", big, far, none)
    few = await tenant(place, "Small", small, far, apart)
    async with worker(place), web(place, herd_of) as client:
        await place.settle()
        for page in PAGES * 10:
            (await client.get(page)).raise_for_status()
        quiet = await timed(lambda: asyncio.sleep(2), client, place)
        due = await place.now() + timedelta(seconds=1)
        await place.admin.execute(
            "update enrollments set due_at = due_at + ($1::timestamptz - $2::timestamptz)", due, far
        )
        due_now = max(due, await place.now())
        busy = await timed(lambda: drained(place, herd_of), client, place)
        took = (await place.now() - due_now).total_seconds()
        await drained(place, few)
        late, early = await lateness(place, few, due, apart)
    if len(late) != small:
        raise Problem(f"{len(late)} of the small tenant's {small} people were moved.")
    since = (due_now - due).total_seconds()  # the seeding above may have ended after the moment itself
    return {
        "herd_small_tenant_p99_late_s": round(percentile([max(0.0, one - since) for one in late], 0.99), 2),
        "herd_web_p99_ms": round(percentile(busy.answers, 0.99) * 1000, 1),
        "herd": {
            "seconds": round(took, 1),
            "requests": len(busy.answers),
            "web_p50_ms": round(percentile(busy.answers, 0.5) * 1000, 1),
            "web_p99_ms_before": round(percentile(quiet.answers, 0.99) * 1000, 1),
            "redis_longest_ms": round(max(busy.pings) * 1000, 1),
            "early": early,
        },
    }


async def drained(place: Place, account: UUID) -> None:
    """Until nobody of the account is due any more."""
    async with asyncio.timeout(900):
        await asyncio.sleep(2)
        while await place.admin.fetchval(BEHIND, account):  # noqa: ASYNC110 -- another process does it
            await asyncio.sleep(0.5)


class Timings:
    """Seconds of each request to the web and of each ping of Redis."""

    def __init__(self) -> None:
        self.answers: list[float] = []
        self.pings: list[float] = []


async def timed(doing: Callable[[], Awaitable[None]], client: httpx.AsyncClient, place: Place) -> Timings:
    """While something is done: ten requests a second to the web, one at a time, and fifty pings to Redis."""
    found = Timings()
    redis = Redis.from_url(place.valkey.url())
    asking = [asyncio.create_task(ask(client, found)), asyncio.create_task(ping(redis, found))]
    try:
        await doing()
    finally:
        for task in asking:
            task.cancel()
        ended = await asyncio.gather(*asking, return_exceptions=True)
        await redis.aclose()
    for error in ended:
        if isinstance(error, Exception):
            raise error
    return found


async def ask(client: httpx.AsyncClient, found: Timings) -> None:
    number = 0
    while True:
        began = time.perf_counter()
        (await client.get(PAGES[number % len(PAGES)])).raise_for_status()
        found.answers.append(time.perf_counter() - began)
        number += 1
        await asyncio.sleep(max(0.0, 0.1 - found.answers[-1]))


async def ping(redis: Any, found: Timings) -> None:
    while True:
        began = time.perf_counter()
        await redis.ping()
        found.pings.append(time.perf_counter() - began)
        await asyncio.sleep(0.02)


async def stream(place: Place, per_second: int, seconds: int) -> dict[str, Any]:
    """`per_second` people due each second, for `seconds`."""
    await place.clear()
    count, apart = per_second * seconds, timedelta(seconds=1 / per_second)
    async with worker(place):
        due = await place.now() + timedelta(seconds=6)
        account = await tenant(place, "Stream", count, due, apart)
        await place.settle()
        if await place.now() > due:
            raise Problem("Seeding took too long for people to be due afterwards.")
        await wait_until(place, due + timedelta(seconds=seconds))
        await drained(place, account)
        late, early = await lateness(place, account, due, apart)
    if len(late) != count:
        raise Problem(f"{len(late)} of {count} people were moved.")
    return {
        "late_p99_s": round(percentile(late, 0.99), 2),
        "early": early,
        "late": {
            "p50_s": round(percentile(late, 0.5), 2),
            "p90_s": round(percentile(late, 0.9), 2),
            "longest_s": round(max(late), 2),
        },
    }
