"""What runs when: the SAQ queue, its tasks with their limits, and their cron schedules (UTC)."""

from collections.abc import Mapping
from typing import Any

import msgspec

QUEUE = "switchyard"


class SaqTask(msgspec.Struct, frozen=True):
    """A SAQ task of jobs/worker.py. `timeout` in seconds; `retries` is the number of attempts; `ttl` is how
    long Redis keeps the outcome, in seconds (what matters is in PostgreSQL). `cron` is in UTC."""

    name: str
    timeout: int
    retries: int = 1
    ttl: int = 60
    cron: str = ""


TASKS = (
    # Only wakes the worker; its account queues then do the work of the account, or of all due accounts.
    SaqTask("wake", timeout=120),
    # Delete contacts, notes and tasks that were deleted 30 days ago, and week-old decisions that a filter did
    # not match.
    SaqTask("delete_expired_data", timeout=600, cron="7 * * * *"),
    # Delete webhook deliveries and finished schedule jobs older than 30 days, and events as old that nothing
    # refers to.
    SaqTask("delete_old_events", timeout=3600, cron="37 3 * * *"),
)

SWEEP_SECONDS = 1.0  # how often every worker sweeps and enqueues `wake`, in case a wake-up got lost


def wakeup_key(task: str, arguments: Mapping[str, Any], now: float) -> str:
    """The SAQ key of a wake-up. It contains a time bucket of half a second: the key of a killed worker stays
    "incomplete" for over a minute, and must not keep later wake-ups from being enqueued."""
    named = ":".join(str(arguments[name]) for name in sorted(arguments))
    return f"{task}:{named}:{int(now * 2)}"
