"""Shows that the tests can fail: each planted bug, in a copy of the tree, must turn a test red."""

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

from scripts.local.environment import ROOT
from tests.faults.bugs import Bug, effects, end_to_end, engine

BUGS: tuple[Bug, ...] = (*effects.BUGS, *engine.BUGS, *end_to_end.BUGS)
COPIED = ("app", "db", "jobs", "scripts", "static", "templates", "tests", "docs")
FILES = ("pyproject.toml", "README.md", ".env.example")
RED = 1  # pytest's code for tests that failed; others say that it could not run them
NOT_DECIDED = 124
MINUTES = 5
Report = Callable[[str], None]


def trouble(bug: Bug, root: Path = ROOT) -> str:
    """Why the bug cannot be planted; "" when it can."""
    path = root / bug.file
    if not path.exists():
        return f"{bug.name}: {bug.file} is gone."
    count = path.read_text().count(bug.find)
    return "" if count == 1 else f"{bug.name}: its place stands {count} times in {bug.file}, not once."


def plant(bug: Bug, root: Path) -> None:
    path = root / bug.file
    path.write_text(path.read_text().replace(bug.find, bug.replace))


def copy(target: Path) -> None:
    for name in COPIED:
        shutil.copytree(
            ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True
        )
    if (ROOT / ".venv").exists():
        (target / ".venv").symlink_to(ROOT / ".venv")  # scripts start the program with its interpreter
    for name in FILES:
        shutil.copy2(ROOT / name, target / name)


def red(root: Path, tests: Sequence[str], seconds: float = 60 * MINUTES) -> tuple[int, str]:
    """pytest's exit code in that tree, and the end of what it said. One that does not end in time is ended
    with all that it has started: NOT_DECIDED."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(  # noqa: S603 -- our own tests
            [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", *tests],
            cwd=root, env={**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=output, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            end_all(process.pid)
            process.wait()
            code = NOT_DECIDED
        except BaseException:
            end_all(process.pid)
            raise
        output.seek(0)
        return code, output.read()[-2000:]


def end_all(pid: int) -> None:
    """That process and its descendants, servers in groups of their own among them."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        processes = [parent, *parent.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes[1:], timeout=10)


def run(report: Report, bugs: Sequence[Bug] = BUGS) -> dict[str, str]:
    """Plant one after the other; why each that was not caught was not. A test that is red without the bug
    proves nothing, so each is run on the clean copy first."""
    missed: dict[str, str] = {}
    clean: dict[tuple[str, ...], tuple[int, str]] = {}
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name) / "tree"
        tree.mkdir()
        copy(tree)
        for number, bug in enumerate(bugs, 1):
            begun = time.monotonic()
            problem = trouble(bug, tree)
            if not problem:
                if bug.tests not in clean:
                    clean[bug.tests] = red(tree, bug.tests)
                problem = (
                    "" if clean[bug.tests][0] == 0 else f"its test is red without it: {clean[bug.tests][1]}"
                )
            problem = problem or _caught(bug, tree)
            if problem:
                missed[bug.name] = problem
            seconds = time.monotonic() - begun
            report(f"{number}/{len(bugs)} {bug.name}: {verdict_of(problem)} ({seconds:.0f} s)")
    return missed


def verdict_of(problem: str) -> str:
    """In a word or two."""
    if problem.startswith("not decided"):
        return "not decided"
    return "NOT caught" if problem else "caught"


def _caught(bug: Bug, tree: Path) -> str:
    before = (tree / bug.file).read_text()
    plant(bug, tree)
    try:
        code, output = red(tree, bug.tests)
    finally:
        (tree / bug.file).write_text(before)
    if code == NOT_DECIDED:
        return f"not decided: its test did not end within {MINUTES} minutes. {output}"
    return "" if code == RED else f"pytest ended with {code}: {output}"
