"""What the other side of a webhook may do to us: its answers, its bad manners, and what that costs others."""

import asyncio
import ssl
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from statistics import median
from typing import TypeAlias
from uuid import UUID

import pytest
from redis.asyncio import Redis

from app.engine.core.steps import Webhook
from app.engine.core.triggers import ContactCreated
from app.engine.effects.dispatcher import MAX_PER_DESTINATION, update_after
from app.integrations import http as egress
from app.integrations.http import OutboundHttpClient
from app.ports import Refused, Sent
from app.runtime import Runtime
from jobs.executors import InlineExecutor
from jobs.settings import SENDER_FACTOR
from jobs.turns import all_turns, match_and_advance
from tests.support.fakes import Outside, TestClock
from tests.support.http_server import answering, call, listener
from tests.support.scenario import Stage
from tests.support.worker_process import worker_here
from tests.support.world import World

Bell: TypeAlias = Callable[[UUID], Awaitable[None]]  # says that an account has something to send
CALLS = 9  # whose median is compared
SOON = "Retry-After: 120\r\n"
DAY = 86_400.0
# Answer, header, and then: how the ledger ends, and the least and the most seconds until the next try.
ANSWERS: list[tuple[str, str, str, float, float]] = [
    ("200 OK", "", "sent", 0, 0),
    ("202 Accepted", "", "sent", 0, 0),
    ("204 Nothing", "", "sent", 0, 0),
    ("301 There", "Location: http://127.0.0.1:1/\r\n", "failed_permanent", 0, 0),
    ("307 There", "Location: http://127.0.0.1:1/\r\n", "failed_permanent", 0, 0),
    ("400 Bad", "", "failed_permanent", 0, 0),
    ("401 Who", "", "failed_permanent", 0, 0),
    ("403 No", SOON, "failed_permanent", 0, 0),
    ("404 Not here", "", "failed_permanent", 0, 0),
    ("408 Slow", "", "retry", 15, 19),
    ("409 Conflict", "", "failed_permanent", 0, 0),
    ("410 Gone", SOON, "failed_permanent", 0, 0),
    ("422 No", "", "failed_permanent", 0, 0),
    ("425 Early", "", "retry", 15, 19),
    ("429 Many", "", "retry", 15, 19),
    ("429 Many", SOON, "retry", 120, 151),
    ("429 Many", "date", "retry", 280, 376),
    ("429 Many", "Retry-After: 9999999\r\n", "retry", DAY, DAY * 1.26),
    ("500 Oh", "", "retry", 15, 19),
    ("502 Oh", "", "retry", 15, 19),
    ("503 Oh", SOON, "retry", 120, 151),
    ("503 Oh", "Retry-After: soon\r\n", "retry", 15, 19),
    ("504 Oh", "", "retry", 15, 19),
]


@pytest.mark.parametrize(("status", "header", "then", "least", "most"), ANSWERS)
async def test_each_response_has_its_outcome(
    status: str, header: str, then: str, least: float, most: float
) -> None:
    if header == "date":
        header = f"Retry-After: {format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)}\r\n"
    received: list[bytes] = []
    async with listener(answering(status, received, headers=header, body=b"well")) as port:
        outcome = await OutboundHttpClient(allow_loopback=True).call(call(f"http://127.0.0.1:{port}/"))
    end = update_after(outcome, 1, "resend")
    assert end.status == then
    assert least <= end.retry_seconds <= most
    assert len(received) == 1
    if then != "sent":
        assert isinstance(outcome, Refused)
        assert outcome.error_class == f"http_{status[:3]}"
        assert status[:3] in outcome.error
    if status.startswith("410"):
        assert "no longer exists" in outcome.error  # type: ignore[union-attr]  # it is a refusal, see above


class Bad:
    """A server of bad manners, one for each path."""

    def __init__(self) -> None:
        self.calls = 0
        self.open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls += 1
        self.open += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                head = await reader.readuntil(b"\r\n\r\n")
                mode = head.split()[1].decode().strip("/")
                await getattr(self, mode)(reader, writer)
        finally:
            self.open -= 1
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def hangs(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def hangs_after_the_head(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal")
        await reader.read()

    async def drips_the_head(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 1000:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)

    async def drips_the_body(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async def floods(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x" * 100_000)
            await writer.drain()

    async def floods_the_head(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-A: ")
        for _ in range(1000):
            writer.write(b"x" * 100_000)
            await writer.drain()

    async def resets(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def hangs_up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        return

    async def promises_too_much(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort")

    async def sends_bad_chunks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhm\r\n0\r\n\r\n")

    async def babbles(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"good morning\r\n\r\n")

    async def redirects_to_itself(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 302 There\r\nLocation: /redirects_to_itself\r\nContent-Length: 0\r\n\r\n")

    async def sends_a_bomb(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Said to be packed, as 100 MB of nothing are: it is not unpacked."""
        packed = b"\x1f\x8b\x08" + b"\x00" * 1000
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
        writer.write(head.encode() + packed)


@asynccontextmanager
async def bad() -> AsyncIterator[tuple[Bad, str]]:
    server = Bad()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=2**20)
    try:
        yield server, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()


MODES = {
    "hangs": "retry", "hangs_after_the_head": "retry", "drips_the_head": "retry", "drips_the_body": "retry",
    "floods": "sent", "floods_the_head": "retry", "resets": "retry", "hangs_up": "retry",
    "promises_too_much": "retry", "sends_bad_chunks": "retry", "babbles": "retry",
    "redirects_to_itself": "failed_permanent", "sends_a_bomb": "sent",
}  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
async def test_hostile_servers_end_within_the_timeout(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress, "TOTAL_SECONDS", 0.8)
    async with bad() as (server, base):
        began = time.monotonic()
        outcome = await OutboundHttpClient(allow_loopback=True).call(call(f"{base}/{mode}"))
        assert time.monotonic() - began < 0.8 + 1.5
        assert server.calls == 1
        for _ in range(100):
            if not server.open:
                break
            await asyncio.sleep(0.02)
        assert server.open == 0, "the connection is let go"
    assert update_after(outcome, 1, "resend").status == MODES[mode]
    answer = outcome.detail["answer"] if isinstance(outcome, Sent) else outcome.error
    assert len(str(answer)) <= egress.MOST_KEPT


async def test_stalled_tls_handshake_ends_within_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress, "CONNECT_SECONDS", 0.5)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with listener(serve) as port:
        began = time.monotonic()
        outcome = await OutboundHttpClient(allow_loopback=True).call(call(f"https://127.0.0.1:{port}/"))
        assert time.monotonic() - began < 2
    assert isinstance(outcome, Refused), "nothing had left"
    assert not outcome.permanent


def test_limits_are_the_documented_ones() -> None:
    assert (egress.CONNECT_SECONDS, egress.TOTAL_SECONDS, egress.MOST_BODY) == (3.0, 10.0, 100_000)
    assert ssl.create_default_context().verify_mode is ssl.CERT_REQUIRED


async def test_memory_stays_flat_while_it_is_flooded() -> None:
    async with bad() as (_, base):
        caller = OutboundHttpClient(allow_loopback=True)
        await caller.call(call(f"{base}/floods"))
        tracemalloc.start()
        try:
            await asyncio.gather(*(caller.call(call(f"{base}/floods")) for _ in range(8)))
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most < 40_000_000, "eight bodies of 100 MB"


@asynccontextmanager
async def sending_inline(runtime: Runtime) -> AsyncIterator[Bell]:
    """Turns that send, from the queue of this process."""
    turns = all_turns(runtime)
    queue = InlineExecutor(turns).queues["send"]
    serving = [asyncio.create_task(queue.serve()) for _ in range(SENDER_FACTOR)]

    async def ring(account: UUID) -> None:
        queue.add([account])

    try:
        yield ring
    finally:
        turns["send"].stopping = True
        await turns["send"].idle.wait()
        for task in serving:
            task.cancel()


@asynccontextmanager
async def sending_by_saq(runtime: Runtime) -> AsyncIterator[Bell]:
    """A worker with all its tasks, which sends by SAQ jobs alone."""
    async with worker_here(runtime) as worker:

        async def ring(account: UUID) -> None:
            assert await runtime.enqueue("send", account)

        yield ring
        counts = worker.turns["send"].counts
    assert counts["saq"] >= 2 * CALLS
    assert counts["sweep"] == 0


@pytest.mark.parametrize("sending", [sending_inline, sending_by_saq])
async def test_a_hanging_server_delays_no_other_account(
    sending: Callable[[Runtime], AbstractAsyncContextManager[Bell]],
    world: World,
    clock: TestClock,
    outside: Outside,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hundred calls of one account hang; another account's calls go out as soon as they did before."""
    monkeypatch.setattr(egress, "TOTAL_SECONDS", 3.0)
    monkeypatch.setattr("jobs.worker.SWEEP_SECONDS", 60)  # after the first one, so that nothing else rings
    async with bad() as (server, base), listener(answering("200 OK", [])) as port:
        runtime: Runtime = replace(world.runtime, caller=OutboundHttpClient(allow_loopback=True))
        slow_stage = Stage(world, await world.account(), clock, outside)
        quick_stage = Stage(world, await world.account(), clock, outside)
        async with sending(runtime) as ring:

            async def usual() -> float:
                return median([await lateness(ring, quick_stage) for _ in range(CALLS)])

            await enroll(quick_stage, f"http://127.0.0.1:{port}/", 0)
            before = await usual()
            await enroll(slow_stage, f"{base}/hangs", 100)
            for _ in range(5):
                await ring(slow_stage.account)
                await asyncio.sleep(0.1)
            assert 0 < server.open <= MAX_PER_DESTINATION
            beside = await usual()
            assert server.open, "those of the other still hang"
            assert beside <= max(before * 1.1, before + 0.05), f"{beside:.3f} s, and {before:.3f} s before"


async def lateness(ring: Bell, stage: Stage) -> float:
    """Seconds from the bell until one more call of this account has gone out."""
    sent = "select count(*) as n from effects where account_id = $1 and status = 'sent'"
    (was,) = await stage.sql(sent, stage.account)
    await come(stage, 1)
    began = time.monotonic()
    await ring(stage.account)
    while (await stage.sql(sent, stage.account))[0]["n"] == was["n"]:
        assert time.monotonic() - began < 2.5, "it waits for the account that hangs"
        await asyncio.sleep(0.005)
    return time.monotonic() - began


async def enroll(stage: Stage, url: str, count: int) -> None:
    await stage.workflow([Webhook(url=url)], ContactCreated(key="t1"))
    await come(stage, count)


async def come(stage: Stage, count: int) -> None:
    for person in await stage.contacts(count):
        await stage.emit("contact.created", person)
    while await match_and_advance(stage.runtime, stage.account):
        pass
