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
    assert command.is_whole_suite(arguments) is whole
    assert command.may_select(command.BROWSER_TESTS, arguments) is browser
    assert bool(command.xdist_options(arguments)) is whole


def test_a_choice_of_workers_is_kept() -> None:
    assert command.xdist_options(["-n", "4"]) == []
    assert command.xdist_options(["--numprocesses=0"]) == []


def test_browser_tests_are_taken_out_of_any_choice() -> None:
    assert command.exclude_browser_tests(["-q"]) == ["-q", "-m", "not browser"]
    assert command.exclude_browser_tests(["-m", "slow", "-q"]) == ["-m", "(slow) and not browser", "-q"]
