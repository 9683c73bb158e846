"""The counts of the navigation: at most five seconds old, and one's own acts show at once."""

from app.web.recent_counts import MOST_SECONDS, RecentCounts


class Approvals:
    def __init__(self) -> None:
        self.open = 0

    async def count(self) -> dict[str, int]:
        return {"approvals": self.open}


async def test_counts_are_shared_for_five_seconds() -> None:
    moment, approvals = [100.0], Approvals()
    counts = RecentCounts(clock=lambda: moment[0])
    assert await counts.get("ann", approvals.count) == {"approvals": 0}
    approvals.open = 3
    moment[0] += MOST_SECONDS - 0.01
    assert await counts.get("ann", approvals.count) == {"approvals": 0}
    assert await counts.get("bo", approvals.count) == {"approvals": 3}, "each member has their own"
    moment[0] += 0.01
    assert await counts.get("ann", approvals.count) == {"approvals": 3}


async def test_the_age_counts_from_before_the_count() -> None:
    moment, approvals = [100.0], Approvals()
    counts = RecentCounts(clock=lambda: moment[0])

    async def slow() -> dict[str, int]:
        counted = await approvals.count()
        moment[0] += MOST_SECONDS
        return counted

    await counts.get("ann", slow)
    approvals.open = 1
    assert await counts.get("ann", approvals.count) == {"approvals": 1}


async def test_a_member_who_acts_is_counted_again() -> None:
    approvals, counts = Approvals(), RecentCounts()
    await counts.get("ann", approvals.count)
    approvals.open = 1
    counts.forget("ann")
    counts.forget("bo")
    assert await counts.get("ann", approvals.count) == {"approvals": 1}


async def test_zero_seconds_count_each_time() -> None:
    approvals, counts = Approvals(), RecentCounts(seconds=0)
    await counts.get("ann", approvals.count)
    approvals.open = 1
    assert await counts.get("ann", approvals.count) == {"approvals": 1}
