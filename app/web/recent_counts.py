"""Counts that may be a few seconds old, so that not every page counts again: those of the navigation."""

import time
from collections.abc import Awaitable, Callable, Hashable

MOST_SECONDS = 5.0
REMEMBERED = 10_000


class RecentCounts:
    """What each member was shown last, at most `seconds` old; 0 counts each time. Each process has its
    own."""

    def __init__(self, seconds: float = MOST_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self.clock = seconds, clock
        self._counts: dict[Hashable, tuple[float, dict[str, int]]] = {}

    async def get(self, member: Hashable, count: Callable[[], Awaitable[dict[str, int]]]) -> dict[str, int]:
        """The counts of a member, which `count` computes."""
        began = self.clock()
        at, counts = self._counts.get(member, (0.0, None))
        if counts is not None and began - at < self.seconds:
            return counts
        counts = await count()
        if self.seconds:
            if len(self._counts) >= REMEMBERED:
                self._counts.clear()
            self._counts[member] = began, counts
        return counts

    def forget(self, member: Hashable) -> None:
        """Counts again at the next page: this member has just changed something."""
        self._counts.pop(member, None)
