"""Counts what one request asks PostgreSQL: a proxy between the web process and the server reads the protocol.

`running_proxy` and `count_statements` are the entry points. A statement is a `Query` or an `Execute` message,
so BEGIN, the statement that binds the account, and COMMIT or ROLLBACK count. A round trip is a `Query` or a
`Sync` message.
"""

import asyncio
import statistics
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Thread

from scripts._lib.bench.http.load_generator import Request, connect

ENCRYPTION_REQUESTS = {
    80877103,
    80877104,
}  # SSL, GSSAPI: answered with one byte, then the start-up message follows
READ_BYTES = 65536
WARM_UP = 5  # requests that prepare statements and fill caches


@dataclass
class Counts:
    """Messages of all connections so far."""

    statements: int = 0
    round_trips: int = 0


class FrontendMessages:
    """The messages that a client sends on one connection, counted as they arrive in pieces."""

    def __init__(self, counts: Counts) -> None:
        self.counts = counts
        self.buffer = bytearray()
        self.has_started = False

    def feed(self, data: bytes) -> None:
        """Count the messages that are complete."""
        self.buffer += data
        while (size := self.next_size()) and len(self.buffer) >= size:
            self.count(bytes(self.buffer[: min(size, 8)]))
            del self.buffer[:size]

    def next_size(self) -> int:
        """The size of the next message with its type; 0 when its head hasn't arrived. The first has no
        type."""
        start = 1 if self.has_started else 0
        if len(self.buffer) < start + 4:
            return 0
        length: int = struct.unpack_from("!I", self.buffer, start)[0]
        return start + length

    def count(self, head: bytes) -> None:
        """Count one message by its first bytes."""
        if not self.has_started:
            self.has_started = struct.unpack_from("!I", head, 4)[0] not in ENCRYPTION_REQUESTS
            return
        kind = head[:1]
        self.counts.statements += kind in b"QE"
        self.counts.round_trips += kind in b"QS"


@contextmanager
def running_proxy(port: int) -> Iterator[tuple[int, Counts]]:
    """A proxy for the PostgreSQL on this port: its own port, and what was counted so far. It runs in a
    thread, so that it serves while this one waits for the web server to start."""
    counts = Counts()
    started: Future[tuple[asyncio.Task[None], int]] = Future()
    thread = Thread(target=lambda: asyncio.run(serve_until_canceled(port, counts, started)))
    thread.start()
    task, own_port = started.result(timeout=10)
    try:
        yield own_port, counts
    finally:
        task.get_loop().call_soon_threadsafe(task.cancel)
        thread.join()


async def serve_until_canceled(
    port: int, counts: Counts, started: Future[tuple[asyncio.Task[None], int]]
) -> None:
    """Serve, and say in `started` which task to cancel and on which port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(
                forward(reader, server_writer, FrontendMessages(counts)),
                forward(server_reader, writer, None),
            )

    server = await asyncio.start_server(serve, "127.0.0.1")
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("The proxy must run in a task.")
    started.set_result((task, server.sockets[0].getsockname()[1]))
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    server.close()


async def forward(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, messages: FrontendMessages | None
) -> None:
    """Pass on what arrives until the connection ends."""
    try:
        while data := await reader.read(READ_BYTES):
            if messages:
                messages.feed(data)
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


async def count_statements(
    port: int, make_request: Callable[[], Request], counts: Counts, requests: int
) -> dict[str, float]:
    """The median of the statements and round trips of one request, sent one after the other; what the server
    asks only now and then shows in `most`."""
    connection = await connect(port)
    statements, round_trips = list[int](), list[int]()
    try:
        for number in range(WARM_UP + requests):
            before = Counts(counts.statements, counts.round_trips)
            await connection.exchange(make_request())
            await asyncio.sleep(0.01)  # the rollback may come after the answer
            if number >= WARM_UP:
                statements.append(counts.statements - before.statements)
                round_trips.append(counts.round_trips - before.round_trips)
    finally:
        connection.close()
    return {
        "statements": statistics.median(statements),
        "most": max(statements),
        "round_trips": statistics.median(round_trips),
    }
