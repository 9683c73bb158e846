"""A worker that hangs is worse than one that is dead: a process whose loop stands still is ended, so that the
supervisor starts another and the people in its batch are taken for suspects.

The interpreter's own timer does it: it needs no lock of the interpreter, so that a loop in C is ended too.
"""

import asyncio
import faulthandler
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


@asynccontextmanager
async def watch_event_loop(seconds: float) -> AsyncIterator[None]:
    """While this runs, a loop that does not turn for so long ends the process with a traceback on stderr
    (exit code 1). 0 watches nothing."""
    if seconds <= 0:
        yield
        return
    turning = asyncio.create_task(_rearm_timer(seconds))
    try:
        yield
    finally:
        turning.cancel()
        with suppress(asyncio.CancelledError):
            await turning
        faulthandler.cancel_dump_traceback_later()


async def _rearm_timer(seconds: float) -> None:
    while True:
        faulthandler.dump_traceback_later(seconds, exit=True)
        await asyncio.sleep(min(1.0, seconds / 4))
