"""The caches of catalogs on a real Redis: which entry answers, and what happens without one."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from app import catalog_cache
from app.catalog_cache import CatalogCache
from app.web.metrics import CatalogReadCollector
from db.ids import uuid7
from db.queries.catalogs import Catalog, Family

NO_SESSION = cast("AsyncSession", None)  # `Source.read` reads no database


class CatalogRow(msgspec.Struct, frozen=True):
    id: UUID
    name: str


class RenamedCatalogRow(msgspec.Struct, frozen=True):
    id: UUID
    label: str


class Source:
    """What the database has, and how often it was read."""

    def __init__(self, name: str = "vip") -> None:
        self.rows, self.reads = [CatalogRow(uuid7(), name)], 0

    async def read(self, _session: AsyncSession) -> list[CatalogRow]:
        self.reads += 1
        await asyncio.sleep(0)
        return self.rows


def catalog(source: Source, name: str = "rows") -> Catalog[list[CatalogRow], tuple[str, ...]]:
    families: tuple[Family, ...] = ("tags",)
    return Catalog(
        name, families, list[CatalogRow], source.read, lambda rows: tuple(row.name for row in rows)
    )


def at(moment: list[float]) -> Callable[[], float]:
    return lambda: moment[0]


async def test_a_process_reads_a_version_once_and_another_takes_it_from_redis(redis: Redis) -> None:
    account, source = uuid7(), Source()
    first, second = CatalogCache(redis), CatalogCache(redis)
    for cache in (first, first, second, second):
        assert await cache.get(account, catalog(source), (1,), NO_SESSION) == ("vip",)
    assert source.reads == 1
    assert first.reads == {("rows", "database"): 1, ("rows", "process"): 1}
    assert second.reads == {("rows", "redis"): 1, ("rows", "process"): 1}


async def test_only_an_entry_of_the_very_version_answers(redis: Redis) -> None:
    account, old, new = uuid7(), Source("old"), Source("new")
    first, second = CatalogCache(redis), CatalogCache(redis)
    assert await first.get(account, catalog(old), (5,), NO_SESSION) == ("old",)
    assert await second.get(account, catalog(new), (6,), NO_SESSION) == ("new",)
    assert await first.get(account, catalog(new), (6,), NO_SESSION) == ("new",)
    # After a restore from a backup the versions are lower; a higher one is no better.
    assert await first.get(account, catalog(old), (5,), NO_SESSION) == ("old",)
    assert first.reads["rows", "process"] == 0


async def test_accounts_and_catalogs_are_apart(redis: Redis) -> None:
    ours, theirs, cache = uuid7(), uuid7(), CatalogCache(redis)
    assert await cache.get(ours, catalog(Source("ours")), (1,), NO_SESSION) == ("ours",)
    assert await cache.get(theirs, catalog(Source("theirs")), (1,), NO_SESSION) == ("theirs",)
    assert await cache.get(ours, catalog(Source("other"), "others"), (1,), NO_SESSION) == ("other",)
    another = CatalogCache(redis)
    assert await another.get(theirs, catalog(Source("!")), (1,), NO_SESSION) == ("theirs",)


async def test_misses_at_the_same_time_read_once(redis: Redis) -> None:
    account, source, cache = uuid7(), Source(), CatalogCache(redis)
    answers = await asyncio.gather(
        *(cache.get(account, catalog(source), (1,), NO_SESSION) for _ in range(20))
    )
    assert set(answers) == {("vip",)}
    assert source.reads == 1


async def test_a_reader_that_fails_leaves_it_to_the_next(redis: Redis) -> None:
    account, source, cache = uuid7(), Source(), CatalogCache(redis)

    async def fail(_session: AsyncSession) -> list[CatalogRow]:
        await asyncio.sleep(0)
        raise ConnectionError

    broken = Catalog("rows", catalog(source).families, list[CatalogRow], fail, catalog(source).build)
    answers = await asyncio.gather(
        cache.get(account, broken, (1,), NO_SESSION),
        cache.get(account, catalog(source), (1,), NO_SESSION),
        return_exceptions=True,
    )
    assert isinstance(answers[0], ConnectionError)
    assert answers[1] == ("vip",)


async def test_without_redis_the_process_reads_through(settings: Any) -> None:
    nowhere = Redis.from_url("redis://127.0.0.1:1/0")
    account, source, moment = uuid7(), Source(), [100.0]
    cache = CatalogCache(nowhere, clock=at(moment))
    assert await cache.get(account, catalog(source), (1,), NO_SESSION) == ("vip",)
    assert await cache.get(account, catalog(source), (2,), NO_SESSION) == ("vip",)
    assert source.reads == 2
    assert cache.reads["rows", "redis"] == 0
    await nowhere.aclose()


async def test_a_redis_that_hangs_is_left_alone_for_a_while(redis: Redis) -> None:
    class Hanging(Redis):
        calls = 0

        async def get(self, *_: Any, **__: Any) -> Any:
            self.calls += 1
            await asyncio.sleep(60)

    hanging, moment = Hanging(), [100.0]
    account, source = uuid7(), Source()
    cache = CatalogCache(hanging, clock=at(moment))
    for version in range(5):
        assert await cache.get(account, catalog(source), (version,), NO_SESSION) == ("vip",)
    assert hanging.calls == 1
    moment[0] += catalog_cache.AWAY_SECONDS
    await cache.get(account, catalog(source), (9,), NO_SESSION)
    assert hanging.calls == 2
    await hanging.aclose()


async def test_entries_of_another_program_version_are_not_read(redis: Redis) -> None:
    account, source = uuid7(), Source()
    await CatalogCache(redis).get(account, catalog(source), (1,), NO_SESSION)
    read: list[str] = []

    async def rows(_session: AsyncSession) -> list[RenamedCatalogRow]:
        read.append("database")
        return [RenamedCatalogRow(uuid7(), "new")]

    renamed = Catalog(
        "rows", catalog(source).families, list[RenamedCatalogRow], rows, lambda rows: rows[0].label
    )
    assert await CatalogCache(redis).get(account, renamed, (1,), NO_SESSION) == "new"
    assert read == ["database"]


async def test_what_cannot_be_decoded_is_read_again(redis: Redis) -> None:
    account, source = uuid7(), Source()
    await CatalogCache(redis).get(account, catalog(source), (1,), NO_SESSION)
    [key] = await redis.keys("catalog:*")
    await redis.set(key, b"1:\xc1broken")
    assert await CatalogCache(redis).get(account, catalog(source), (1,), NO_SESSION) == ("vip",)
    assert source.reads == 2
    assert 0 < await redis.ttl(key) <= catalog_cache.SHARED_LIFETIME_SECONDS


async def test_the_keys_of_a_map_that_cannot_be_decoded(redis: Redis) -> None:
    account = uuid7()

    async def read(_session: AsyncSession) -> dict[str, str]:
        return {"a": "b"}

    names: Catalog[dict[str, str], dict[str, str]] = Catalog(
        "names", ("tags",), dict[str, str], read, lambda rows: rows
    )
    await CatalogCache(redis).get(account, names, (1,), NO_SESSION)
    [key] = await redis.keys("catalog:*")
    await redis.set(key, b'1:{"\xff":"a"}')
    assert await CatalogCache(redis).get(account, names, (1,), NO_SESSION) == {"a": "b"}


async def test_a_number_of_any_length_is_kept(redis: Redis) -> None:
    """A condition may compare a text with one, and PostgreSQL stores it."""
    account, number, reads = uuid7(), 10**30, 0

    async def read(_session: AsyncSession) -> list[int]:
        nonlocal reads
        reads += 1
        return [number]

    numbers: Catalog[list[int], list[int]] = Catalog("numbers", ("tags",), list[int], read, lambda rows: rows)
    for cache in (CatalogCache(redis), CatalogCache(redis), CatalogCache(None)):
        assert await cache.get(account, numbers, (1,), NO_SESSION) == [number]
    assert reads == 2


async def test_a_busy_process_still_takes_the_answer_of_redis(redis: Redis) -> None:
    """Whatever the cache waits for when something else holds the event loop for longer than its patience."""
    account, source = uuid7(), Source()
    await CatalogCache(redis).get(account, catalog(source), (1,), NO_SESSION)
    for turns in range(8):
        cache = CatalogCache(redis)
        reading = asyncio.create_task(cache.get(account, catalog(source), (1,), NO_SESSION))
        for _ in range(turns):
            await asyncio.sleep(0)
        time.sleep(2 * catalog_cache.PATIENCE_SECONDS)  # noqa: ASYNC251 -- holds the event loop on purpose
        await reading
        assert cache.reads == {("rows", "redis"): 1}, turns


async def test_an_entry_ends_after_its_lifetime(redis: Redis) -> None:
    account, source, moment = uuid7(), Source(), [100.0]
    cache = CatalogCache(None, lifetime=10, clock=at(moment))
    await cache.get(account, catalog(source), (1,), NO_SESSION)
    moment[0] += 9
    await cache.get(account, catalog(source), (1,), NO_SESSION)
    assert source.reads == 1
    moment[0] += 1
    await cache.get(account, catalog(source), (1,), NO_SESSION)
    assert source.reads == 2


async def test_the_least_recently_used_entry_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_cache, "MOST_ENTRIES", 2)
    accounts, cache = [uuid7() for _ in range(3)], CatalogCache(None)
    sources = [Source() for _ in accounts]

    async def ask(number: int) -> None:
        await cache.get(accounts[number], catalog(sources[number]), (1,), NO_SESSION)

    for number in (0, 1, 0, 2, 0, 1):
        await ask(number)
    assert [source.reads for source in sources] == [1, 2, 1]


async def test_the_entries_of_a_process_have_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_cache, "MOST_BYTES", 3000)
    accounts, cache = [uuid7() for _ in range(3)], CatalogCache(None)
    sources = [Source("x" * 1400) for _ in accounts]
    for _ in range(3):  # a new version replaces the old one and is not added to it
        for version in (1, 2):
            await cache.get(accounts[0], catalog(sources[0]), (version,), NO_SESSION)
    await cache.get(accounts[1], catalog(sources[1]), (1,), NO_SESSION)
    reads = sources[0].reads
    await cache.get(accounts[0], catalog(sources[0]), (2,), NO_SESSION)
    assert sources[0].reads == reads, "two fit"
    await cache.get(accounts[2], catalog(sources[2]), (1,), NO_SESSION)
    await cache.get(accounts[1], catalog(sources[1]), (1,), NO_SESSION)
    assert sources[1].reads == 2, "three do not"


async def test_entries_that_replace_each_other_while_they_are_read_count_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catalog_cache, "MOST_ENTRIES", 1)
    ours, theirs, cache = uuid7(), uuid7(), CatalogCache(None)
    gates = {version: asyncio.Event() for version in (1, 2)}

    async def get_late(version: int) -> None:
        class Late(Source):
            async def read(self, session: AsyncSession) -> list[CatalogRow]:
                await gates[version].wait()
                return await super().read(session)

        await cache.get(ours, catalog(Late()), (version,), NO_SESSION)

    first = asyncio.create_task(get_late(1))
    await asyncio.sleep(0)
    await cache.get(theirs, catalog(Source()), (1,), NO_SESSION)  # drops the entry that is being read
    await cache.get(ours, catalog(Source()), (1,), NO_SESSION)  # another one of ours
    second = asyncio.create_task(get_late(2))
    await asyncio.sleep(0)
    for gate, reading in ((gates[1], first), (gates[2], second)):
        gate.set()
        await reading
    assert cache._size == sum(entry.size for entry in cache._entries.values()) > 0


async def test_the_metric_says_where_a_catalog_was_found(redis: Redis) -> None:
    account, source, cache, metric = uuid7(), Source(), CatalogCache(redis), CatalogReadCollector()
    metric.reads = cache.reads
    for _ in range(3):
        await cache.get(account, catalog(source), (1,), NO_SESSION)
    cache.note_uncached("rows")
    [family] = metric.collect()
    assert {(*sample.labels.values(), sample.value) for sample in family.samples} == {
        ("rows", "database", 1), ("rows", "process", 2), ("rows", "uncached", 1),
    }  # fmt: skip
