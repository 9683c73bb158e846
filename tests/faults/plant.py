"""Shows that the tests can fail: each planted bug, in a copy of the tree, must turn a test red."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from scripts.local.environment import ROOT
from tests.faults.bugs import Bug, ledger, moving

BUGS: tuple[Bug, ...] = (*ledger.BUGS, *moving.BUGS)
COPIED = ("app", "db", "jobs", "scripts", "static", "templates", "tests", "docs")
FILES = ("pyproject.toml", "README.md", ".env.example")
RED = 1  # pytest's code for tests that failed; others say that it could not run them
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
    for name in FILES:
        shutil.copy2(ROOT / name, target / name)


def red(root: Path, tests: Sequence[str]) -> tuple[int, str]:
    """pytest's exit code in that tree, and the end of what it said."""
    done = subprocess.run(  # noqa: S603 -- our own tests
        [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", *tests],
        cwd=root, env={**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, check=False, timeout=60 * MINUTES,
    )  # fmt: skip
    return done.returncode, done.stdout[-1500:] + done.stderr[-500:]


def run(report: Report, wanted: Sequence[Bug] = BUGS) -> dict[str, str]:
    """Plant one after the other; why each that was not caught was not. A test that is red without the bug
    proves nothing, so each is run on the clean copy first."""
    missed: dict[str, str] = {}
    clean: dict[tuple[str, ...], tuple[int, str]] = {}
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name) / "tree"
        tree.mkdir()
        copy(tree)
        for number, bug in enumerate(wanted, 1):
            begun = time.monotonic()
            said = trouble(bug, tree)
            if not said:
                if bug.tests not in clean:
                    clean[bug.tests] = red(tree, bug.tests)
                said = (
                    "" if clean[bug.tests][0] == 0 else f"its test is red without it: {clean[bug.tests][1]}"
                )
            said = said or _caught(bug, tree)
            if said:
                missed[bug.name] = said
            seconds = time.monotonic() - begun
            report(
                f"{number}/{len(wanted)} {bug.name}: {'NOT caught' if said else 'caught'} ({seconds:.0f} s)"
            )
    return missed


def _caught(bug: Bug, tree: Path) -> str:
    before = (tree / bug.file).read_text()
    plant(bug, tree)
    try:
        code, said = red(tree, bug.tests)
    except subprocess.TimeoutExpired:
        return ""  # it hangs: that is seen as well
    finally:
        (tree / bug.file).write_text(before)
    return "" if code == RED else f"pytest ended with {code}: {said}"
