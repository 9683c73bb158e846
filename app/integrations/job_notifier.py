"""Wakes a worker through SAQ when something is due. The due work is in PostgreSQL; a lost wake-up delays it
until the next sweep (a second)."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import structlog
from saq import Queue

from jobs.settings import QUEUE, TASKS, wakeup_key

log = structlog.get_logger(__name__)
WARNING_INTERVAL_SECONDS = 30.0
LIMITS = {task.name: task for task in TASKS}  # SAQ's own would be 10 seconds
TIMEOUT_SECONDS = 0.5
SKIP_SECONDS = 5.0


class JobNotifier:
    """Enqueues SAQ jobs that carry ids and never state. If Redis is down or frozen, a wake-up is given up
    after half a second, no other is tried for five seconds, and one log line per 30 seconds reports it."""

    def __init__(self, redis_url: str) -> None:
        self.queue = Queue.from_url(redis_url, name=QUEUE, max_concurrent_ops=20)
        self._warned_at = -WARNING_INTERVAL_SECONDS
        self._skip_until = 0.0

    async def __call__(self, task: str, arguments: Mapping[str, Any]) -> None:
        if time.monotonic() < self._skip_until:
            return
        try:
            limits = LIMITS[task]
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self.queue.enqueue(
                    task,
                    key=wakeup_key(task, arguments, time.time()),
                    timeout=limits.timeout,
                    retries=limits.retries,
                    ttl=limits.ttl,
                    **arguments,
                )
        except Exception as error:  # noqa: BLE001 -- whatever is wrong with Redis, the sweep finds the work
            self._skip_until = time.monotonic() + SKIP_SECONDS
            if time.monotonic() - self._warned_at > WARNING_INTERVAL_SECONDS:
                self._warned_at = time.monotonic()
                log.warning("queue.unavailable", task=task, error=repr(error))

    async def close(self) -> None:
        """Waits at most a second for Redis, and never raises."""
        with suppress(Exception):  # a Redis error must not make the shutdown fail
            async with asyncio.timeout(1):
                await self.queue.disconnect()
