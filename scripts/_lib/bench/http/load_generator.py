"""Sends requests over kept connections and measures the answers: HTTP/1.1 on asyncio, parsed by httptools.

`send_for` keeps a number of connections busy for some seconds, `send_once` sends one request. Both refuse an
answer with another status than expected, so that no error counts as a fast request.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

import httptools

from scripts._lib.dev.terminal import ScriptError

MAX_SECONDS = 60.0  # that any request may take


@dataclass(frozen=True)
class Request:
    """One request as bytes, and the statuses that its answer may have."""

    data: bytes
    statuses: tuple[int, ...] = (200,)


@dataclass
class Answer:
    """One answer: its status, headers (names in lower case), body as sent, and all bytes on the wire."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    wire_bytes: int = 0
    seconds: float = 0.0


@dataclass
class Load:
    """The answers of one run: the seconds that each took, all bytes received, and how long the run was."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    wire_bytes: int = 0
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds


def build_request(
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes = b"",
    statuses: tuple[int, ...] = (200,),
) -> Request:
    """A request to this machine."""
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body:
        lines += [f"Content-Length: {len(body)}"]
    return Request("\r\n".join([*lines, "", ""]).encode() + body, statuses)


class Connection(asyncio.Protocol):
    """One connection. `exchange` sends a request and waits for its answer; the parser calls the `on_…`
    methods."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.answer = Answer()
        self.chunks: list[bytes] = []
        self.waiter: asyncio.Future[Answer] | None = None
        self.transport: asyncio.Transport | None = None

    async def exchange(self, request: Request) -> Answer:
        """Send a request and return its answer. Raises ScriptError for another status than expected."""
        if self.transport is None:
            raise ScriptError("The connection isn't open.")
        self.waiter = asyncio.get_running_loop().create_future()
        self.answer, self.chunks = Answer(), []
        self.parser = httptools.HttpResponseParser(self)
        started = time.perf_counter()
        self.transport.write(request.data)
        async with asyncio.timeout(MAX_SECONDS):
            answer = await self.waiter
        answer.seconds = time.perf_counter() - started
        if answer.status not in request.statuses:
            line = request.data.partition(b"\r\n")[0].decode()
            raise ScriptError(f"{line} was answered with {answer.status}: {answer.body[:300]!r}")
        return answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's isn't a subclass

    def data_received(self, data: bytes) -> None:
        self.answer.wire_bytes += len(data)
        self.parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.waiter and not self.waiter.done():
            self.waiter.set_exception(ScriptError(f"The server closed the connection in an answer: {exc}"))

    def on_header(self, name: bytes, value: bytes) -> None:
        self.answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self.chunks.append(body)

    def on_message_complete(self) -> None:
        self.answer.status = self.parser.get_status_code()
        self.answer.body = b"".join(self.chunks)
        if self.waiter and not self.waiter.done():
            self.waiter.set_result(self.answer)

    def close(self) -> None:
        if self.transport:
            self.transport.close()


async def connect(port: int) -> Connection:
    """A connection to a port of this machine."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


async def send_once(port: int, request: Request) -> Answer:
    """Send one request on a connection of its own."""
    connection = await connect(port)
    try:
        return await connection.exchange(request)
    finally:
        connection.close()


async def send_for(
    port: int, make_request: Callable[[], Request], connections: int, seconds: float, pause: float = 0.0
) -> Load:
    """Keep this many connections busy for so long; each sends its next request when it has its answer, after
    `pause` seconds."""
    load = Load()
    started = time.perf_counter()

    async def keep_busy() -> None:
        connection = await connect(port)
        try:
            while time.perf_counter() - started < seconds:
                answer = await connection.exchange(make_request())
                load.latencies.append(answer.seconds)
                load.statuses[str(answer.status)] += 1
                load.wire_bytes += answer.wire_bytes
                if pause:
                    await asyncio.sleep(pause)
        finally:
            connection.close()

    tasks = [asyncio.create_task(keep_busy()) for _ in range(connections)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    load.seconds = time.perf_counter() - started
    return load
