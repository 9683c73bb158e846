"""What an account of a million contacts costs others, and what its builder costs.

`measure_other_account` lists the contacts of a small account, as JSON and as a page, while clients search the
large one. `measure_builder_counts` reads the counts that an open builder polls, of a workflow with a million
enrollments.
"""

import asyncio
import itertools
from typing import Any

from scripts._lib.bench.app_processes import percentile
from scripts._lib.bench.http.load_generator import Load, Request, send_for
from scripts._lib.bench.http.measured_run import LIST, MeasuredRun

SEARCHERS = 16
PAUSE = 0.02
POLL_SECONDS = 2.1
BUSY = (429, 503)
# Two words, an email address, a phone number, and a text that no contact has; each search has another number.
SEARCHES = ("maria+northwind+{}", "chen{}@contoso", "4155550{:03}", "unknown{}")


async def measure_other_account(run: MeasuredRun) -> dict[str, Any]:
    """The p95 of the small account's lists before and during the searches of the large account."""
    large = await run.large_account()
    searcher = run.site.signed_in_as(large)
    numbers = itertools.count()
    targets = itertools.cycle((run.site.json(LIST), run.site.page(LIST)))

    def search() -> Request:
        number = next(numbers)
        query = SEARCHES[number % len(SEARCHES)].format(number % 1000)
        return searcher.json(f"{LIST}?q={query}", statuses=(200, *BUSY))

    async def lists() -> Load:
        return await send_for(run.site.port, lambda: next(targets), 1, run.sizes.search_seconds, PAUSE)

    alone = await lists()
    searching = asyncio.create_task(send_for(run.site.port, search, SEARCHERS, run.sizes.search_seconds + 1))
    await asyncio.sleep(0.5)
    beside = await lists()
    searches = await searching
    return {
        "other_account_p95_ms": milliseconds(beside, 0.95),
        "other_account": {
            "p50_ms": milliseconds(beside, 0.5),
            "longest_ms": milliseconds(beside, 1),
            "p95_ms_before": milliseconds(alone, 0.95),
            "lists": len(beside.latencies),
            "searches": dict(searches.statuses),
            "search_p95_ms": milliseconds(searches, 0.95),
        },
    }


async def measure_builder_counts(run: MeasuredRun) -> dict[str, Any]:
    """The p95 of the builder's counts, read as often as an open builder does it.

    The web process shares a result until it is two seconds old, or longer when it took long to compute: the
    first request computes it in any case, and what it takes counts. Another workflow warms the process up."""
    large = await run.large_account()
    others = run.site.json(f"/workflows/{run.seeded.workflow}/counts")
    await send_for(run.site.port, lambda: others, 1, 1.0)
    request = run.site.signed_in_as(large).json(f"/workflows/{large.workflow}/counts")
    load = await send_for(run.site.port, lambda: request, 1, POLL_SECONDS * run.sizes.polls, POLL_SECONDS)
    return {
        "builder_counts_p95_ms": milliseconds(load, 0.95),
        "builder_counts": {"p50_ms": milliseconds(load, 0.5), "requests": len(load.latencies)},
    }


def milliseconds(load: Load, share: float) -> float:
    """A percentile of the answers' times."""
    return round(percentile(load.latencies, share) * 1000, 1)
