"""Protects the server from slow clients and from clients with too many connections, below HTTP.

uvicorn only closes connections that idle between requests. `GuardedProtocol` adds a deadline for the head of
a request, a minimum speed for its body and for reading the response, a maximum head size, and a limit of
connections per client. `guarded_protocol` creates the class for `uvicorn.Config(http=…)`.

A proxy keeps connections to the server open and sends the next request on one of them. When the server ends,
an idle one must not be closed while a request is on its way: with `keeps_idle` the server leaves it open
until the keep-alive timeout, before which the proxy closes it. The next answer on it, and an answer that is
under way, say that they are the last (`shutdown`)."""

import asyncio
from collections import Counter
from typing import ClassVar, Literal

import msgspec
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import get_remote_addr

from app.web.middleware import client_of

log = structlog.get_logger("switchyard.connections")
LINGER_SECONDS = 5.0  # how long a closed connection may still send its remaining data
PIPELINED = 16
ANSWER = b"HTTP/1.1 %s\r\ncontent-length: 0\r\nconnection: close\r\n%s\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
TIMEOUT = ANSWER % (b"408 Request Timeout", b"")
BUSY = ANSWER % (b"503 Service Unavailable", b"retry-after: 10\r\n")


class ConnectionLimits(msgspec.Struct, frozen=True):
    """The limits of one connection and of one client, in seconds and bytes."""

    per_client: int = 100  # open connections; 0 turns the limit off, as behind a proxy
    head_seconds: float = 10.0  # from the first byte of a request to the end of its headers
    head_bytes: int = 65_536
    head_fields: int = 200
    body_seconds: float = 20.0  # for a body, plus one second for each `body_rate` bytes of it
    body_rate: int = 8_000
    read_seconds: float = 30.0  # in which a client reads at least `read_bytes` of a long response
    read_bytes: int = 16_000
    keeps_idle: bool = False  # at the end of the server idle connections stay open for their timeout


class JoinedWrites(asyncio.Transport):
    """What uvicorn writes an answer to. It sends the head together with the body that follows: each write is
    a system call and wakes the client."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport, self._loop = transport, loop
        self._head: bytes | None = None
        self._head_sent = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            self._head_sent = True
            self._transport.writelines((head, data))
        elif self._head_sent or data == CONTINUE:
            self._transport.write(data)
        else:
            self._head = bytes(data)
            self._loop.call_soon(self._flush)  # a body that has to be waited for comes later

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _flush(self) -> None:
        if self._head is not None and not self._transport.is_closing():
            self.write(b"")


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with deadlines, for clients that may be slow on purpose."""

    limits: ClassVar[ConnectionLimits] = ConnectionLimits()
    held: ClassVar[Counter[str]] = Counter()

    # A connection begins with these values.
    client_key = ""
    refused = False
    phase: Literal["head", "body", "idle"] = "idle"
    began = 0.0
    received = 0
    is_ending = False
    head_size = 0
    deadline: asyncio.TimerHandle | None = None
    reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # -- as uvicorn's
        peer = get_remote_addr(transport)
        self.client_key = client_of(peer[0]) if peer else ""
        if self.client_key and 0 < self.limits.per_client <= self.held[self.client_key]:
            self.refused = True
            log.info("connection refused: its client holds too many", client=self.client_key)
            transport.write(BUSY)
            transport.close()
            return
        self.held[self.client_key] += 1
        super().connection_made(transport)
        self._enter("head")
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.refused:
            return
        self.held[self.client_key] -= 1
        if not self.held[self.client_key]:
            del self.held[self.client_key]
        for timer in (self.deadline, self.reading):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.refused:
            return
        if self.phase == "idle":
            self._enter("head")
        self.received += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self.phase == "head" and self.received > self.limits.head_bytes:
            self.send_400_response("The head of the request is too long.")
            return
        self._watch()

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= PIPELINED:
            raise ValueError("too many requests at once")
        self.head_size = 0
        if self.phase != "head":
            self._enter("head")
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._weigh(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._weigh(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._enter("body")
        before: RequestResponseCycle | None = self.cycle
        super().on_headers_complete()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and cycle is not before:
            cycle.transport = JoinedWrites(self.transport, self.loop)
        if cycle is not None and self.is_ending:
            cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._enter("idle")
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch_reading()

    def shutdown(self) -> None:
        self.is_ending = True
        if self.limits.keeps_idle and not self._answering():
            self.loop.call_later(self.timeout_keep_alive, self._close_unused)
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.reading is not None:
            self.reading.cancel()
            self.reading = None
        self._watch_reading()

    def _close_unused(self) -> None:
        """Closes a connection without a request since the shutdown began; others close with their answer."""
        if self.phase != "body" and not self.received and not self._answering():
            self.transport.close()

    def _weigh(self, size: int) -> None:
        """Adds to the size of the head. Raises ValueError when it is too large; uvicorn answers with 400."""
        self.head_size += size
        if self.head_size > self.limits.head_bytes or len(self.headers) >= self.limits.head_fields:
            raise ValueError("the head of the request is too long")

    def _enter(self, phase: Literal["head", "body", "idle"]) -> None:
        self.phase, self.began, self.received = phase, self.loop.time(), 0
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

    def _watch(self) -> None:
        if self.phase != "idle" and self.deadline is None:
            self.deadline = self.loop.call_later(max(0.05, self._left()), self._look)

    def _left(self) -> float:
        """Seconds until the deadline of this phase. The length of a body extends it only until the response
        is complete."""
        seconds = self.limits.head_seconds
        if self.phase == "body":
            slow = self.received / self.limits.body_rate if self._answering() else 0
            seconds = self.limits.body_seconds + slow
        return self.began + seconds - self.loop.time()

    def _look(self) -> None:
        self.deadline = None
        if self.transport.is_closing():
            return
        answering = self._answering()
        if self.flow.read_paused or (self.phase == "head" and answering):
            self.began += 1.0  # the server is not reading
            self.deadline = self.loop.call_later(1.0, self._look)
        elif self._left() > 0:
            self._watch()
        else:
            self._give_up()

    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn has None here before the first request
        return cycle is not None and not cycle.response_complete

    def _give_up(self) -> None:
        log.info("connection closed: its client is slow", client=self.client_key, phase=self.phase)
        cycle: RequestResponseCycle | None = self.cycle
        unused = self.phase == "head" and not self.received  # browsers open connections in advance
        if not unused and (cycle is None or not cycle.response_started):
            self.transport.write(TIMEOUT)
        self.transport.close()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _watch_reading(self) -> None:
        unread = self.transport.get_write_buffer_size()
        if unread and self.reading is None:
            self.reading = self.loop.call_later(self.limits.read_seconds, self._look_at_reading, unread)

    def _look_at_reading(self, before: int) -> None:
        self.reading = None
        unread = self.transport.get_write_buffer_size()
        if unread and unread > before - self.limits.read_bytes:
            log.info("connection closed: its client does not read", client=self.client_key)
            self.transport.abort()
        else:
            self._watch_reading()


def guarded_protocol(limits: ConnectionLimits) -> type[GuardedProtocol]:
    """A protocol class with these limits and its own connection counts."""

    class Protocol(GuardedProtocol):
        pass

    Protocol.limits, Protocol.held = limits, Counter()
    return Protocol
