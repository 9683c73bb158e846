"""What is broken when: the whole run from one seed, before it begins."""

import random
from dataclasses import dataclass

WORKERS = 4
SECONDS_PER_KILL = 1.5


@dataclass(frozen=True)
class Fault:
    """`at` in seconds from the start; `victim` is a worker's number; `seconds` how long it lasts."""

    at: float
    what: str
    victim: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Plan:
    """`seconds` is how long things break; what must settle afterwards is not part of it."""

    seed: int
    seconds: float
    faults: tuple[Fault, ...]

    def count(self, what: str) -> int:
        return sum(fault.what == what for fault in self.faults)


def make_plan(seed: int, kills: int, lease: float) -> Plan:
    """A thousand kills make 25 minutes with 20 of PostgreSQL; fewer make less of everything."""
    chance = random.Random(seed)  # noqa: S311 -- repeatable on purpose
    seconds = max(kills * SECONDS_PER_KILL, 30.0)
    faults = [
        Fault(chance.uniform(0, seconds), "kill_worker", chance.randrange(WORKERS)) for _ in range(kills)
    ]
    faults += [Fault(at, "kill_postgres") for at in spread(chance, seconds, max(1, kills // 50))]
    faults += [
        Fault(at, "stop_worker", chance.randrange(WORKERS), lease * chance.uniform(1.2, 2.5))
        for at in spread(chance, seconds, max(2, kills // 16))
    ]
    for what, count, longest in (
        ("freeze_valkey", kills // 50, 12.0),
        ("restart_valkey", kills // 100, 4.0),
        ("drop_connections", kills // 20, 6.0),
        ("kill_web", kills // 60, 0.0),
    ):
        faults += [
            Fault(at, what, 0, chance.uniform(0.3, 1) * longest)
            for at in spread(chance, seconds, max(1, count))
        ]
    return Plan(seed, seconds, tuple(sorted(faults, key=lambda fault: fault.at)))


def spread(chance: random.Random, seconds: float, count: int) -> list[float]:
    """One moment in each of `count` equal parts of the run, its first and last tenth left alone."""
    part = seconds * 0.8 / count
    return [seconds * 0.1 + part * (number + chance.random()) for number in range(count)]
