"""The bell: tells a worker that something is due. PostgreSQL knows what; a lost ring costs one sweep."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import structlog
from saq import Queue

from jobs.settings import QUEUE, TASKS, ring_key

log = structlog.get_logger(__name__)
QUIET_SECONDS = 30.0
LIMITS = {task.name: task for task in TASKS}  # SAQ's own would be 10 seconds
PATIENCE_SECONDS = 0.5
SILENT_SECONDS = 5.0


class JobNotifier:
    """Enqueues SAQ jobs that carry ids and never state. Redis down or frozen: a ring gives up after half a
    second, the next ones are not even tried for five, and one line in 30 seconds says so."""

    def __init__(self, redis_url: str) -> None:
        self.queue = Queue.from_url(redis_url, name=QUEUE, max_concurrent_ops=20)
        self._complained = -QUIET_SECONDS
        self._silent_until = 0.0

    async def __call__(self, task: str, arguments: Mapping[str, Any]) -> None:
        if time.monotonic() < self._silent_until:
            return
        try:
            limits = LIMITS[task]
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self.queue.enqueue(
                    task,
                    key=ring_key(task, arguments, time.time()),
                    timeout=limits.timeout,
                    retries=limits.retries,
                    ttl=limits.ttl,
                    **arguments,
                )
        except Exception as error:  # noqa: BLE001 -- whatever is wrong with Redis, the sweep finds the work
            self._silent_until = time.monotonic() + SILENT_SECONDS
            if time.monotonic() - self._complained > QUIET_SECONDS:
                self._complained = time.monotonic()
                log.warning("bell.unheard", task=task, error=repr(error))

    async def close(self) -> None:
        """Never waits for a Redis that stands still, and never raises."""
        with suppress(Exception):  # what is wrong with Redis is no reason to fail while ending
            async with asyncio.timeout(1):
                await self.queue.disconnect()
