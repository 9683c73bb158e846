"""When to try again: pure."""

import random
from datetime import timedelta

MAX_ATTEMPTS = 12  # in about four hours
FIRST_SECONDS = 15.0
MAX_SECONDS = 3600.0
MAX_RETRY_AFTER = 86_400.0


def retry_delay(attempts: int, wish: float | None = None) -> timedelta:
    """How long to wait after this many attempts: doubling from 15 seconds to an hour, with up to a quarter
    more so that those who failed together do not come back together. The other side's wish (seconds) counts
    when it is longer, up to a day."""
    own = min(FIRST_SECONDS * 2 ** max(attempts - 1, 0), MAX_SECONDS)
    longest = max(own, min(wish or 0.0, MAX_RETRY_AFTER))
    return timedelta(seconds=longest * (1 + random.random() / 4))  # noqa: S311 -- spread, not a secret
