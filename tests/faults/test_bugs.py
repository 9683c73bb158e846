"""Every planted bug still fits the code; `scripts/faults --bugs` shows that each is caught."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from scripts._lib.dev.virtualenv import ROOT
from tests.faults.bugs import Bug
from tests.faults.planted_bugs import BUGS, TIMED_OUT, planting_problem, run_tests, verdict_of


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_bug_can_be_planted(bug: Bug) -> None:
    assert planting_problem(bug) == "", "the code has changed: update the bug in tests/faults/bugs"
    assert bug.find != bug.replace
    for test in bug.tests:
        assert not test.endswith(".py") or (ROOT / test).exists(), test


@pytest.fixture(scope="module")
def collected_tests() -> dict[str, list[str]]:
    """The tests of each file that a bug names, as pytest collects them: one run for all bugs."""
    files = sorted({argument for bug in BUGS for argument in bug.tests if argument.endswith(".py")})
    done = subprocess.run(  # noqa: S603 -- our own tests
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", "-p", "no:cacheprovider", *files],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    ids: dict[str, list[str]] = {file: [] for file in files}
    for line in done.stdout.splitlines():
        file, separator, name = line.partition("::")
        if separator:
            ids[file].append(name)
    return ids


def test_every_bug_selects_a_test(collected_tests: dict[str, list[str]]) -> None:
    """Each word of `-k` is in the name of a test: pytest would also select a file by its name."""
    for bug in BUGS:
        names = [name for file in bug.tests for name in collected_tests.get(file, [])]
        if "-k" in bug.tests:
            expression = bug.tests[bug.tests.index("-k") + 1]
            for word in expression.split(" or "):
                assert any(word in name for name in names), f"{bug.name}: no test has {word!r} in its name"
        assert names, f"{bug.name} names no test"


def test_there_are_enough_bugs() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 20


HANGS = """
import subprocess, time

def test_it_never_ends():
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    open("child", "w").write(str(child.pid))
    time.sleep(600)
"""


def test_a_hanging_test_decides_nothing_and_is_killed_with_its_children(tmp_path: Path) -> None:
    (tmp_path / "test_hangs.py").write_text(HANGS)
    code, _ = run_tests(tmp_path, ("test_hangs.py",), seconds=18)
    assert code == TIMED_OUT
    with suppress(psutil.NoSuchProcess):
        assert psutil.Process(int((tmp_path / "child").read_text())).status() == psutil.STATUS_ZOMBIE
    assert verdict_of("not decided: its tests did not end") == "not decided"
