"""Single rows of the matrix of faults, each a function with its id in its name: `f03_postgres_is_killed`.

A scenario takes a `Scene`, breaks one thing, and raises `Broken` with a sentence when the number of its row
does not hold. What it returns are the figures that it saw. Those in `tested` run the tests of their row.
"""

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

from scripts._lib.faults.scenarios.scenario import Scene

MODULES = (
    "worker_failures", "postgres_outages", "redis_outages", "lease_races", "clock_skew", "restarts",
    "pytest_runs",
)  # fmt: skip
Row = Callable[[type[Scene]], Awaitable[dict[str, Any]]]


def rows() -> dict[str, Row]:
    """Every scenario by its name, in the order of the matrix."""
    modules = [import_module(f"scripts._lib.faults.scenarios.{module}") for module in MODULES]
    found = {name: value for module in modules for name, value in vars(module).items()}
    return {name: found[name] for name in sorted(found) if name[0] == "f" and name[1:3].isdigit()}


def chosen(wanted: str) -> dict[str, Row]:
    """The scenarios of some rows (`F03,F07`), or those named in full. Raises ValueError."""
    every = rows()
    picked: dict[str, Row] = {}
    for one in filter(None, (part.strip().lower() for part in wanted.split(","))):
        these = {name: row for name, row in every.items() if name == one or name.startswith(f"{one}_")}
        if not these:
            raise ValueError(f"There is no row “{one}”. There are: {', '.join(every)}.")
        picked |= these
    return picked
