"""What `scripts/test` makes of pytest's arguments."""

import pytest

from scripts._lib.dev import test as command


@pytest.mark.parametrize(
    ("arguments", "whole", "browser"),
    [
        ([], True, True),
        (["-x", "-q"], True, True),
        (["tests"], True, True),
        (["-k", "import"], False, True),
        (["tests/unit"], False, False),
        (["tests/unit", "-k", "x"], False, False),
        (["tests/unit/test_a.py::test_b"], False, False),
        (["tests/browser"], False, True),
        (["tests/browser/test_a.py"], False, True),
        (["tests/unit", "tests/browser"], False, True),
    ],
)
def test_what_is_asked_for(arguments: list[str], whole: bool, browser: bool) -> None:
    assert command.is_whole(arguments) is whole
    assert command.wants_browser(arguments) is browser
    assert bool(command.workers(arguments)) is whole


def test_a_choice_of_workers_is_kept() -> None:
    assert command.workers(["-n", "4"]) == []
    assert command.workers(["--numprocesses=0"]) == []


def test_browser_tests_are_taken_out_of_any_choice() -> None:
    assert command.without_browser(["-q"]) == ["-q", "-m", "not browser"]
    assert command.without_browser(["-m", "slow", "-q"]) == ["-m", "(slow) and not browser", "-q"]
