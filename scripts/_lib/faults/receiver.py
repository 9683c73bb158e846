"""The judge: an SMTP and an HTTP server that remember every delivery. Nothing that is broken on purpose
touches it, so what it has seen is what the outside world has seen."""

import asyncio
import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from scripts._lib.faults.visit_names import visit_of_letter, visit_of_path

HEADER = re.compile(rb"^([A-Za-z-]+): (.*?)\r?$", re.MULTILINE)
NOT_IN_AN_ID = re.compile(r"[^A-Za-z0-9._-]")  # of a Message-ID


@dataclass(frozen=True)
class Delivery:
    """`visit` is who and which step, without regard to the key; `at` in seconds since the epoch, when the
    last byte was here. `account` as the message says it; `subject` and `message_id` are a letter's."""

    kind: str
    visit: str
    key: str
    account: str
    at: float
    subject: str = ""
    message_id: str = ""

    def carries(self, key: str) -> bool:
        """Whether it went out under this key; a letter in both headers, since receivers go by its id."""
        if not key or self.key != key:
            return False
        return self.kind != "email" or self.message_id.startswith(f"<{NOT_IN_AN_ID.sub('.', key)}@")


@dataclass
class Sink:
    """`slow` bounds, in seconds, of how long it thinks before it says that it has taken something."""

    slow: tuple[float, float] = (0.0, 0.0)
    seed: int = 0
    taken: list[Delivery] = field(default_factory=list)
    smtp_port: int = 0
    http_port: int = 0

    async def start(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311 -- repeatable on purpose
        self._servers = [
            await asyncio.start_server(serve, "127.0.0.1", 0) for serve in (self._smtp, self._http)
        ]
        self.smtp_port, self.http_port = (server.sockets[0].getsockname()[1] for server in self._servers)

    async def stop(self) -> None:
        for server in self._servers:
            server.close()

    async def _take(self, delivery: Delivery) -> None:
        self.taken.append(delivery)
        await asyncio.sleep(self.random.uniform(*self.slow))

    async def _smtp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            writer.write(b"220 sink\r\n")
            while line := await reader.readline():
                verb = line[:4].strip().upper()
                if verb == b"DATA":
                    writer.write(b"354 go on\r\n")
                    content = await reader.readuntil(b"\r\n.\r\n")
                    await self._take(letter(content))
                    writer.write(b"250 taken\r\n")
                elif verb == b"QUIT":
                    writer.write(b"221 bye\r\n")
                    await writer.drain()
                    return
                else:
                    writer.write(b"250 fine\r\n")

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode()
            headers = fields(head)
            await reader.readexactly(int(headers.get("content-length", "0")))
            account, visit = visit_of_path(path)
            await self._take(
                Delivery("webhook", visit, headers.get("idempotency-key", ""), account, time.time())
            )
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            await writer.drain()


def fields(head: bytes) -> dict[str, str]:
    return {name.decode().lower(): value.decode() for name, value in HEADER.findall(head)}


def letter(content: bytes) -> Delivery:
    """A letter as delivered."""
    head = fields(content.partition(b"\r\n\r\n")[0])
    subject = head.get("subject", "").strip()
    return Delivery(
        "email", visit_of_letter(head.get("to", ""), subject), head.get("x-switchyard-key", ""),
        head.get("x-switchyard-account", ""), time.time(), subject, head.get("message-id", ""),
    )  # fmt: skip


@contextmanager
def closing(writer: Any) -> Iterator[None]:
    """A caller that was killed in the middle is what we are here for."""
    with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        yield
    writer.close()
