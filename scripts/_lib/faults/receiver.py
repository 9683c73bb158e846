"""The outside world: an SMTP and an HTTP server that record every delivery and are never broken.

`Receiver.start` is the entry point; `Receiver.deliveries` is what arrived, in order.
"""

import asyncio
import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from scripts._lib.faults.visit_names import visit_of_email, visit_of_path

HEADER = re.compile(rb"^([A-Za-z-]+): (.*?)\r?$", re.MULTILINE)
NOT_IN_MESSAGE_ID = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True)
class ReceivedDelivery:
    """One email or webhook that arrived.

    `visit` names contact and step, whatever the key says. `account` is what the message says. `at` is when
    the last byte arrived, in seconds since the epoch. Only emails have `subject` and `message_id`.
    """

    kind: str
    visit: str
    key: str
    account: str
    at: float
    subject: str = ""
    message_id: str = ""

    def carries(self, key: str) -> bool:
        """Whether it was sent with this key: in the header, and in an email in the Message-ID too."""
        if not key or self.key != key:
            return False
        return self.kind != "email" or self.message_id.startswith(f"<{NOT_IN_MESSAGE_ID.sub('.', key)}@")


@dataclass
class Receiver:
    """The two servers. `answer_seconds` is the range from which the delay of each answer is drawn."""

    answer_seconds: tuple[float, float] = (0.0, 0.0)
    seed: int = 0
    deliveries: list[ReceivedDelivery] = field(default_factory=list)
    smtp_port: int = 0
    http_port: int = 0

    async def start(self) -> None:
        """Listen on two free ports of loopback."""
        self.random = random.Random(self.seed)  # noqa: S311 -- repeatable on purpose
        self._servers = [
            await asyncio.start_server(serve, "127.0.0.1", 0) for serve in (self._smtp, self._http)
        ]
        self.smtp_port, self.http_port = (server.sockets[0].getsockname()[1] for server in self._servers)

    async def stop(self) -> None:
        for server in self._servers:
            server.close()

    async def _record(self, delivery: ReceivedDelivery) -> None:
        self.deliveries.append(delivery)
        await asyncio.sleep(self.random.uniform(*self.answer_seconds))

    async def _smtp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing_connection(writer):
            writer.write(b"220 receiver\r\n")
            while line := await reader.readline():
                verb = line[:4].strip().upper()
                if verb == b"DATA":
                    writer.write(b"354 go on\r\n")
                    content = await reader.readuntil(b"\r\n.\r\n")
                    await self._record(parse_email(content))
                    writer.write(b"250 accepted\r\n")
                elif verb == b"QUIT":
                    writer.write(b"221 bye\r\n")
                    await writer.drain()
                    return
                else:
                    writer.write(b"250 ok\r\n")

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing_connection(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode()
            headers = parse_headers(head)
            await reader.readexactly(int(headers.get("content-length", "0")))
            account, visit = visit_of_path(path)
            key = headers.get("idempotency-key", "")
            await self._record(ReceivedDelivery("webhook", visit, key, account, time.time()))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            await writer.drain()


def parse_headers(head: bytes) -> dict[str, str]:
    """The headers by their names in lower case."""
    return {name.decode().lower(): value.decode() for name, value in HEADER.findall(head)}


def parse_email(content: bytes) -> ReceivedDelivery:
    """The delivery that an email with its headers is."""
    headers = parse_headers(content.partition(b"\r\n\r\n")[0])
    subject = headers.get("subject", "").strip()
    return ReceivedDelivery(
        "email", visit_of_email(headers.get("to", ""), subject), headers.get("x-switchyard-key", ""),
        headers.get("x-switchyard-account", ""), time.time(), subject, headers.get("message-id", ""),
    )  # fmt: skip


@contextmanager
def closing_connection(writer: asyncio.StreamWriter) -> Iterator[None]:
    """Close the connection at the end, also when the sender was killed in the middle."""
    with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        yield
    writer.close()
