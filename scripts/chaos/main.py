"""`scripts/faults`: the chaos run, or single rows of the matrix of faults."""

import argparse
import asyncio
import json
import random
import sys
from collections.abc import Sequence
from typing import Any

from scripts.chaos.oracle import Verdict
from scripts.chaos.run import chaos
from scripts.local.say import say

FULL, SHORT = 1000, 24


def main(arguments: Sequence[str] | None = None) -> None:
    """Exit code 1 when something that must be zero is not."""
    options = parser().parse_args(arguments)
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    kills = SHORT if options.short else options.kills
    result = asyncio.run(chaos(seed, kills))
    good = all(result[name] == 0 for name in Verdict.ZEROS)
    show(result)
    say("faults: everything holds" if good else f"faults: NOT everything holds; again with --seed {seed}")
    if options.json:
        print(json.dumps(result), flush=True)
    sys.exit(0 if good else 1)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="scripts/faults", description="Break it, and look at what is left.")
    made.add_argument("--seed", type=int, help="what is broken when (default: a new one, which is printed)")
    made.add_argument("--short", action="store_true", help=f"{SHORT} worker kills, within two minutes")
    made.add_argument("--kills", type=int, default=FULL, help=f"worker kills (default: {FULL}, 40 minutes)")
    made.add_argument("--json", action="store_true", help="one JSON object as the last line")
    return made


def show(result: dict[str, Any]) -> None:
    for name, value in result.items():
        if name != "why":
            print(f"{name:26} {value}{'' if name not in Verdict.ZEROS or not value else '   <- must be 0'}")
    for line in result["why"]:
        print(f"  {line[:400]}")


if __name__ == "__main__":
    main()
