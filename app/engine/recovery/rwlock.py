"""An asyncio readers-writer lock, within one process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ReadWriteLock:
    """Batches hold the lock shared. A suspect, which may kill the process, runs while its worker holds the
    lock exclusively: no other batch is under way then, so a crash harms none."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._shared_holders = 0
        self._exclusive = False

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._exclusive)
            self._shared_holders += 1
        try:
            yield
        finally:
            self._shared_holders -= 1
            await self._notify()

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._exclusive)
            self._exclusive = True
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: not self._shared_holders)
            yield
        finally:
            self._exclusive = False
            await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
