"""Answers 503 when PostgreSQL stops responding, but waits for a query that is only slow.

After a second without a response, a read checks whether the database answers a new connection; all waiting
reads share one check. If the database does not answer, the read ends with 503. Writes are never interrupted,
because it would be unknown whether they were saved.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import Unavailable

T = TypeVar("T")
WAIT_SECONDS = 1.0
PROBE_SECONDS = 1.0
READS = frozenset({"GET", "HEAD"})
MESSAGE = "The database isn't responding. Try again in a moment."


class DatabaseWatch:
    """Checks whether the database answers. `probe` opens a new connection."""

    def __init__(self, probe: Callable[[], Awaitable[object]]) -> None:
        self._probe = probe
        self._question: asyncio.Task[bool] | None = None

    async def answers(self) -> bool:
        """False when the database does not respond within a second; a refusal counts as a response."""
        if self._question is None or self._question.done():
            self._question = asyncio.create_task(self._ask())
        return await asyncio.shield(self._question)

    async def _ask(self) -> bool:
        attempt = asyncio.ensure_future(self._probe())
        attempt.add_done_callback(_ignore_outcome)
        done, _ = await asyncio.wait({attempt}, timeout=PROBE_SECONDS)
        attempt.cancel()
        return bool(done)


class AbortStalledReads(ASGIMiddleware):
    """Ends reads while the database does not respond. Raises `Unavailable` (503)."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, watch: DatabaseWatch) -> None:
        self.watch = watch
        self._ending: set[asyncio.Future[None]] = set()

    def should_bypass_for_scope(self, scope: Scope) -> bool:
        """True for writes, for forms shown again, and for the health probes, which have their own
        deadlines."""
        writes = scope.get("method") not in READS
        return writes or bool(scope["state"].get("again")) or scope["path"].startswith("/health/")

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        started = asyncio.Event()
        ended = False

        async def send_unless_ended(message: Message) -> None:
            if not ended:
                started.set()
                await send(message)

        answer = asyncio.ensure_future(next_app(scope, receive, send_unless_ended))
        try:
            while not (await asyncio.wait({answer}, timeout=WAIT_SECONDS))[0]:
                stalled = not started.is_set() and not await self.watch.answers()
                if stalled and not started.is_set() and not answer.done():
                    ended = True
                    raise Unavailable(MESSAGE)
        finally:
            self._end(answer)
        await answer

    def _end(self, answer: asyncio.Future[None]) -> None:
        """Cancels in the background, because closing a hanging connection takes two seconds."""
        if not answer.done():
            self._ending.add(answer)
            answer.add_done_callback(self._ending.discard)
            answer.add_done_callback(_ignore_outcome)
            answer.cancel()


def _ignore_outcome(future: asyncio.Future[T]) -> None:
    if not future.cancelled():
        future.exception()
