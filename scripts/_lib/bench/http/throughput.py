"""Requests per second and CPU, ours and a peer's in turns.

`measure_pair` alternates rounds of both and returns the median of the ratios; `measure_alone` measures ours
only. CPU is that of the web process with its children, and of PostgreSQL, over a round, divided by its
requests.
"""

import asyncio
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psutil

from scripts._lib.bench.http.load_generator import Request, send_for
from scripts._lib.bench.testbed import Testbed, cpu_seconds_of

CONNECTIONS = 8
WARM_UP_SECONDS = 0.5
IS_ANY_UNMATCHED = "select exists (select from events where matched_at is null)"


@dataclass(frozen=True)
class Target:
    """What is measured: a server, and how its next request is made."""

    port: int
    process: psutil.Process
    make_request: Callable[[], Request]


@dataclass(frozen=True)
class Round:
    """One round: requests per second, CPU milliseconds for each request, bytes for each answer."""

    per_second: float
    web_ms: float
    postgres_ms: float
    wire_bytes: float


@dataclass
class Rounds:
    """The rounds of one target."""

    rounds: list[Round] = field(default_factory=list)

    @property
    def web_ms(self) -> float:
        """The median of the web process's CPU milliseconds."""
        return statistics.median(each.web_ms for each in self.rounds)

    def describe(self) -> dict[str, float]:
        """The medians."""
        return {
            "per_second": round(statistics.median(each.per_second for each in self.rounds), 1),
            "web_cpu_ms": round(self.web_ms, 2),
            "postgres_cpu_ms": round(statistics.median(each.postgres_ms for each in self.rounds), 2),
            "kb": round(statistics.median(each.wire_bytes for each in self.rounds) / 1000, 1),
        }


@dataclass
class Pair:
    """The rounds of our web server and of a peer, one of ours beside one of theirs."""

    ours: Rounds = field(default_factory=Rounds)
    peer: Rounds = field(default_factory=Rounds)

    def ratios(self) -> list[float]:
        """Our requests per second divided by the peer's, round by round."""
        rounds = zip(self.ours.rounds, self.peer.rounds, strict=True)
        return [ours.per_second / peer.per_second for ours, peer in rounds]

    def ratio(self) -> float:
        return round(statistics.median(self.ratios()), 3)

    def describe(self) -> dict[str, Any]:
        return {
            "ours": self.ours.describe(),
            "peer": self.peer.describe(),
            "ratios": [round(ratio, 2) for ratio in self.ratios()],
        }


async def measure_pair(testbed: Testbed, ours: Target, peer: Target, rounds: int, seconds: float) -> Pair:
    """Measure both in turns; who begins changes from round to round."""
    pair = Pair()
    for target in (ours, peer):
        await send_for(target.port, target.make_request, CONNECTIONS, WARM_UP_SECONDS)
    for number in range(rounds):
        turns = [(ours, pair.ours), (peer, pair.peer)]
        for target, results in turns if number % 2 == 0 else reversed(turns):
            results.rounds.append(await measure_round(testbed, target, seconds))
    return pair


async def measure_alone(testbed: Testbed, ours: Target, rounds: int, seconds: float) -> Rounds:
    """Measure one target."""
    await send_for(ours.port, ours.make_request, CONNECTIONS, WARM_UP_SECONDS)
    return Rounds([await measure_round(testbed, ours, seconds) for _ in range(rounds)])


async def measure_round(testbed: Testbed, target: Target, seconds: float) -> Round:
    """One round, once the worker has handled what the round before left."""
    await wait_until_matched(testbed)
    web = [target.process, *target.process.children(recursive=True)]
    postgres = testbed.postgres_processes()
    web_before, postgres_before = cpu_seconds_of(web), cpu_seconds_of(postgres)
    load = await send_for(target.port, target.make_request, CONNECTIONS, seconds)
    requests = len(load.latencies)
    return Round(
        per_second=load.per_second,
        web_ms=(cpu_seconds_of(web) - web_before) / requests * 1000,
        postgres_ms=(cpu_seconds_of(postgres) - postgres_before) / requests * 1000,
        wire_bytes=load.wire_bytes / requests,
    )


async def wait_until_matched(testbed: Testbed) -> None:
    """Wait until the worker has matched every event."""
    async with asyncio.timeout(120):
        while await testbed.admin.fetchval(IS_ANY_UNMATCHED):  # noqa: ASYNC110 -- another process matches them
            await asyncio.sleep(0.1)
