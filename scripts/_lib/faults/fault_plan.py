"""What breaks when, planned from one seed before the run begins. `make_plan` is the entry point."""

import random
from dataclasses import dataclass

WORKERS = 4
SECONDS_PER_KILL = 1.5


@dataclass(frozen=True)
class PlannedFault:
    """One fault: `at` seconds after the start, for `seconds`; `worker` is the number of the worker it hits.

    `kind` is the name of the method of `FaultInjector` that carries it out.
    """

    at: float
    kind: str
    worker: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class FaultPlan:
    """All faults of a run in their order. `seconds` is how long things break, without the time to settle."""

    seed: int
    seconds: float
    faults: tuple[PlannedFault, ...]

    def count(self, kind: str) -> int:
        return sum(fault.kind == kind for fault in self.faults)


def make_plan(seed: int, kills: int, lease: float) -> FaultPlan:
    """Plan `kills` worker kills, and a proportionate number of every other fault.

    1,000 kills take 25 minutes and include 20 kills of PostgreSQL. `lease` is in seconds.
    """
    chance = random.Random(seed)  # noqa: S311 -- repeatable on purpose
    seconds = max(kills * SECONDS_PER_KILL, 30.0)
    faults = [
        PlannedFault(chance.uniform(0, seconds), "kill_worker", chance.randrange(WORKERS))
        for _ in range(kills)
    ]
    faults += [PlannedFault(at, "kill_postgres") for at in spread_times(chance, seconds, max(1, kills // 50))]
    faults += [
        PlannedFault(at, "stop_worker", chance.randrange(WORKERS), lease * chance.uniform(1.2, 2.5))
        for at in spread_times(chance, seconds, max(2, kills // 16))
    ]
    for kind, count, longest in (
        ("freeze_valkey", kills // 50, 12.0),
        ("restart_valkey", kills // 100, 4.0),
        ("drop_connections", kills // 20, 6.0),
        ("kill_web", kills // 60, 0.0),
    ):
        faults += [
            PlannedFault(at, kind, 0, chance.uniform(0.3, 1) * longest)
            for at in spread_times(chance, seconds, max(1, count))
        ]
    return FaultPlan(seed, seconds, tuple(sorted(faults, key=lambda fault: fault.at)))


def spread_times(chance: random.Random, seconds: float, count: int) -> list[float]:
    """One random time in each of `count` equal parts of the run, without its first and last tenth."""
    part = seconds * 0.8 / count
    return [seconds * 0.1 + part * (number + chance.random()) for number in range(count)]
