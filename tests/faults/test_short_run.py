"""The short run of `scripts/faults` and its quick rows; the full run has the other rows."""

import json
import subprocess
import sys
from typing import Any

import pytest

from scripts._lib.faults.fault_plan import make_plan
from scripts._lib.faults.judge import RunVerdict
from scripts._lib.faults.scenarios import all_scenarios, select_scenarios
from tests.rules.files import ROOT

SEED = 11
REGRESSIONS: tuple[int, ...] = ()  # seeds that once failed
QUICK_ROWS = "F03,F08,F10,f09_a_thousand_races,f09_worker_stalls_past_its_lease"


def faults(*arguments: str, seconds: float) -> dict[str, Any]:
    """The report of `scripts/faults … --json`, whether everything holds or not."""
    done = subprocess.run(  # noqa: S603 -- our own program
        [sys.executable, "-m", "scripts._lib.faults.main", *arguments, "--json"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.stdout, done.stderr[-4000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode == 0) is report["holds"]
    assert isinstance(report, dict)
    return report


@pytest.mark.slow
@pytest.mark.parametrize("seed", [SEED, *REGRESSIONS])
def test_the_short_run_loses_and_repeats_nothing(seed: int) -> None:
    report = faults("--short", "--seed", str(seed), seconds=180)
    assert {name: report[name] for name in RunVerdict.MUST_BE_ZERO} == dict.fromkeys(
        RunVerdict.MUST_BE_ZERO, 0
    ), report["why"]
    assert report["holds"], report["why"]
    plan = make_plan(seed, report["worker_kills"], 2.0)
    assert report["worker_kills"] == plan.count("kill_worker") >= 20
    assert report["seconds"] <= 120
    assert report["postgres_kills"] == plan.count("kill_postgres") >= 1
    assert report["redis_flushes"] >= 10
    assert report["acknowledged"] >= 20
    assert report["deliveries"] >= 50


@pytest.mark.slow
@pytest.mark.parametrize("row", select_scenarios(QUICK_ROWS))
def test_a_row_holds(row: str) -> None:
    report = faults("--rows", row, seconds=180)
    assert report["rows"][row]["holds"], report["rows"][row]["why"]


def test_a_seed_determines_its_plan() -> None:
    assert make_plan(5, 100, 2.0) == make_plan(5, 100, 2.0)
    assert make_plan(5, 100, 2.0) != make_plan(6, 100, 2.0)
    full = make_plan(1, 1000, 2.0)
    assert (full.count("kill_worker"), full.count("kill_postgres")) == (1000, 20)
    assert full.seconds <= 40 * 60


def test_every_row_is_there() -> None:
    expected = {f"f{number:02}" for number in range(1, 26)} - {"f17", "f19"}
    assert {name.partition("_")[0] for name in all_scenarios()} == expected


def test_every_row_has_a_docstring_and_unknown_rows_are_refused() -> None:
    assert [name for name, row in all_scenarios().items() if not (row.__doc__ or "").strip()] == []
    with pytest.raises(ValueError, match="no row"):
        select_scenarios("F99")
