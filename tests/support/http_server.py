"""HTTP servers that answer by a script, and a client to call them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from app.ports import HttpRequest

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def call(url: str, **changes: Any) -> HttpRequest:
    values = {"method": "POST", "headers": {}, "body": '{"a": 1}', "key": "e1:3"} | changes
    return HttpRequest(url=url, **values)


@asynccontextmanager
async def listener(serve: Serve) -> AsyncIterator[int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def answering(status: str, received: list[bytes], headers: str = "", body: bytes = b"ok") -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        received.append(head)
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body)
        await writer.drain()
        writer.close()

    return serve
