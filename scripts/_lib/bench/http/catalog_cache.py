"""What the caches of catalogs save: the same reads from the process, from Redis and from the database."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

from app.catalog_cache import CatalogCache
from app.runtime import Runtime, open_runtime
from app.settings import Settings
from app.work import SYSTEM, Work, open_work
from db.queries.name_lookup import read_names
from scripts._lib.bench.testbed import Testbed

READS = 300
CATALOGS: dict[str, Callable[[Work], Awaitable[object]]] = {
    "account": lambda work: work.accounts.own(),
    "fields": lambda work: work.fields.catalog(),
    "tags": lambda work: work.tags.names(),
    "names": lambda work: read_names(work.session),
}


async def compare_sources(testbed: Testbed, account: UUID) -> dict[str, Any]:
    """For each catalog the milliseconds of a read by source: elapsed, and CPU of the reading process."""
    runtime = open_runtime(
        Settings(database_url=testbed.url, redis_url=testbed.valkey.url(), data_dir=testbed.folder)
    )
    caches = {
        "process": CatalogCache(runtime.redis),
        "redis": CatalogCache(runtime.redis, lifetime=0),
        "database": CatalogCache(None, lifetime=0),
    }
    try:
        return {
            name: {
                source: await time_reads(runtime, account, read, cache) for source, cache in caches.items()
            }
            for name, read in CATALOGS.items()
        }
    finally:
        await runtime.close()


async def time_reads(
    runtime: Runtime, account: UUID, read: Callable[[Work], Awaitable[object]], cache: CatalogCache
) -> Sequence[float]:
    """The milliseconds of one read through this cache."""
    async with open_work(runtime, account, SYSTEM) as work:
        work.session.info["catalogs"] = cache
        await read(work)
        started, cpu = time.perf_counter(), time.process_time()
        for _ in range(READS):
            await read(work)
        elapsed = time.perf_counter() - started
        return [round(seconds / READS * 1000, 4) for seconds in (elapsed, time.process_time() - cpu)]
