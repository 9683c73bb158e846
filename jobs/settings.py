"""The one place to see what runs when: the queue, its tasks with their limits, and the cron."""

from collections.abc import Mapping
from typing import Any

import msgspec

QUEUE = "switchyard"


class Task(msgspec.Struct, frozen=True):
    """A task of jobs/tasks.py. `timeout` in seconds; `retries` counts attempts; `ttl` is how long Redis
    remembers the outcome, in seconds. PostgreSQL remembers what matters for good. `cron` is in UTC."""

    name: str
    timeout: int
    retries: int = 1
    ttl: int = 60
    cron: str = ""


TASKS = (
    # Match events, move enrollments, send effects and do jobs of the accounts that have something due.
    Task("drain", timeout=120),
    # Clear what has served its time: contacts deleted for 30 days, refusals of filters a week old.
    Task("upkeep", timeout=600, cron="7 * * * *"),
    # Forget events and webhook deliveries of more than 30 days ago that nothing refers to.
    Task("forget", timeout=3600, cron="37 3 * * *"),
)

SWEEP_SECONDS = 1.0  # every worker rings `drain` this often: the answer to a lost ring


def ring_key(task: str, arguments: Mapping[str, Any], now: float) -> str:
    """The key of a ring. It contains a time bucket of half a second: a key whose worker was killed
    stays "incomplete" for over a minute, and must not silence the rings that follow."""
    named = ":".join(str(arguments[name]) for name in sorted(arguments))
    return f"{task}:{named}:{int(now * 2)}"
