"""Rate limits by the algorithm GCRA: a Lua script in Redis decides atomically for all processes.

When Redis does not answer within 100 ms, a circuit breaker opens and each process decides for itself, with
the same algorithm. These decisions are counted, and logged once per half minute."""

import asyncio
import math
import time
from collections.abc import Callable

import msgspec
import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from app.web.metrics import FALLBACK, REDIS_UP

log = structlog.get_logger("switchyard.redis")
PATIENCE_SECONDS = 0.1
CONNECTIONS = 16
OPEN_SECONDS = 2.0
SAY_EVERY_SECONDS = 30.0
REMEMBERED = 20_000

# The key holds the theoretical arrival time (tat) in seconds. The script uses the clock of Redis, so that
# differences between the processes' clocks don't matter.
SCRIPT = """
local clock = redis.call('time')
local now = clock[1] + clock[2] / 1000000
local step, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local tat = math.max(tonumber(redis.call('get', KEYS[1]) or 0), now)
if tat + step - now > burst + 0.0000005 then return {0, tostring(tat - now)} end
tat = tat + step
redis.call('set', KEYS[1], string.format('%.6f', tat), 'px', math.ceil((tat - now) * 1000) + 1000)
return {1, tostring(tat - now)}
"""


class LimitDecision(msgspec.Struct, frozen=True):
    """Whether a call may pass. `remaining` is how many more may follow immediately; times are in whole
    seconds."""

    allowed: bool
    remaining: int
    reset: int
    retry_after: int


class RedisBreaker:
    """Skips Redis for two seconds after it failed, so that an outage costs one short wait every two
    seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._closed_at = 0.0
        self._said_at = -SAY_EVERY_SECONDS

    @property
    def open(self) -> bool:
        """True while the app must not call Redis."""
        return self._clock() < self._closed_at

    def record_failure(self, part: str, error: BaseException) -> None:
        """Records that Redis did not answer; `part` is the caller, for the log."""
        now = self._clock()
        self._closed_at = now + OPEN_SECONDS
        REDIS_UP.set(0)
        if now - self._said_at >= SAY_EVERY_SECONDS:
            self._said_at = now
            log.warning("redis does not answer; deciding in this process", part=part, error=repr(error))

    def record_success(self) -> None:
        """Records that Redis answered."""
        REDIS_UP.set(1)


class Limiter:
    """Allows `limit` calls per `window` seconds for each key, in bursts or spread out."""

    def __init__(
        self, redis: Redis | None, name: str, limit: int, window: float, breaker: RedisBreaker | None = None
    ) -> None:
        self.redis = redis
        self.name, self.limit, self.window = name, limit, window
        self.step = window / limit
        self.breaker = breaker or RedisBreaker()
        self._script = redis.register_script(SCRIPT) if redis is not None else None
        self._local: dict[str, float] = {}

    async def hit(self, key: str) -> LimitDecision:
        """Counts one call; returns whether it may pass."""
        if self._script is not None and not self.breaker.open:
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    passed, ahead = await self._script(
                        keys=[f"limit:{self.name}:{key}"], args=[self.step, self.window]
                    )
                self.breaker.record_success()
                return self._verdict(bool(passed), float(ahead))
            except (RedisError, OSError, TimeoutError) as error:
                self.breaker.record_failure(self.name, error)
        FALLBACK.labels(self.name).inc()
        return self._alone(key)

    def _alone(self, key: str) -> LimitDecision:
        now = time.monotonic()
        tat = max(self._local.get(key, 0.0), now)
        passed = tat + self.step - now <= self.window + 5e-7
        if passed:
            tat += self.step
            if len(self._local) >= REMEMBERED:
                self._local = {name: value for name, value in self._local.items() if value > now}
            self._local[key] = tat
        return self._verdict(passed, tat - now)

    def _verdict(self, passed: bool, ahead: float) -> LimitDecision:
        remaining = max(0, int((self.window - ahead) / self.step + 1e-6))
        wait = 0 if passed else max(1, math.ceil(ahead + self.step - self.window))
        return LimitDecision(passed, remaining if passed else 0, math.ceil(ahead), wait)

    def headers(self, verdict: LimitDecision) -> dict[str, str]:
        """The RateLimit fields of the IETF draft, and Retry-After for a refusal."""
        fields = {
            "RateLimit-Policy": f'"{self.name}";q={self.limit};w={self.window:g}',
            "RateLimit": f'"{self.name}";r={verdict.remaining};t={verdict.reset}',
        }
        return fields if verdict.allowed else {**fields, "Retry-After": str(verdict.retry_after)}


def open_redis(url: str) -> Redis:
    """A client with a few connections that waits a tenth of a second and does not retry."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=PATIENCE_SECONDS,
        socket_timeout=PATIENCE_SECONDS,
        socket_connect_timeout=PATIENCE_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)
