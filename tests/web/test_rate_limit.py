"""The rate limit on a real Valkey: exact, shared by processes, no burden when Valkey is gone or frozen."""

import asyncio
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture, ReturnLogger

from app.web import rate_limit
from app.web.rate_limit import Limiter, RedisBreaker, open_redis
from scripts._lib.dev.valkey import Valkey
from tests.support.web_kit import Kit

HOUR = 3600.0


@pytest.fixture
def log_capture(monkeypatch: pytest.MonkeyPatch) -> LogCapture:
    """What the limiter logs, whatever level the app of other tests was set to."""
    capture = LogCapture()
    logger = structlog.wrap_logger(
        ReturnLogger(), processors=[capture], wrapper_class=structlog.make_filtering_bound_logger(0)
    )
    monkeypatch.setattr("app.web.rate_limit.log", logger)
    return capture


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[Any]:
    client = open_redis(url)
    try:
        yield client
    finally:
        await client.aclose()


def burst(url: str, name: str, calls: int, answers: Any) -> None:
    """One process of several: how many of its calls at once were allowed. It waits longer for Redis than the
    program does: on a busy machine each would otherwise fall back and count by itself."""
    rate_limit.PATIENCE_SECONDS = 30.0

    async def run() -> int:
        async with client_of(url) as client:
            limiter = Limiter(client, name, 100, HOUR)
            one_by_one = asyncio.Semaphore(8)

            async def call() -> bool:
                async with one_by_one:
                    return (await limiter.hit("acme")).allowed

            await client.ping()
            return sum(await asyncio.gather(*(call() for _ in range(calls))))

    answers.put(asyncio.run(run()))


async def test_limit_is_exact_across_processes(valkey: Valkey) -> None:
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    processes = [context.Process(target=burst, args=(valkey.url(), "many", 90, answers)) for _ in range(3)]
    for process in processes:
        process.start()
    allowed = [await asyncio.to_thread(answers.get, timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sum(allowed) == 100


async def test_accounts_do_not_count_for_each_other(valkey: Valkey) -> None:
    async with client_of(valkey.url()) as client:
        limiter = Limiter(client, "apart", 3, HOUR)
        assert [(await limiter.hit("a")).allowed for _ in range(4)] == [True, True, True, False]
        assert (await limiter.hit("b")).allowed


async def test_limit_recovers_with_time(valkey: Valkey) -> None:
    async with client_of(valkey.url()) as client:
        for limiter in (Limiter(client, "back", 2, 0.4), Limiter(None, "back", 2, 0.4)):
            assert [(await limiter.hit("a")).allowed for _ in range(3)] == [True, True, False]
            await asyncio.sleep(0.25)
            assert [(await limiter.hit("a")).allowed for _ in range(2)] == [True, False]


async def test_headers_show_the_remaining_requests(valkey: Valkey, tmp_path: Path) -> None:
    async with client_of(valkey.url()) as redis:
        kit = Kit(tmp_path, Limiter(redis, "account", 3, HOUR))
        async with kit.client(**kit.bearer()) as client:
            answers = [await client.get("/things/new") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == ["r=2", "r=1", "r=0", "r=0"]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"account";q=3;w=3600'}
    assert "retry-after" not in answers[0].headers
    assert 1 <= int(answers[3].headers["retry-after"]) <= 1200
    assert answers[3].json()["code"] == "too_many_requests"


async def test_without_redis_each_process_limits_and_logs_once(log_capture: LogCapture) -> None:
    with socket.socket() as closed_port:
        closed_port.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{closed_port.getsockname()[1]}/0"
        async with client_of(url) as client:
            limiter = Limiter(client, "gone", 5, HOUR)
            allowed = [(await limiter.hit("a")).allowed for _ in range(8)]
    assert allowed == [True] * 5 + [False] * 3
    assert [entry["event"] for entry in log_capture.entries] == [
        "redis does not answer; deciding in this process"
    ]


async def test_frozen_redis_costs_one_short_wait() -> None:
    with Valkey.temporary() as server:
        assert server.process is not None
        async with client_of(server.url()) as client:
            limiter = Limiter(client, "frozen", 1000, HOUR)
            await limiter.hit("a")
            os.kill(server.process.pid, signal.SIGSTOP)
            try:
                first = time.perf_counter()
                await limiter.hit("a")
                rest = time.perf_counter()
                for _ in range(50):
                    await limiter.hit("a")
                end = time.perf_counter()
            finally:
                os.kill(server.process.pid, signal.SIGCONT)
    assert rest - first < 0.25, "a tenth of a second, and some for a busy machine"
    assert end - rest < 0.1


def test_redis_breaker_retries_and_logs_twice_a_minute(log_capture: LogCapture) -> None:
    now = 0.0
    breaker = RedisBreaker(lambda: now)
    for second in range(65):
        now = float(second)
        if not breaker.open:
            breaker.record_failure("x", OSError())
    assert len(log_capture.entries) == 3
    assert breaker.open
    now += 2
    assert not breaker.open
