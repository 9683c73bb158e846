"""Ends a worker process whose event loop hangs, so that the supervisor starts another one and the rows of its
batch are run as suspects.

The timer of `faulthandler` does it: it does not need the interpreter's lock, so it also ends a loop in C.
"""

import asyncio
import faulthandler
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


@asynccontextmanager
async def watch_event_loop(seconds: float) -> AsyncIterator[None]:
    """Inside the block, an event loop that hangs for this long ends the process with a traceback on stderr
    (exit code 1). 0 watches nothing."""
    if seconds <= 0:
        yield
        return
    rearming = asyncio.create_task(_rearm_timer(seconds))
    try:
        yield
    finally:
        rearming.cancel()
        with suppress(asyncio.CancelledError):
            await rearming
        faulthandler.cancel_dump_traceback_later()


async def _rearm_timer(seconds: float) -> None:
    while True:
        faulthandler.dump_traceback_later(seconds, exit=True)
        await asyncio.sleep(min(1.0, seconds / 4))
