"""`scripts/bench engine`: the engine's speed as ratios within one run."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from scripts._lib.bench import report
from scripts._lib.bench.lateness import herd, stream
from scripts._lib.bench.matching_throughput import matching
from scripts._lib.bench.memory import memory
from scripts._lib.bench.step_throughput import draining
from scripts._lib.bench.step_throughput import summary as draining_summary
from scripts._lib.bench.testbed import place
from scripts._lib.dev.terminal import Problem, say

PARTS = ("draining", "matching", "herd", "late", "memory")
WITH_REAL_WORKER = ("herd", "late", "memory")


class Sizes(msgspec.Struct, frozen=True):
    """How much of everything: people, rounds, seconds."""

    people: int = 100_000
    rounds: int = 3
    jobs: int = 1_000
    events: int = 100_000
    event_rounds: int = 3
    herd: int = 100_000
    small: int = 10
    per_second: int = 200
    seconds: int = 60
    few: int = 10_000
    many: int = 1_000_000
    look_seconds: float = 30


QUICK = Sizes(
    people=2_000, rounds=1, jobs=100, events=2_000, event_rounds=1, herd=3_000, seconds=5,
    few=1_000, many=5_000, look_seconds=10,
)  # fmt: skip


async def measure(parts: Sequence[str], sizes: Sizes) -> dict[str, Any]:
    """The figures of these parts, on servers made for them."""
    found: dict[str, Any] = {"machine": report.machine()}
    if {"draining", "matching"} & set(parts):
        async with place() as here:
            if "draining" in parts:
                say("draining …")
                rounds = await draining(here, sizes.people, sizes.rounds, sizes.jobs)
                found |= draining_summary(rounds)
            if "matching" in parts:
                say("matching …")
                found |= await matching(here, sizes.events, sizes.event_rounds)
    if set(WITH_REAL_WORKER) & set(parts):
        async with place(track_commit_timestamp="on") as here:
            if "herd" in parts:
                say("herd …")
                found |= await herd(here, sizes.herd, sizes.small)
            if "late" in parts:
                say("late …")
                found |= await stream(here, sizes.per_second, sizes.seconds)
            if "memory" in parts:
                say("memory …")
                found |= await memory(here, sizes.few, sizes.many, sizes.look_seconds)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table and, if asked for, one JSON object as the last line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure the engine.")
    parser.add_argument("what", choices=["engine"])
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--quick", action="store_true", help="small numbers: does it work at all")
    parser.add_argument("--only", choices=PARTS, action="append", help="one part (may be given again)")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or the servers would stay
    try:
        found = asyncio.run(measure(options.only or PARTS, QUICK if options.quick else Sizes()))
    except Problem as problem:
        sys.exit(f"scripts/bench: {problem}")
    print(report.table(found))
    if options.json:
        print(msgspec.json.encode(found).decode())


if __name__ == "__main__":
    main()
