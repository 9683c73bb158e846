"""`scripts/bench engine`: the engine's speed as ratios within one run."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from scripts.benches import report
from scripts.benches.draining import draining
from scripts.benches.draining import summary as draining_summary
from scripts.benches.place import place
from scripts.local.say import Problem, say

PARTS = ("draining",)


async def measure(parts: Sequence[str], quick: bool) -> dict[str, Any]:
    """The figures of these parts, on servers made for them."""
    found: dict[str, Any] = {"machine": report.machine()}
    if "draining" in parts:
        say("draining …")
        count, rounds, jobs = (2_000, 1, 200) if quick else (100_000, 3, 1_500)
        async with place() as here:
            found |= draining_summary(await draining(here, count, rounds, jobs))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table and, if asked for, one JSON object as the last line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure the engine.")
    parser.add_argument("what", choices=["engine"])
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--quick", action="store_true", help="small numbers: does it work at all")
    parser.add_argument("--only", choices=PARTS, action="append", help="one part (may be given again)")
    options = parser.parse_args(arguments)
    try:
        found = asyncio.run(measure(options.only or PARTS, options.quick))
    except Problem as problem:
        sys.exit(f"scripts/bench: {problem}")
    print(report.table(found))
    if options.json:
        print(msgspec.json.encode(found).decode())


if __name__ == "__main__":
    main()
