"""`scripts/faults`: the long run, or one of the other kinds of fault tests, see `--help` and docs/faults.md.

`main` is the entry point. Without options it makes the long run (`chaos_run`) and then runs every scenario.
"""

import argparse
import asyncio
import json
import random
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from scripts._lib.dev.terminal import print_progress
from scripts._lib.faults.chaos_run import SETTLE_SECONDS, SETTLE_SECONDS_SHORT, run_chaos
from scripts._lib.faults.judge import RunVerdict
from scripts._lib.faults.scenarios import Scenario, all_scenarios, select_scenarios

KILLS, SHORT_KILLS = 1000, 24


def main(arguments: Sequence[str] | None = None) -> None:
    """Exit with code 1 when a count that must be zero isn't, or when a scenario fails."""
    started = time.monotonic()
    options = create_parser().parse_args(arguments)
    if options.list:
        for name, scenario in all_scenarios().items():
            summary, *_ = (scenario.__doc__ or "").splitlines()
            print(f"{name:40} {summary.rstrip('.:')}")
        return
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    if options.simulate:
        report_and_exit(run_guarded(lambda: run_simulation(options.simulate, seed)), options.json)
    if options.matrix:
        report_and_exit(run_guarded(run_matrix), options.json)
    if options.bugs:
        report_and_exit(run_guarded(run_planted_bugs), options.json)
    if options.rows:
        try:
            scenarios = all_scenarios() if options.rows == "all" else select_scenarios(options.rows)
        except ValueError as error:
            sys.exit(f"scripts/faults: {error}")
        report_and_exit(asyncio.run(run_scenarios(scenarios)), options.json)
    kills = SHORT_KILLS if options.short else options.kills or KILLS
    settle_seconds = SETTLE_SECONDS_SHORT if options.short else SETTLE_SECONDS
    report = asyncio.run(run_chaos(seed, kills, settle_seconds))
    print_report(report)
    if not report["holds"]:
        print_progress(f"faults: to repeat this run: scripts/faults --seed {seed} --kills {kills}")
    if not options.short and options.kills is None:
        rows = asyncio.run(run_scenarios(all_scenarios()))
        report |= {"holds": report["holds"] and rows["holds"], "rows": rows["rows"]}
    report["seconds"] = round(time.monotonic() - started)
    report_and_exit(report, options.json)


def run_guarded(run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The report of a run; an exception is a report that does not hold."""
    try:
        return run()
    except Exception as error:  # noqa: BLE001 -- whatever it is, the last line must say it
        traceback.print_exc()
        return {"holds": False, "why": [f"the run itself failed: {type(error).__name__}: {error}"[:2000]]}


def report_and_exit(report: dict[str, Any], as_json: bool) -> None:
    """Print the verdict and, as the last line, the JSON; exit with code 0 or 1."""
    print_progress("faults: passed" if report["holds"] else "faults: FAILED")
    if as_json:
        print(json.dumps(report), flush=True)
    sys.exit(0 if report["holds"] else 1)


def create_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="scripts/faults", description="Break a running Switchyard, then check that nothing was lost."
    )
    parser.add_argument("--seed", type=int, help="decides what breaks when (default: a new seed, printed)")
    parser.add_argument("--short", action="store_true", help=f"{SHORT_KILLS} worker kills, two minutes")
    parser.add_argument(
        "--kills", type=int, help=f"number of worker kills (default: {KILLS}, followed by every row)"
    )
    parser.add_argument("--rows", metavar="F03,F07", help="run only these rows of docs/faults.md, or `all`")
    parser.add_argument(
        "--matrix", action="store_true", help="break at every point of app/fault_hook.py, in each way"
    )
    parser.add_argument("--bugs", action="store_true", help="plant bugs, one by one; each must fail a test")
    parser.add_argument(
        "--simulate", type=int, metavar="STEPS", help="run the engine core in simulated worlds"
    )
    parser.add_argument("--list", action="store_true", help="list the rows and exit")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser


def run_matrix() -> dict[str, Any]:
    """F02: break each commit of the engine in each way."""
    from tests.faults.matrix import cases, run

    failures = run(print_progress)
    return {"holds": not failures, "cases": len(cases()), "failures": failures}


def run_planted_bugs() -> dict[str, Any]:
    """Plant each bug in a copy of the tree; a test must catch it."""
    from tests.faults.planted_bugs import BUGS, run

    missed = run(print_progress)
    return {"holds": not missed, "bugs": len(BUGS), "missed": missed}


def run_simulation(steps: int, seed: int) -> dict[str, Any]:
    """Simulate worlds, starting with the one of this seed. A failure names the seed of its world."""
    from tests.simulation.world import simulate_many

    print_progress(f"faults: to repeat these worlds: scripts/faults --simulate {steps} --seed {seed}")
    try:
        return {"holds": True, "seed": seed, "steps": simulate_many(steps, seed)}
    except AssertionError as error:
        traceback.print_exc()
        return {"holds": False, "seed": seed, "why": str(error)}


async def run_scenarios(scenarios: dict[str, Scenario]) -> dict[str, Any]:
    """Run one scenario after the other, each on servers of its own."""
    rows: dict[str, Any] = {}
    for name, scenario in scenarios.items():
        started = time.monotonic()
        try:
            row = {"holds": True, **await scenario()}
        except Exception as error:  # noqa: BLE001 -- any exception fails the scenario; the others go on
            traceback.print_exc()
            row = {"holds": False, "why": f"{type(error).__name__}: {error}"[:2000]}
        rows[name] = row | {"seconds": round(time.monotonic() - started, 1)}
        print_progress(f"faults: {name} {rows[name]}")
        if not row["holds"]:
            print_progress(f"faults: to repeat only this row: scripts/faults --rows {name}")
    return {"holds": all(row["holds"] for row in rows.values()), "rows": rows}


def print_report(report: dict[str, Any]) -> None:
    """Print one line for each figure, then the reasons of a failure."""
    for name, figure in report.items():
        if name != "why":
            mark = "   <- must be 0" if name in RunVerdict.MUST_BE_ZERO and figure else ""
            print(f"{name:26} {figure}{mark}")
    for reason in report["why"]:
        print(f"  {reason[:400]}")


if __name__ == "__main__":
    main()
