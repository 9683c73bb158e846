"""The rate limit on a real Valkey: exact, shared by processes, no burden when Valkey is gone or frozen."""

import asyncio
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import structlog
import uvloop
from prometheus_client import REGISTRY
from structlog.testing import LogCapture, ReturnLogger

from app.settings import Settings
from app.web import rate_limit
from app.web.rate_limit import Charges, LimitDecision, Limiter, RedisBreaker, hit_all, open_redis
from app.web.request_limits import request_limits
from scripts._lib.dev.valkey import Valkey
from tests.support.web_kit import BASE, HTML, JSON, PARTIAL, Kit, limits_of
from tests.support.world import World

HOUR = 3600.0
PATIENCE = 30.0


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


async def test_a_clock_that_was_set_back_keeps_nobody_out(valkey: Valkey) -> None:
    async with client_of(valkey.url()) as client:
        limiter = Limiter(client, "back in time", 2, 60)
        await client.set("limit:back in time:a", f"{time.time() + HOUR:.6f}", px=7_200_000)
        decisions = [await limiter.hit("a") for _ in range(3)]
    assert [decision.allowed for decision in decisions] == [True, True, False]
    assert decisions[-1].retry_after <= 60


async def test_headers_show_the_remaining_requests(valkey: Valkey, tmp_path: Path) -> None:
    async with client_of(valkey.url()) as redis:
        kit = Kit(tmp_path, limits_of(3, redis=redis, window=HOUR))
        async with kit.client(**as_person(kit)) as client:
            answers = [await client.get("/things/new") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == ["r=2", "r=1", "r=0", "r=0"]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"account";q=3;w=3600'}
    assert "retry-after" not in answers[0].headers
    assert 1 <= int(answers[3].headers["retry-after"]) <= 1200
    assert answers[3].json()["code"] == "too_many_requests"


def as_person(kit: Kit) -> dict[str, str]:
    return {"cookie": f"{kit.cookies.token}={kit.token()}"}


@pytest.mark.parametrize("shared", [True, False], ids=["redis", "process"])
async def test_scripts_leave_a_part_of_the_limit_to_people(
    valkey: Valkey, tmp_path: Path, *, shared: bool
) -> None:
    async with client_of(valkey.url()) as redis:
        limits = limits_of(5, scripts=3, token=2, redis=redis if shared else None, window=HOUR)
        kit = Kit(tmp_path, limits)
        refused = REGISTRY.get_sample_value("switchyard_rate_limited_total", {"limit": "token"}) or 0
        async with kit.client() as client:

            async def call(headers: dict[str, str]) -> httpx.Response:
                return await client.get("/things/new", headers=headers)

            owner, viewer = kit.bearer(kit.people.owner), kit.bearer(kit.people.viewer)
            first = [await call(owner) for _ in range(3)]
            second = [await call(viewer) for _ in range(2)]
            people = [await call(as_person(kit)) for _ in range(3)]
    assert [answer.status_code for answer in first] == [200, 200, 429], "a token has a limit of its own"
    assert [answer.status_code for answer in second] == [200, 429], "and all of them together"
    assert [answer.status_code for answer in people] == [200, 200, 429], "refused calls count for nothing"
    assert first[2].json()["detail"].startswith("This token can make 2 requests in 3600 seconds.")
    assert second[1].json()["detail"].startswith("All scripts of this account together can make 3 requests")
    assert people[2].json()["detail"].startswith("This account can make 5 requests")
    assert first[0].headers["ratelimit-policy"] == (
        '"token";q=2;w=3600, "scripts";q=3;w=3600, "account";q=5;w=3600'
    )
    left = [part.strip().split(";")[:2] for part in second[0].headers["ratelimit"].split(",")]
    assert left == [['"token"', "r=1"], ['"scripts"', "r=0"], ['"account"', "r=2"]]
    assert people[0].headers["ratelimit-policy"] == '"account";q=5;w=3600'
    assert people[0].headers["ratelimit"].startswith('"account";r=1;')
    assert 1 <= int(first[2].headers["retry-after"]) <= 1800
    assert REGISTRY.get_sample_value("switchyard_rate_limited_total", {"limit": "token"}) == refused + 1


def connections_in_use(world: World) -> int:
    pool: Any = world.app.state.runtime.engine.pool
    return int(pool.checkedout())


async def bearer_of_access_token(client: httpx.AsyncClient) -> dict[str, str]:
    token = (await client.post("/tokens", json={"name": "x", "scopes": ["view"]})).json()["token"]
    return {"authorization": f"Bearer {token}"}


async def test_calls_that_are_counted_hold_no_connection(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await world.person()
    counted: list[Charges] = []
    go_on = asyncio.Event()

    async def count_slowly(charges: Charges) -> list[LimitDecision]:
        counted.append(charges)
        await go_on.wait()
        return await hit_all(charges)

    async with world.script(owner) as client, world.browser(owner) as browser:
        by_token = await bearer_of_access_token(client)
        assert (await client.get("/tags", headers=by_token)).status_code == 200, "it is known from now on"
        monkeypatch.setattr("app.web.request_limits.hit_all", count_slowly)
        callers: list[tuple[httpx.AsyncClient, dict[str, str]]]
        callers = [(client, {}), (browser, {}), (client, by_token)]
        calls = [
            asyncio.create_task(caller.get("/tags", headers=headers))
            for caller, headers in callers
            for _ in range(2)
        ]
        async with asyncio.timeout(PATIENCE):
            while len(counted) < len(calls) and not connections_in_use(world):
                await asyncio.wait(calls, timeout=0.01)
        assert connections_in_use(world) == 0
        go_on.set()
        assert [(await call).status_code for call in calls] == [200] * len(calls)
    assert len(counted) == len(calls), "each counts once"


async def test_a_call_over_the_limit_waits_for_no_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = await world.person()

    async def refuse(charges: Charges) -> list[LimitDecision]:
        return [LimitDecision(False, 0, 1, 1) for _ in charges]

    queue = world.app.state.places.connections
    async with world.script(owner) as client, world.browser(owner) as browser, AsyncExitStack() as held:
        new_token, used_token = [await bearer_of_access_token(client) for _ in range(2)]
        assert (await client.get("/tags", headers=used_token)).status_code == 200
        monkeypatch.setattr("app.web.request_limits.hit_all", refuse)
        monkeypatch.setattr(queue, "wait_seconds", 0.1)
        for _ in range(queue.places):
            await held.enter_async_context(queue.place(owner.account_id))
        answers = [await client.get("/tags", headers=headers) for headers in ({}, used_token, new_token)]
        answers += [await browser.get("/tags", headers=shape) for shape in (HTML, PARTIAL, JSON)]
        assert connections_in_use(world) == 0
    assert [answer.status_code for answer in answers] == [429] * 6
    assert all("requests in 60 seconds. Try again in 1 s." in answer.text for answer in answers)
    assert {answer.headers["retry-after"] for answer in answers} == {"1"}


async def test_a_refused_call_waits_for_no_body(tmp_path: Path) -> None:
    kit = Kit(tmp_path, limits_of(1, window=HOUR))

    async def never() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    small = {"content-type": "application/json", "content-length": "20"}
    async with kit.client(**kit.bearer()) as client, asyncio.timeout(PATIENCE):
        assert (await client.get("/things/new")).status_code == 200
        assert (await client.post("/things", content=never(), headers=small)).status_code == 429


async def test_who_is_no_longer_signed_in_uses_up_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await world.person()
    counted: list[Charges] = []

    async def count(charges: Charges) -> list[LimitDecision]:
        counted.append(charges)
        return await hit_all(charges)

    async def count_of(headers: dict[str, str]) -> tuple[list[int], int]:
        before = len(counted)
        statuses = [(await client.get("/tags", headers=headers)).status_code for _ in range(5)]
        return statuses, len(counted) - before

    async with world.script(owner) as client:
        by_token = await bearer_of_access_token(client)
        monkeypatch.setattr("app.web.request_limits.hit_all", count)
        for table, headers in (("access_tokens", by_token), ("sessions", {})):
            end = f"update {table} set revoked_at = now() where user_id = $1"  # noqa: S608 -- our names
            assert await count_of(headers) == ([200] * 5, 5)
            await world.sql(end, owner.user_id)
            assert await count_of(headers) == ([401] * 5, 1), "the call that showed it"
            assert await count_of(headers) == ([401] * 5, 0)
            await world.sql(end.replace("now()", "null"), owner.user_id)
            assert await count_of(headers) == ([200] * 5, 5)


async def test_a_renewal_that_fails_holds_no_connection(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await world.person()

    def fail(*_: object) -> str:
        raise RuntimeError

    async with world.browser(owner) as browser:
        browser.cookies.delete(world.app.state.cookies.token)
        with monkeypatch.context() as patched:
            patched.setattr(world.app.state.tokens, "issue", fail)
            assert (await browser.get("/tags")).status_code == 500
        assert connections_in_use(world) == 0
        assert (await browser.get("/tags")).status_code == 200


async def test_limits_of_the_settings(tmp_path: Path) -> None:
    for per_token, expected in ((0, 300), (50, 50)):
        settings = Settings(data_dir=tmp_path, rate_limit_per_minute=600, rate_limit_per_token=per_token)
        limits = request_limits(settings, None, RedisBreaker())
        assert (limits.account.limit, limits.scripts.limit, limits.token.limit) == (600, 480, expected)
    least = request_limits(Settings(data_dir=tmp_path, rate_limit_per_minute=1), None, RedisBreaker())
    assert (least.account.limit, least.scripts.limit, least.token.limit) == (1, 1, 1)


async def test_addresses_of_one_ipv6_network_count_as_one_client(world: World) -> None:
    async def sign_in(address: str) -> int:
        transport = httpx.ASGITransport(cast("Any", world.app), client=(address, 50000))
        async with httpx.AsyncClient(transport=transport, base_url=BASE, headers=JSON) as client:
            return (await client.post("/sessions", json={})).status_code

    statuses = [await sign_in(f"2001:db8:1:2::{number:x}") for number in range(61)]
    assert (set(statuses[:60]), statuses[60]) == ({422}, 429)
    assert await sign_in("2001:db8:1:3::1") == 422


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("connected", [True, False])
def test_busy_process_still_takes_the_reply_of_redis(
    valkey: Valkey, loop: Callable[[], asyncio.AbstractEventLoop], *, connected: bool
) -> None:
    """Whatever the call waits for when something else holds the event loop for longer than the patience."""

    async def run() -> list[bool]:
        allowed = []
        for turns in range(8):
            async with client_of(valkey.url()) as client:
                limiter = Limiter(client, "busy", 1000, HOUR)
                if connected:
                    await limiter.hit("a")
                before = REGISTRY.get_sample_value("switchyard_redis_fallback_total", {"part": "busy"})
                call = asyncio.create_task(limiter.hit("a"))
                for _ in range(turns):
                    await asyncio.sleep(0)
                time.sleep(0.3)  # noqa: ASYNC251 -- holds the event loop on purpose
                await call
                after = REGISTRY.get_sample_value("switchyard_redis_fallback_total", {"part": "busy"})
                allowed.append(before == after and not limiter.breaker.open)
        return allowed

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(run()) == [True] * 8


async def test_a_process_that_renders_all_the_time_still_uses_redis(valkey: Valkey) -> None:
    async with client_of(valkey.url()) as client:
        limiter = Limiter(client, "renders", 1000, HOUR)
        finished = asyncio.Event()

        async def render() -> None:
            while not finished.is_set():
                time.sleep(0.03)  # noqa: ASYNC251 -- holds the event loop on purpose
                await asyncio.sleep(0)

        renders = [asyncio.create_task(render()) for _ in range(4)]
        for _ in range(5):
            await limiter.hit("a")
        finished.set()
        await asyncio.gather(*renders)
        assert await client.get("limit:renders:a") is not None
        assert not limiter.breaker.open
    assert REGISTRY.get_sample_value("switchyard_redis_fallback_total", {"part": "renders"}) is None


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
