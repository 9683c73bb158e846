"""The one connection to Redis that all rate limits ask."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import REGISTRY

from app.web import rate_limit
from app.web.rate_limit import LimitDecision, Limiter, SharedCounts, hit_all, open_redis
from scripts._lib.dev.valkey import Valkey

HOUR = 3600.0


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[Any]:
    client = open_redis(url)
    try:
        yield client
    finally:
        await client.aclose()


async def test_calls_at_once_share_a_question_and_count_one_by_one(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions: list[int] = []
    ask = SharedCounts._ask

    async def note(self: SharedCounts, calls: Any) -> list[LimitDecision]:
        questions.append(len(calls))
        return await ask(self, calls)

    monkeypatch.setattr(SharedCounts, "_ask", note)
    monkeypatch.setattr(rate_limit, "MOST_CALLS", 25)
    async with client_of(valkey.url()) as client:
        narrow, wide = Limiter(client, "narrow", 20, HOUR), Limiter(client, "wide", 30, HOUR)
        calls = [hit_all([(narrow, "a"), (wide, "a")]) for _ in range(40)]
        answers = [all(limit.allowed for limit in decisions) for decisions in await asyncio.gather(*calls)]
        assert answers == [True] * 20 + [False] * 20
        assert questions == [25, 15]
        assert [(await wide.hit("a")).allowed for _ in range(11)] == [True] * 10 + [False]


async def test_a_caller_that_gives_up_ends_the_question_for_nobody(valkey: Valkey) -> None:
    async with client_of(valkey.url()) as client:
        limiter = Limiter(client, "given-up", 3, HOUR)
        calls = [asyncio.create_task(limiter.hit("a")) for _ in range(3)]
        await asyncio.sleep(0)
        calls[0].cancel()
        _, *answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(answer, LimitDecision) and answer.allowed for answer in answers)
        assert not (await limiter.hit("a")).allowed, "it counted all the same"


async def test_a_cut_connection_to_redis_is_opened_anew(valkey: Valkey) -> None:
    async with client_of(valkey.url()) as client, client_of(valkey.url()) as other:
        limiter = Limiter(client, "cut", 2, HOUR)
        for allowed in (True, True, False):
            assert (await limiter.hit("a")).allowed is allowed
            assert await other.client_kill_filter(_id=await client.client_id()) == 1
        assert not limiter.breaker.open
    assert REGISTRY.get_sample_value("switchyard_redis_fallback_total", {"part": "cut"}) is None
