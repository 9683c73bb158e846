"""`scripts/faults --bugs`: shows that the tests can fail.

`run` copies the tree and plants the bugs of `tests/faults/bugs` there, one at a time. The tests that a bug
names must pass without it and fail with it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from scripts._lib.dev.virtualenv import ROOT
from tests.faults.bugs import Bug, effects, end_to_end, engine

BUGS: tuple[Bug, ...] = (*effects.BUGS, *engine.BUGS, *end_to_end.BUGS)
FOLDERS = ("app", "db", "jobs", "scripts", "static", "templates", "tests", "docs")
FILES = ("pyproject.toml", "README.md", ".env.example")
TESTS_FAILED = 1  # pytest's exit code; others say that it could not run the tests
TIMED_OUT = 124
TIMEOUT_MINUTES = 5
Report = Callable[[str], None]


def planting_problem(bug: Bug, root: Path = ROOT) -> str:
    """Why the bug cannot be planted; "" when it can."""
    path = root / bug.file
    if not path.exists():
        return f"{bug.name}: {bug.file} is gone."
    count = path.read_text().count(bug.find)
    return "" if count == 1 else f"{bug.name}: the code to replace is {count} times in {bug.file}, not once."


def run(report: Report, bugs: Sequence[Bug] = BUGS) -> dict[str, str]:
    """Plant each bug and run its tests; returns the bugs that were not caught, with the reason."""
    missed: dict[str, str] = {}
    clean_runs: dict[tuple[str, ...], tuple[int, str]] = {}
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name) / "tree"
        tree.mkdir()
        copy_sources(tree)
        for number, bug in enumerate(bugs, 1):
            started = time.monotonic()
            problem = planting_problem(bug, tree)
            if not problem:
                if bug.tests not in clean_runs:
                    clean_runs[bug.tests] = run_tests(tree, bug.tests)
                code, output = clean_runs[bug.tests]
                problem = f"its tests fail without it: {output}" if code else _run_with(bug, tree)
            if problem:
                missed[bug.name] = problem
            seconds = time.monotonic() - started
            report(f"{number}/{len(bugs)} {bug.name}: {verdict_of(problem)} ({seconds:.0f} s)")
    return missed


def copy_sources(target: Path) -> None:
    """Copy what the tests need into an empty folder."""
    for name in FOLDERS:
        shutil.copytree(
            ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True
        )
    if (ROOT / ".venv").exists():
        (target / ".venv").symlink_to(ROOT / ".venv")  # scripts start the program with its interpreter
    for name in FILES:
        shutil.copy2(ROOT / name, target / name)


def _run_with(bug: Bug, tree: Path) -> str:
    """Why the bug was not caught; "" when it was."""
    path = tree / bug.file
    original = path.read_text()
    path.write_text(original.replace(bug.find, bug.replace))
    try:
        code, output = run_tests(tree, bug.tests)
    finally:
        path.write_text(original)
    if code == TIMED_OUT:
        return f"not decided: its tests did not end within {TIMEOUT_MINUTES} minutes. {output}"
    return "" if code == TESTS_FAILED else f"pytest ended with {code}: {output}"


def run_tests(root: Path, tests: Sequence[str], seconds: float = 60 * TIMEOUT_MINUTES) -> tuple[int, str]:
    """pytest's exit code in that tree and the end of its output. Tests that take longer are killed with all
    processes that they started: TIMED_OUT."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(  # noqa: S603 -- our own tests
            [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", *tests],
            cwd=root, env={**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=output, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            kill_with_descendants(process.pid)
            process.wait()
            code = TIMED_OUT
        except BaseException:
            kill_with_descendants(process.pid)
            raise
        output.seek(0)
        return code, output.read()[-2000:]


def kill_with_descendants(pid: int) -> None:
    """Kill a process and its descendants, also those in process groups of their own."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        processes = [parent, *parent.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes[1:], timeout=10)


def verdict_of(problem: str) -> str:
    """A problem in a word or two."""
    if problem.startswith("not decided"):
        return "not decided"
    return "NOT caught" if problem else "caught"
