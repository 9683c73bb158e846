"""`scripts/faults`: the chaos run, or single rows of the matrix of faults."""

import argparse
import asyncio
import json
import random
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from scripts._lib.dev.terminal import say
from scripts._lib.faults.chaos_run import SETTLING, SETTLING_SHORT, chaos
from scripts._lib.faults.judge import Verdict
from scripts._lib.faults.scenarios import Row, chosen, rows
from scripts._lib.faults.scenarios.scenario import Scene

FULL, SHORT = 1000, 24


def main(arguments: Sequence[str] | None = None) -> None:
    """Exit code 1 when something that must be zero is not, or a row does not hold."""
    begun = time.monotonic()
    options = parser().parse_args(arguments)
    if options.list:
        for name, row in rows().items():
            print(f"{name:40} {(row.__doc__ or '').split(':')[0].split('.')[0]}")
        return
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    if options.simulate:
        finish(guarded(lambda: simulated(options.simulate, seed)), options.json)
    if options.matrix:
        finish(guarded(matrix), options.json)
    if options.bugs:
        finish(guarded(planted), options.json)
    if options.rows:
        try:
            picked = rows() if options.rows == "all" else chosen(options.rows)
        except ValueError as error:
            sys.exit(f"scripts/faults: {error}")
        finish(asyncio.run(in_turn(picked)), options.json)
    kills = SHORT if options.short else options.kills or FULL
    result = asyncio.run(chaos(seed, kills, SETTLING_SHORT if options.short else SETTLING))
    show(result)
    if not result["holds"]:
        say(f"faults: the same again with --seed {seed} --kills {kills}")
    if not options.short and options.kills is None:
        single = asyncio.run(in_turn(rows()))
        result |= {"holds": result["holds"] and single["holds"], "rows": single["rows"]}
    result["seconds"] = round(time.monotonic() - begun)
    finish(result, options.json)


def guarded(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What it says; an exception is a result that does not hold."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 -- whatever it is, the last line must say it
        traceback.print_exc()
        return {"holds": False, "why": [f"it broke: {type(error).__name__}: {error}"[:2000]]}


def finish(result: dict[str, Any], as_json: bool) -> None:
    """The verdict, the JSON as the last line, and the exit code."""
    say("faults: everything holds" if result["holds"] else "faults: NOT everything holds")
    if as_json:
        print(json.dumps(result), flush=True)
    sys.exit(0 if result["holds"] else 1)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="scripts/faults", description="Break it, and look at what is left.")
    made.add_argument("--seed", type=int, help="what is broken when (default: a new one, which is printed)")
    made.add_argument("--short", action="store_true", help=f"{SHORT} worker kills, within two minutes")
    made.add_argument("--kills", type=int, help=f"worker kills (default: {FULL}, and then every row)")
    made.add_argument("--rows", metavar="F03,F07", help="single rows of the matrix instead, or all")
    made.add_argument(
        "--matrix", action="store_true", help="every point of app/fault_hook.py, broken in each way, instead"
    )
    made.add_argument("--bugs", action="store_true", help="plant bugs; each must turn a test red")
    made.add_argument(
        "--simulate", type=int, metavar="STEPS", help="the pure core in simulated worlds instead"
    )
    made.add_argument("--list", action="store_true", help="which rows there are")
    made.add_argument("--json", action="store_true", help="one JSON object as the last line")
    return made


def matrix() -> dict[str, Any]:
    """F02: each commit of the engine, broken in each way, on servers of its own."""
    from tests.faults.matrix import cases, run

    failures = run(say)
    return {"holds": not failures, "cases": len(cases()), "failures": failures}


def planted() -> dict[str, Any]:
    """Each planted bug in a copy of the tree: what was not caught does not hold."""
    from tests.faults.planted_bugs import BUGS, run

    missed = run(say)
    return {"holds": not missed, "bugs": len(BUGS), "missed": missed}


def simulated(steps: int, seed: int) -> dict[str, Any]:
    """World after world from a first seed on; a failing one is named by its seed."""
    from tests.simulation.world import simulate_many

    say(f"faults: the same worlds again with --simulate {steps} --seed {seed}")
    try:
        return {"holds": True, "seed": seed, "steps": simulate_many(steps, seed)}
    except AssertionError as error:
        traceback.print_exc()
        return {"holds": False, "seed": seed, "why": str(error)}


async def in_turn(picked: dict[str, Row]) -> dict[str, Any]:
    """One row after the other, each on servers of its own."""
    found: dict[str, Any] = {}
    for name, row in picked.items():
        begun = time.monotonic()
        try:
            found[name] = {"holds": True, **await row(Scene)}
        except Exception as error:  # noqa: BLE001 -- a row that fails in any way does not hold; the others go on
            traceback.print_exc()
            found[name] = {"holds": False, "why": f"{type(error).__name__}: {error}"[:2000]}
        found[name]["seconds"] = round(time.monotonic() - begun, 1)
        say(f"faults: {name} {found[name]}")
        if not found[name]["holds"]:
            say(f"faults: only that again with --rows {name}")
    return {"holds": all(one["holds"] for one in found.values()), "rows": found}


def show(result: dict[str, Any]) -> None:
    for name, value in result.items():
        if name != "why":
            print(f"{name:26} {value}{'' if name not in Verdict.ZEROS or not value else '   <- must be 0'}")
    for line in result["why"]:
        print(f"  {line[:400]}")


if __name__ == "__main__":
    main()
