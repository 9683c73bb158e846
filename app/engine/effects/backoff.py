"""Retry delays. Pure."""

import random
from datetime import timedelta

MAX_ATTEMPTS = 12  # in about four hours
FIRST_SECONDS = 15.0
MAX_SECONDS = 3600.0
MAX_RETRY_AFTER = 86_400.0


def retry_delay(attempts: int, retry_after: float | None = None) -> timedelta:
    """How long to wait after this many attempts: doubling from 15 seconds to an hour, plus up to a quarter at
    random, so that calls that failed together are not retried together. The server's Retry-After (seconds)
    counts if it is longer, up to a day."""
    delay = min(FIRST_SECONDS * 2 ** max(attempts - 1, 0), MAX_SECONDS)
    longest = max(delay, min(retry_after or 0.0, MAX_RETRY_AFTER))
    return timedelta(seconds=longest * (1 + random.random() / 4))  # noqa: S311 -- spread, not a secret
