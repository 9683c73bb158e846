"""Caches results that all requests of a process share, so that fifty open pages cost as much as one.

A result is computed again only after twenty times its own duration, so one key uses at most a twentieth of
one core of the database, however many requests read it. Each process has its own cache."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from time import monotonic
from typing import Any, TypeVar, cast

MOST = 1_000  # keys; the least recently used are dropped first
TIMES = 20

Result = TypeVar("Result")


class _Entry:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.value: Any = None  # Any: each key has results of its own type, which only its caller knows
        self.computed_at: float | None = None
        self.took = 0.0


async def no_wait() -> None:
    """Nothing to wait for."""


class SharedResults:
    """The cache. A result is reused for `times` its own duration. 0 turns the cache off, for tests that read
    right after a change."""

    def __init__(self, times: float = TIMES, clock: Callable[[], float] = monotonic) -> None:
        self.times, self.clock = times, clock
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()

    async def get(
        self,
        key: Hashable,
        compute: Callable[[], Awaitable[Result]],
        seconds: float = 0.0,
        wait: Callable[[], Awaitable[object]] = no_wait,
    ) -> Result:
        """The result for `key`, at most `seconds` or `times` its own duration old, whichever is longer. While
        one caller computes it, the others get the previous result, or wait if there is none. The key must
        include the account. If `compute` raises, so does this, and nothing is cached. `wait` comes before
        `compute` and is no part of its duration."""
        if not self.times:
            await wait()
            return await compute()
        entry = self._entries.setdefault(key, _Entry())
        self._entries.move_to_end(key)
        while len(self._entries) > MOST:
            self._entries.popitem(last=False)
        if self._is_fresh(entry, seconds) or (entry.computed_at is not None and entry.lock.locked()):
            return cast("Result", entry.value)
        async with entry.lock:
            if not self._is_fresh(entry, seconds):
                await wait()
                started_at = self.clock()
                entry.value = await compute()
                entry.computed_at = self.clock()
                entry.took = entry.computed_at - started_at
        return cast("Result", entry.value)

    def _is_fresh(self, entry: _Entry, seconds: float) -> bool:
        if entry.computed_at is None:
            return False
        return self.clock() - entry.computed_at < max(seconds, entry.took * self.times)
