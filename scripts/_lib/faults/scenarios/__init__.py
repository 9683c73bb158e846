"""The rows of docs/faults.md, one function for each, with the row's number in its name:
`f03_postgres_is_killed`.

A scenario starts a `Harness`, breaks one thing, and raises `ScenarioFailed` with a sentence when its row does
not hold. It returns the figures that it measured. Those in `pytest_runs` run the tests of their row.

`all_scenarios` and `select_scenarios` are the entry points.
"""

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

MODULES = (
    "worker_failures", "postgres_outages", "redis_outages", "lease_races", "clock_skew", "restarts", "holds",
    "pytest_runs",
)  # fmt: skip
Scenario = Callable[[], Awaitable[dict[str, Any]]]


def all_scenarios() -> dict[str, Scenario]:
    """Every scenario by its name, in the order of the rows."""
    modules = [import_module(f"{__name__}.{module}") for module in MODULES]
    members = {name: member for module in modules for name, member in vars(module).items()}
    return {name: members[name] for name in sorted(members) if name[0] == "f" and name[1:3].isdigit()}


def select_scenarios(names: str) -> dict[str, Scenario]:
    """The scenarios of some rows (`F03,F07`), or those named in full.

    Raises ValueError for an unknown name.
    """
    every = all_scenarios()
    selected: dict[str, Scenario] = {}
    for name in filter(None, (part.strip().lower() for part in names.split(","))):
        matching = {key: every[key] for key in every if key == name or key.startswith(f"{name}_")}
        if not matching:
            raise ValueError(f"There is no row “{name}”. The rows are: {', '.join(every)}.")
        selected |= matching
    return selected
