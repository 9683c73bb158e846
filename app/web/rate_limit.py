"""Rate limits by the algorithm GCRA: a Lua script in Redis decides atomically for all processes.

A call may count against several limits at once (`hit_all`): it passes only if all of them allow it, and
counts for none otherwise. Calls that come while Redis is being asked share the next question, because a
question costs this process more than anything else about a limit. When Redis does not answer within 100 ms, a
circuit breaker opens and each process decides for itself, with the same algorithm. These decisions are
counted, and logged once per half minute."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec
import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from app.patience import patience
from app.web.metrics import FALLBACK, REDIS_UP

log = structlog.get_logger("switchyard.redis")
PATIENCE_SECONDS = 0.1
CONNECT_SECONDS = 5.0  # of the client itself: longer than the event loop is ever held
MOST_CALLS = 100  # of one question, which Redis answers in a fraction of a millisecond
OPEN_SECONDS = 2.0
SAY_EVERY_SECONDS = 30.0
REMEMBERED = 20_000

# Each key holds the theoretical arrival time (tat) of one limit in seconds. The arguments are the number of
# calls, how many limits each of them has, and the step and the burst of each limit, in the order of the keys.
# The script uses the clock of Redis, so that differences between the processes' clocks don't matter. A time
# that no call can have written is from before that clock was set back, and counts as none.
SCRIPT = """
local clock = redis.call('time')
local now = clock[1] + clock[2] / 1000000
local calls, answers, first = tonumber(ARGV[1]), {}, 1
for call = 1, calls do
  local last, tats, allowed = first + tonumber(ARGV[1 + call]) - 1, {}, true
  for i = first, last do
    local step, burst = tonumber(ARGV[calls + 2 * i]), tonumber(ARGV[calls + 2 * i + 1])
    local stored = tonumber(redis.call('get', KEYS[i]) or 0)
    if stored > now + burst + 1 then stored = 0 end
    tats[i] = math.max(stored, now)
    local passed = tats[i] + step - now <= burst + 0.0000005
    allowed = allowed and passed
    answers[i] = {passed and 1 or 0}
  end
  for i = first, last do
    if allowed then
      tats[i] = tats[i] + tonumber(ARGV[calls + 2 * i])
      local lifetime = math.ceil((tats[i] - now) * 1000) + 1000
      redis.call('set', KEYS[i], string.format('%.6f', tats[i]), 'px', lifetime)
    end
    answers[i][2] = tostring(tats[i] - now)
  end
  first = last + 1
end
return answers
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
        self.policy = f'"{name}";q={limit};w={window:g}'
        self.breaker = breaker or RedisBreaker()
        self.shared = SharedCounts(redis) if redis is not None else None
        self._local: dict[str, float] = {}

    async def hit(self, key: str) -> LimitDecision:
        """Counts one call; returns whether it may pass."""
        [decision] = await hit_all([(self, key)])
        return decision

    def local_arrival(self, key: str, now: float) -> tuple[float, bool]:
        """The theoretical arrival time of the key in this process, and whether a call may pass now."""
        tat = max(self._local.get(key, 0.0), now)
        return tat, tat + self.step - now <= self.window + 5e-7

    def count_locally(self, key: str, tat: float, now: float) -> None:
        """Counts one call in this process."""
        if len(self._local) >= REMEMBERED:
            self._local = {name: value for name, value in self._local.items() if value > now}
        self._local[key] = tat + self.step

    def decision(self, *, passed: bool, ahead: float) -> LimitDecision:
        """The decision for a key whose theoretical arrival time is `ahead` seconds from now."""
        remaining = max(0, int((self.window - ahead) / self.step + 1e-6))
        wait = 0 if passed else max(1, math.ceil(ahead + self.step - self.window))
        return LimitDecision(passed, remaining if passed else 0, math.ceil(ahead), wait)


Charges: TypeAlias = Sequence[tuple[Limiter, str]]


class _Call(msgspec.Struct):
    """A call that waits to be counted."""

    charges: Charges
    decisions: asyncio.Future[list[LimitDecision]]


class SharedCounts:
    """The counts in Redis. Asks about all calls that came meanwhile when the question before was answered."""

    def __init__(self, redis: Redis) -> None:
        self._script = redis.register_script(SCRIPT)
        self._waiting: list[_Call] = []
        self._asking: asyncio.Task[None] | None = None

    async def hit_all(self, charges: Charges) -> list[LimitDecision]:
        """As the function. Raises RedisError, OSError or TimeoutError when Redis does not answer."""
        call = _Call(charges, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._asking is None or self._asking.done():
            # a task of its own: a caller that gives up must not end the question for others
            self._asking = asyncio.create_task(self._ask_for_all())
        return await call.decisions

    async def _ask_for_all(self) -> None:
        while calls := self._waiting[:MOST_CALLS]:
            del self._waiting[:MOST_CALLS]
            try:
                decisions = iter(await self._ask(calls))
            except Exception as error:  # noqa: BLE001 -- the callers raise it
                calls += self._waiting
                self._waiting.clear()
                for call in calls:
                    if not call.decisions.done():
                        call.decisions.set_exception(error)
                return
            for call in calls:
                own = [next(decisions) for _ in call.charges]
                if not call.decisions.done():
                    call.decisions.set_result(own)

    async def _ask(self, calls: Sequence[_Call]) -> list[LimitDecision]:
        charges = [charge for call in calls for charge in call.charges]
        numbers = [number for limiter, _ in charges for number in (limiter.step, limiter.window)]
        async with patience(PATIENCE_SECONDS):
            answers = await self._script(
                keys=[f"limit:{limiter.name}:{key}" for limiter, key in charges],
                args=[len(calls), *(len(call.charges) for call in calls), *numbers],
            )
        return [
            limiter.decision(passed=bool(passed), ahead=float(ahead))
            for (limiter, _), (passed, ahead) in zip(charges, answers, strict=True)
        ]


async def hit_all(charges: Charges) -> list[LimitDecision]:
    """Counts one call against several limits in one round trip; returns the decision of each. The call may
    pass if all allow it, and counts for none of them otherwise. The limiters share Redis and breaker."""
    first, _ = charges[0]
    if first.shared is not None and not first.breaker.open:
        try:
            decisions = await first.shared.hit_all(charges)
        except (RedisError, OSError, TimeoutError) as error:
            first.breaker.record_failure(first.name, error)
        else:
            first.breaker.record_success()
            return decisions
    FALLBACK.labels(first.name).inc()
    return _decide_alone(charges)


def _decide_alone(charges: Charges) -> list[LimitDecision]:
    now = time.monotonic()
    arrivals = [limiter.local_arrival(key, now) for limiter, key in charges]
    allowed = all(passed for _, passed in arrivals)
    decisions = []
    for (limiter, key), (tat, passed) in zip(charges, arrivals, strict=True):
        if allowed:
            limiter.count_locally(key, tat, now)
        ahead = tat - now + (limiter.step if allowed else 0.0)
        decisions.append(limiter.decision(passed=passed, ahead=ahead))
    return decisions


def headers_of(decisions: Sequence[tuple[Limiter, LimitDecision]]) -> dict[str, str]:
    """The RateLimit fields of the IETF draft, with each limit that the call counted against, and Retry-After
    for a refusal."""
    fields = {
        "RateLimit-Policy": ", ".join(at.policy for at, _ in decisions),
        "RateLimit": ", ".join(f'"{at.name}";r={it.remaining};t={it.reset}' for at, it in decisions),
    }
    wait = max(it.retry_after for _, it in decisions)
    return {**fields, "Retry-After": str(wait)} if wait else fields


def open_redis(url: str) -> Redis:
    """A client with one connection, because `SharedCounts` asks one question at a time. It opens a connection
    that was lost anew, once for a command. It limits only the time to connect, generously, because that also
    runs out while this process is busy: callers wait with `patience`."""
    return Redis.from_url(
        url,
        single_connection_client=True,
        socket_timeout=None,
        socket_connect_timeout=CONNECT_SECONDS,
        retry=Retry(NoBackoff(), 1),
    )
