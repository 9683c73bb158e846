"""Results that the requests of one process share."""

import asyncio

import pytest

from app.shared_results import MOST, SharedResults


class SettableClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class CountingComputation:
    """Computes how often it was asked; each time it takes `took` seconds of the clock."""

    def __init__(self, clock: SettableClock, took: float) -> None:
        self.clock, self.took, self.calls = clock, took, 0

    async def __call__(self) -> int:
        self.calls += 1
        await asyncio.sleep(0)
        self.clock.now += self.took
        return self.calls


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


async def test_a_result_is_used_for_twenty_times_its_own_duration(clock: SettableClock) -> None:
    shared, compute = SharedResults(clock=clock), CountingComputation(clock, took=2)
    assert await shared.get("a", compute) == 1
    clock.now += 39
    assert await shared.get("a", compute, seconds=2) == 1
    clock.now += 1
    assert await shared.get("a", compute, seconds=2) == 2


async def test_a_quick_result_is_used_for_the_seconds_that_were_asked_for(clock: SettableClock) -> None:
    shared, compute = SharedResults(clock=clock), CountingComputation(clock, took=0)
    assert await shared.get("a", compute, seconds=2) == 1
    clock.now += 1.9
    assert await shared.get("a", compute, seconds=2) == 1
    assert await shared.get("a", compute) == 2, "a page shows what is true now"
    clock.now += 2
    assert await shared.get("a", compute, seconds=2) == 3


async def test_waiting_before_it_is_no_part_of_the_duration(clock: SettableClock) -> None:
    shared, compute = SharedResults(clock=clock), CountingComputation(clock, took=1)

    async def wait() -> None:
        await asyncio.sleep(0)
        clock.now += 5

    assert await shared.get("a", compute, wait=wait) == 1
    clock.now += 19
    assert await shared.get("a", compute, wait=wait) == 1
    clock.now += 1
    assert await shared.get("a", compute, wait=wait) == 2
    assert await SharedResults(times=0, clock=clock).get("a", compute, wait=wait) == 3


async def test_many_at_once_compute_once(clock: SettableClock) -> None:
    shared, compute = SharedResults(clock=clock), CountingComputation(clock, took=1)
    assert await asyncio.gather(*(shared.get("a", compute) for _ in range(50))) == [1] * 50
    clock.now += 100
    results = await asyncio.gather(*(shared.get("a", compute) for _ in range(50)))
    assert sorted(results) == [1] * 49 + [2], "whoever comes meanwhile gets the one before"


async def test_after_a_failure_or_cancellation_the_next_caller_computes(clock: SettableClock) -> None:
    shared, compute = SharedResults(clock=clock), CountingComputation(clock, took=1)

    async def never() -> int:
        await asyncio.Event().wait()
        return 0

    async def fails() -> int:
        raise OSError("gone")

    gone = asyncio.create_task(shared.get("a", never))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(shared.get("a", compute))
    await asyncio.sleep(0)
    gone.cancel()
    assert await waiting == 1
    with pytest.raises(OSError, match="gone"):
        await shared.get("b", fails)
    assert await shared.get("b", compute) == 2


async def test_keys_are_separate_and_expire(clock: SettableClock) -> None:
    shared, compute = SharedResults(clock=clock), CountingComputation(clock, took=1)
    for number in range(MOST + 10):
        await shared.get(number, compute)
    assert compute.calls == MOST + 10 == await shared.get(MOST + 9, compute)
    assert len(shared._entries) == MOST
