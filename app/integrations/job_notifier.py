"""Enqueues turns as SAQ jobs. The due work is in PostgreSQL; a job that gets lost delays it by seconds."""

import asyncio
import time
from contextlib import suppress
from enum import Enum, auto
from typing import get_args
from uuid import UUID
from weakref import WeakValueDictionary

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from saq.queue.redis import RedisQueue

from app.patience import patience
from app.ports import QueueDepth, TurnName
from jobs.settings import (
    MOST_HOPS,
    SLOTS,
    TIMEOUT_BEYOND_LEASE,
    TURN_RETRIES,
    TURN_TTL,
    first_turn,
    queue_name,
    turn_key,
)

log = structlog.get_logger(__name__)
WARNING_INTERVAL_SECONDS = 30.0
PATIENCE_SECONDS = 0.5
CONNECT_SECONDS = 5.0  # of the client itself: longer than the event loop is ever held
SKIP_SECONDS = 5.0


class Enqueued(Enum):
    """What became of a job: it is in the queue; its key is queued or running already; Redis did not
    answer."""

    ACCEPTED = auto()
    WAITING = auto()
    UNREACHABLE = auto()


class _Attempts:
    """The attempts to enqueue the turns of one task and account, which have numbers."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.latest = self.finished = 0  # their numbers
        self.reached = False  # whether Redis answered the last one that finished


class JobNotifier:
    """Enqueues SAQ jobs that carry ids and never state. If Redis is down or frozen, a job is given up after
    half a second, in which this process was not busy itself; no other is tried for five seconds, and one log
    line per 30 seconds reports it."""

    def __init__(self, redis_url: str, lease_seconds: float) -> None:
        self.timeout = int(lease_seconds) + TIMEOUT_BEYOND_LEASE
        self.redis = Redis.from_url(
            redis_url,
            socket_timeout=None,  # each call waits with `patience`
            socket_connect_timeout=CONNECT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self.queues: dict[TurnName, RedisQueue] = {
            name: RedisQueue(self.redis, name=queue_name(name)) for name in get_args(TurnName)
        }
        self._attempts: WeakValueDictionary[tuple[TurnName, UUID], _Attempts] = WeakValueDictionary()
        self._warned_at = -WARNING_INTERVAL_SECONDS
        self._skip_until = 0.0

    async def __call__(self, task: TurnName, account_id: UUID) -> bool:
        """Enqueues a turn, and the one that follows while the first is queued or running: a turn that runs
        may have looked already. Calls that come while a call for the same turns is under way share the next
        one. False when Redis did not answer."""
        attempts = self._attempts.get((task, account_id))
        if attempts is None:
            attempts = self._attempts[task, account_id] = _Attempts()
        latest_before = attempts.latest
        async with attempts.lock:
            if attempts.finished <= latest_before:  # none has begun since
                number = attempts.latest = attempts.latest + 1
                attempts.reached = await self._enqueue_one_of(task, account_id, slots=1, hops=0)
                attempts.finished = number
            return attempts.reached

    async def for_certain(self, task: TurnName, account_id: UUID) -> bool:
        """Enqueues a turn, in another slot if need be: workers that were killed leave their keys behind. A
        process that has its turns of the account passes it on: it may be a while until it looks again. False
        when Redis did not answer."""
        return await self._enqueue_one_of(task, account_id, slots=SLOTS, hops=MOST_HOPS)

    async def _enqueue_one_of(self, task: TurnName, account_id: UUID, slots: int, hops: int) -> bool:
        turn, outcome = first_turn(time.time()), Enqueued.WAITING
        for slot in range(slots):
            for number in (turn, turn + 1):
                if outcome is Enqueued.WAITING:
                    outcome = await self._enqueue(task, account_id, slot, number, hops)
        return outcome is not Enqueued.UNREACHABLE

    async def beside(self, task: TurnName, account_id: UUID) -> bool:
        """Enqueues a turn in another slot than the first. False when Redis did not answer."""
        outcome = Enqueued.WAITING
        for slot in range(1, SLOTS):
            if outcome is Enqueued.WAITING:
                outcome = await self._enqueue(task, account_id, slot, first_turn(time.time()), MOST_HOPS)
        return outcome is not Enqueued.UNREACHABLE

    async def turn(self, task: TurnName, account_id: UUID, slot: int, turn: int, hops: int = 0) -> bool:
        """Enqueues one turn by its number, which a process that has its turns of the account passes on,
        `hops` times at most. False when Redis did not answer."""
        return await self._enqueue(task, account_id, slot, turn, hops) is not Enqueued.UNREACHABLE

    async def depths(self) -> dict[TurnName, QueueDepth] | None:
        """What waits and runs, by task. None when Redis did not answer."""
        if time.monotonic() < self._skip_until:
            return None
        try:
            async with patience(PATIENCE_SECONDS), self.redis.pipeline(transaction=False) as pipe:
                for queue in self.queues.values():
                    pipe.llen(queue.namespace("queued"))
                    pipe.llen(queue.namespace("active"))
                lengths = await pipe.execute()
        except (RedisError, OSError, TimeoutError):
            return None
        pairs = zip(lengths[::2], lengths[1::2], strict=True)
        return {name: QueueDepth(*pair) for name, pair in zip(self.queues, pairs, strict=True)}

    async def _enqueue(self, task: TurnName, account_id: UUID, slot: int, turn: int, hops: int) -> Enqueued:
        if time.monotonic() < self._skip_until:
            return Enqueued.UNREACHABLE
        account = str(account_id)
        try:
            async with patience(PATIENCE_SECONDS):
                job = await self.queues[task].enqueue(
                    task,
                    key=turn_key(task, account, slot, turn),
                    timeout=self.timeout,
                    retries=TURN_RETRIES,
                    ttl=TURN_TTL,
                    account_id=account,
                    slot=slot,
                    turn=turn,
                    hops=hops,
                )
        except Exception as error:  # noqa: BLE001 -- whatever is wrong with Redis, the sweep finds the work
            self._skip_until = time.monotonic() + SKIP_SECONDS
            if time.monotonic() - self._warned_at > WARNING_INTERVAL_SECONDS:
                self._warned_at = time.monotonic()
                log.warning("queue.unavailable", task=task, error=repr(error))
            return Enqueued.UNREACHABLE
        return Enqueued.ACCEPTED if job is not None else Enqueued.WAITING

    async def close(self) -> None:
        """Waits at most a second for Redis, and never raises."""
        with suppress(Exception):  # a Redis error must not make the shutdown fail
            async with asyncio.timeout(1):
                for queue in self.queues.values():
                    await queue.disconnect()
