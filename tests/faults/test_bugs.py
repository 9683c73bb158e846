"""Every planted bug still has its place in the code; `scripts/faults --bugs` shows that each is caught."""

from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from scripts.local.environment import ROOT
from tests.faults.bugs import Bug
from tests.faults.plant import BUGS, NOT_DECIDED, red, trouble, verdict_of


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_it_can_be_planted(bug: Bug) -> None:
    assert trouble(bug) == "", "the code has changed: say in tests/faults/bugs where this bug would stand now"
    assert bug.find != bug.replace
    for test in bug.tests:
        assert not test.endswith(".py") or (ROOT / test).exists(), test


def test_there_are_enough_of_them() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 20


HANGS = """
import subprocess, time

def test_it_never_ends():
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    open("child", "w").write(str(child.pid))
    time.sleep(600)
"""


def test_a_test_that_does_not_end_decides_nothing(tmp_path: Path) -> None:
    """Nor does what it has started live on."""
    (tmp_path / "test_hangs.py").write_text(HANGS)
    code, _ = red(tmp_path, ("test_hangs.py",), seconds=6)
    assert code == NOT_DECIDED
    with suppress(psutil.NoSuchProcess):
        assert psutil.Process(int((tmp_path / "child").read_text())).status() == psutil.STATUS_ZOMBIE
    assert verdict_of("not decided: it did not end") == "not decided"
