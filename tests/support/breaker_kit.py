"""Many contacts at one step that sends, for tests of circuit breakers."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from app.engine.core.triggers import ContactCreated
from jobs.turns import match_and_advance
from tests.support.scenario import Stage

MANY = 100


class Endpoint:
    """Counts calls and keys; answers what `status` says."""

    def __init__(self) -> None:
        self.status = "503 Dead"
        self.tried: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        key = next(line for line in head.split("\r\n") if line.startswith("idempotency-key"))
        self.tried[key] += 1
        if self.status.startswith("2"):
            self.taken[key] += 1
        writer.write(f"HTTP/1.1 {self.status}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@asynccontextmanager
async def open_endpoint() -> AsyncIterator[tuple[Endpoint, str]]:
    endpoint = Endpoint()
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0)
    try:
        yield endpoint, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


async def run_many(stage: Stage, step: Any, count: int = MANY) -> UUID:
    workflow = await stage.workflow([step], ContactCreated(key="t1"))
    for person in await stage.contacts(count):
        await stage.emit("contact.created", person)
    while await match_and_advance(stage.runtime, stage.account):
        pass
    return workflow


async def statuses(stage: Stage) -> Counter[tuple[str, str | None]]:
    rows = await stage.sql("select status, wait_reason from enrollments where account_id = $1", stage.account)
    return Counter((row["status"], row["wait_reason"]) for row in rows)
