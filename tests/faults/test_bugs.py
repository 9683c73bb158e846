"""Every planted bug still has its place in the code; `scripts/faults --bugs` shows that each is caught."""

import pytest

from scripts.local.environment import ROOT
from tests.faults.bugs import Bug
from tests.faults.plant import BUGS, trouble


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_it_can_be_planted(bug: Bug) -> None:
    assert trouble(bug) == "", "the code has changed: say in tests/faults/bugs where this bug would stand now"
    assert bug.find != bug.replace
    for test in bug.tests:
        assert not test.endswith(".py") or (ROOT / test).exists(), test


def test_there_are_enough_of_them() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 20
