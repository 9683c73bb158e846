"""The end of the web server: which connections are still answered, and which are closed."""

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

from app.web.connections import ConnectionLimits, guarded_protocol
from app.web.server import WebServer

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
PATIENCE = 15.0  # for a busy machine; nothing here waits so long by itself
IDLE_SECONDS = 3


class Application:
    """Answers ok, and to /slow only after `release`."""

    def __init__(self) -> None:
        self.state = SimpleNamespace()
        self.release = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await self.release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


class Serving:
    """A running server, and what a test does with it."""

    def __init__(self, server: WebServer, application: Application, port: int) -> None:
        self.server, self.application, self.port = server, application, port

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def end(self) -> None:
        """Tell the server to end, and wait until it listens no more."""
        self.server.should_exit = True
        async with asyncio.timeout(PATIENCE):
            while self.server.servers[0].is_serving():  # noqa: ASYNC110 -- uvicorn offers no event
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.05)


@asynccontextmanager
async def serving(*, keeps_idle: bool = True, drain_seconds: float = 0) -> AsyncIterator[Serving]:
    application = Application()
    config = uvicorn.Config(
        application, port=0, http=guarded_protocol(ConnectionLimits(keeps_idle=keeps_idle)), lifespan="off",
        log_config=None, timeout_keep_alive=IDLE_SECONDS, proxy_headers=False,
    )  # fmt: skip
    server = WebServer(config, drain_seconds)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server.serve([listener]))
        while not server.started:  # noqa: ASYNC110 -- uvicorn offers no event
            await asyncio.sleep(0.01)
        yield Serving(server, application, listener.getsockname()[1])
        server.should_exit = server.force_exit = True
        application.release.set()
        await task


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """The head of an answer; its body (ok) stays unread."""
    async with asyncio.timeout(PATIENCE):
        return await reader.readuntil(b"\r\n\r\n")


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the server closes the connection."""
    async with asyncio.timeout(PATIENCE):
        return await reader.read()


async def test_behind_a_proxy_a_request_on_an_idle_connection_is_still_answered() -> None:
    async with serving() as site:
        reader, writer = await site.connect()
        writer.write(REQUEST)
        assert b"connection: close" not in await read_head(reader)
        assert await reader.readexactly(2) == b"ok"
        unused, unused_writer = await site.connect()
        await site.end()
        writer.write(REQUEST)
        head = await read_head(reader)
        assert head.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in head, "so that the proxy sends no other request on it"
        assert await rest(reader) == b"ok"
        assert await rest(unused) == b"", "closed after the time that a connection may idle"
        with pytest.raises(OSError, match=r"refused|reset|Connect call failed"):
            await site.connect()
        writer.close()
        unused_writer.close()


async def test_without_a_proxy_idle_connections_are_closed_at_once() -> None:
    async with serving(keeps_idle=False) as site:
        reader, writer = await site.connect()
        writer.write(REQUEST)
        await read_head(reader)
        await reader.readexactly(2)
        await site.end()
        async with asyncio.timeout(IDLE_SECONDS / 2):
            assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize("keeps_idle", [True, False])
async def test_the_answer_under_way_is_finished_and_is_the_last(keeps_idle: bool) -> None:
    async with serving(keeps_idle=keeps_idle) as site:
        reader, writer = await site.connect()
        writer.write(REQUEST.replace(b"/ ", b"/slow "))
        await asyncio.sleep(0.1)
        await site.end()
        site.application.release.set()
        assert b"connection: close" in await read_head(reader)
        assert await rest(reader) == b"ok"
        writer.close()


async def test_a_connection_that_the_system_accepted_is_served() -> None:
    """The server has not seen it yet when it stops listening."""
    async with serving() as site:
        client = socket.create_connection(
            ("127.0.0.1", site.port)
        )  # blocks: the server does nothing meanwhile
        client.sendall(REQUEST)
        await site.server._stop_listening()
        client.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=client)
        assert (await read_head(reader)).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_the_server_ends_without_a_free_file_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    def accept(_: socket.socket) -> tuple[socket.socket, object]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async with serving() as site:
        monkeypatch.setattr(socket.socket, "accept", accept)
        await site.server._stop_listening()
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await site.connect()


async def test_a_draining_server_says_so_and_takes_new_connections() -> None:
    async with serving(drain_seconds=PATIENCE) as site:
        site.server.should_exit = True
        async with asyncio.timeout(PATIENCE):
            while not hasattr(site.application.state, "ending"):  # noqa: ASYNC110 -- uvicorn offers no event
                await asyncio.sleep(0.02)
        reader, writer = await site.connect()
        writer.write(REQUEST)
        assert (await read_head(reader)).startswith(b"HTTP/1.1 200")
        writer.close()
