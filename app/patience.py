"""A deadline for an answer from outside, in which the time that this process was busy does not count.

`patience` is the entry point. A plain `asyncio.timeout` also ends a call whose answer has arrived, when the
event loop was held for longer than the timeout."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# Opening a connection to Redis and asking it takes some twenty turns of the event loop.
PARTS = 30


@asynccontextmanager
async def patience(seconds: float) -> AsyncIterator[None]:
    """Raises TimeoutError in the block after `seconds`, as `asyncio.timeout` does, but not because the event
    loop was late."""
    async with asyncio.timeout(None) as deadline:
        countdown = Countdown(seconds, deadline)
        try:
            yield
        finally:
            countdown.timer.cancel()


class Countdown:
    """Counts the time in parts, each by a timer that starts when the one before it fired.

    A timer that fires late, because something else held the loop, counts as one part all the same, and before
    the next one the loop reads its sockets. So an answer that has arrived is taken, however long the loop was
    held."""

    def __init__(self, seconds: float, deadline: asyncio.Timeout) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline = deadline
        self._part = seconds / PARTS
        self._left = PARTS
        self.timer = self._loop.call_later(self._part, self._end_part)

    def _end_part(self) -> None:
        self._left -= 1
        if self._left:
            self.timer = self._loop.call_later(self._part, self._end_part)
        else:
            self._deadline.reschedule(self._loop.time())
