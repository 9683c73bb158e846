"""`scripts/bench`: the speed of the engine, and of pages and JSON, as ratios within one run, and of lists of
a million contacts."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
import uvloop

from scripts._lib.bench import report
from scripts._lib.bench.http import benchmark
from scripts._lib.bench.http.measured_run import HttpSizes
from scripts._lib.bench.http.parts import OF_A_MILLION
from scripts._lib.bench.http.parts import PARTS as HTTP_PARTS
from scripts._lib.bench.lateness import measure_herd, measure_streams
from scripts._lib.bench.lists import benchmark as lists_benchmark
from scripts._lib.bench.lists.cases import GROUPS
from scripts._lib.bench.matching_throughput import measure_matching
from scripts._lib.bench.memory import measure_memory
from scripts._lib.bench.step_throughput import measure_step_throughput, summarize
from scripts._lib.bench.testbed import running_testbed
from scripts._lib.dev.terminal import ScriptError, print_progress

PARTS = ("draining", "matching", "herd", "late", "memory")
WITH_REAL_WORKER = ("herd", "late", "memory")


class Sizes(msgspec.Struct, frozen=True):
    """How much of everything: contacts, events, rounds, seconds."""

    contacts: int = 100_000
    rounds: int = 3
    jobs: int = 1_000
    events: int = 100_000
    event_rounds: int = 3
    herd: int = 100_000
    small: int = 10
    per_second: int = 200
    seconds: int = 60
    some_accounts: int = 50
    many_accounts: int = 1_000
    few: int = 10_000
    many: int = 1_000_000
    sample_seconds: float = 30


QUICK = Sizes(
    contacts=2_000, rounds=1, jobs=100, events=2_000, event_rounds=1, herd=3_000, seconds=5,
    few=1_000, many=5_000, sample_seconds=10,
)  # fmt: skip


async def measure(parts: Sequence[str], sizes: Sizes) -> dict[str, Any]:
    """Measure these parts on servers of their own; return the figures by JSON key."""
    figures: dict[str, Any] = {"machine": report.describe_machine()}
    if {"draining", "matching"} & set(parts):
        async with running_testbed() as testbed:
            if "draining" in parts:
                print_progress("draining …")
                rounds = await measure_step_throughput(testbed, sizes.contacts, sizes.rounds, sizes.jobs)
                figures |= summarize(rounds)
            if "matching" in parts:
                print_progress("matching …")
                figures |= await measure_matching(testbed, sizes.events, sizes.event_rounds)
    if set(WITH_REAL_WORKER) & set(parts):
        async with running_testbed(track_commit_timestamp="on") as testbed:
            if "herd" in parts:
                print_progress("herd …")
                figures |= await measure_herd(testbed, sizes.herd, sizes.small)
            if "late" in parts:
                print_progress("late …")
                figures |= await measure_streams(
                    testbed, sizes.per_second, sizes.seconds, sizes.some_accounts, sizes.many_accounts
                )
            if "memory" in parts:
                print_progress("memory …")
                figures |= await measure_memory(testbed, sizes.few, sizes.many, sizes.sample_seconds)
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table and, with `--json`, one JSON object as the last line."""
    options = read_options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped too
    try:
        if options.what == "engine":
            sizes, goals = QUICK if options.quick else Sizes(), report.GOALS
            figures = asyncio.run(measure(options.only or PARTS, sizes))
        elif options.what == "list":
            contacts, goals = 20_000 if options.quick else options.contacts, report.LIST_GOALS
            figures = uvloop.run(lists_benchmark.measure(contacts, options.only))
        else:
            http_sizes, goals = benchmark.QUICK if options.quick else HttpSizes(), report.HTTP_GOALS
            figures = uvloop.run(
                benchmark.measure(options.only or http_parts(options.skip_million), http_sizes)
            )
    except ScriptError as error:
        sys.exit(f"scripts/bench: {error}")
    print(report.format_table(figures, goals))
    if options.json:
        print(msgspec.json.encode(figures).decode())


def http_parts(skip_million: bool) -> Sequence[str]:
    """The parts of `scripts/bench http` that are measured unless some are named."""
    return [part for part in HTTP_PARTS if not (skip_million and part in OF_A_MILLION)]


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Measure the engine, or pages and JSON."
    )
    subjects = parser.add_subparsers(dest="what", required=True)
    for what, parts in (("engine", PARTS), ("http", tuple(HTTP_PARTS)), ("list", GROUPS)):
        subject = subjects.add_parser(what)
        subject.add_argument("--json", action="store_true", help="print one JSON object as the last line")
        subject.add_argument("--quick", action="store_true", help="use small numbers: does it run at all?")
        if what == "list":
            subject.add_argument("--contacts", type=int, default=1_000_000, help="of the large account")
        subject.add_argument(
            "--only", choices=parts, action="append", help="measure this part (may be repeated)"
        )
        if what == "http":
            subject.add_argument(
                "--skip-million", action="store_true", help="leave out what needs a million contacts"
            )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
