"""Connections of slow and greedy clients, on a real server with short deadlines."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from app.web.connections import ConnectionLimits, guarded_protocol

SHORT = ConnectionLimits(
    per_client=20, head_seconds=0.6, body_seconds=0.6, body_rate=2000, read_seconds=0.6, read_bytes=1000
)
PATIENCE = 15.0  # for a busy machine; nothing here waits so long by itself
LONG = 30_000_000


async def application(scope: Any, receive: Any, send: Any) -> None:
    """/read reads the body, /long answers a long one, /late answers it later than the head, anything else
    answers without reading."""
    body = b"ok"
    if scope["path"] == "/read":
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            if not message.get("more_body"):
                break
    if scope["path"] == "/long":
        body = b"x" * LONG
    length = str(len(body)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    if scope["path"] == "/late":
        await receive()  # the rest of the request, which the client sends when it has the head
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(limits: ConnectionLimits) -> AsyncIterator[int]:
    config = uvicorn.Config(
        application,
        port=0,
        http=guarded_protocol(limits),
        lifespan="off",
        log_config=None,
        timeout_keep_alive=2,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server.serve([listener]))
        while not server.started:  # noqa: ASYNC110 -- uvicorn offers no event
            await asyncio.sleep(0.01)
        yield listener.getsockname()[1]
        server.should_exit = server.force_exit = True
        await task


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with serving(SHORT) as port:
        yield port


async def drip(port: int, begin: bytes, drop: bytes, pause: float = 0.05) -> bytes:
    """What a client gets that sends `begin` and then drop after drop, until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(begin)

    async def drops() -> None:
        while drop:
            await asyncio.sleep(pause)
            writer.write(drop)

    dripping = asyncio.create_task(drops())
    try:
        async with asyncio.timeout(PATIENCE):
            return await read_all(reader)
    finally:
        dripping.cancel()
        writer.close()


async def read_all(reader: asyncio.StreamReader) -> bytes:
    received = b""
    try:
        while chunk := await reader.read(65_536):
            received += chunk
    except ConnectionError:
        pass
    return received


HEAD = b"POST %s HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize(
    ("begin", "drop", "answer"),
    [
        (b"GET / HTTP/1.1\r\n", b"a: b\r\n", b"408"),
        (b"", b"\r\n", b"408"),
        (b"GET /", b"x", b"408"),
        (HEAD % b"/read" + b"content-length: 5000000\r\n\r\n", b"x", b"408"),
        (HEAD % b"/read" + b"transfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n", b"408"),
        (HEAD % b"/" + b"content-length: 5000000\r\n\r\n", b"x", b"200"),
        (HEAD % b"/" + b"transfer-encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4096 + b"\r\n", b"200"),
        (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"", b"200"),
        (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"\r\n", b"200"),
    ],
    ids=[
        "slow headers", "empty lines", "slow line", "slow body", "slow chunks", "slow unread body",
        "endless unread body", "idle", "empty lines after an answer",
    ],
)  # fmt: skip
async def test_slow_client_is_disconnected(port: int, begin: bytes, drop: bytes, answer: bytes) -> None:
    received = await drip(port, begin, drop)
    assert received.startswith(b"HTTP/1.1 " + answer), received[:100]
    assert received.count(b"HTTP/1.1") == 1


async def test_unused_connection_is_closed_without_a_response(port: int) -> None:
    """It was opened in advance: a client that sends its request right now would take a 408 as its answer."""
    assert await drip(port, b"", b"") == b""


async def test_body_above_the_minimum_speed_is_read_completely(port: int) -> None:
    """Four times the deadline, at more than the lowest speed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD % b"/read" + b"connection: close\r\ncontent-length: 48000\r\n\r\n")
    for _ in range(24):
        await asyncio.sleep(0.1)
        writer.write(b"x" * 2000)
    received = await read_all(reader)
    writer.close()
    assert received.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\na: " + b"x" * 70_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 300 + b"\r\n",
        b"GET / HTTP/1.1\r\na: " + b"x" * 400_000,
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 100,
    ],
    ids=["line", "value", "many", "endless", "pipelined"],
)
async def test_a_head_that_is_too_large_is_refused(port: int, head: bytes) -> None:
    assert b"HTTP/1.1 400" in await drip(port, head, b"")


async def test_client_that_does_not_read_is_disconnected(port: int) -> None:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", port))
        await loop.sock_sendall(client, b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n")
        await asyncio.sleep(4 * SHORT.read_seconds)
        received = 0
        async with asyncio.timeout(PATIENCE):
            try:
                while chunk := await loop.sock_recv(client, 1 << 20):
                    received += len(chunk)
            except ConnectionError:
                pass
    assert received < LONG


async def test_client_that_reads_steadily_gets_the_whole_response(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /long HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    received = 0
    while chunk := await reader.read(1 << 20):
        received += len(chunk)
        await asyncio.sleep(0.02)
    writer.close()
    assert received > LONG


async def test_the_head_of_an_answer_does_not_wait_for_a_late_body(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /late HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        writer.write(b"x")
        assert await reader.readexactly(2) == b"ok"
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"\r\n\r\nok")
    writer.close()


async def test_a_client_that_asks_may_send_its_body(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"x")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 OK")
    writer.close()


async def test_connections_per_client_are_limited(port: int) -> None:
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(SHORT.per_client)]
    refused = await drip(port, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"")
    other = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
    other[1].write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    line = await other[0].readline()
    for _, writer in [*held, other]:
        writer.close()
    await asyncio.sleep(0.1)
    again = await drip(port, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", b"")
    assert refused[:12] in (b"", b"HTTP/1.1 503"), "a reset may overtake the answer"
    assert (line[:12], again[:12]) == (b"HTTP/1.1 200", b"HTTP/1.1 200")


async def test_behind_a_proxy_connections_are_not_counted() -> None:
    async with serving(ConnectionLimits(per_client=0)) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(150)]
        received = await drip(port, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", b"")
        for _, writer in held:
            writer.close()
    assert received.startswith(b"HTTP/1.1 200")
