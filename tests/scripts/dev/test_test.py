"""What `scripts/test` makes of pytest's arguments."""

from pathlib import Path

import pytest

from scripts._lib.dev import client_tools
from scripts._lib.dev import test as command


@pytest.mark.parametrize(
    ("arguments", "whole", "browser", "clients"),
    [
        ([], True, True, True),
        (["-x", "-q"], True, True, True),
        (["tests"], True, True, True),
        (["-k", "import"], False, True, True),
        (["tests/unit"], False, False, False),
        (["tests/unit", "-k", "x"], False, False, False),
        (["tests/unit/test_a.py::test_b"], False, False, False),
        (["tests/browser"], False, True, False),
        (["tests/browser/test_a.py"], False, True, False),
        (["tests/unit", "tests/browser"], False, True, False),
        (["tests/clients/test_fuzz.py"], False, False, True),
    ],
)
def test_what_is_asked_for(arguments: list[str], whole: bool, browser: bool, clients: bool) -> None:
    assert command.is_whole_suite(arguments) is whole
    assert command.may_select(command.BROWSER_TESTS, arguments) is browser
    assert command.may_select(command.CLIENT_TESTS, arguments) is clients
    assert bool(command.xdist_options(arguments)) is whole


def test_a_choice_of_workers_is_kept() -> None:
    assert command.xdist_options(["-n", "4"]) == []
    assert command.xdist_options(["--numprocesses=0"]) == []


def test_missing_tools_of_clients_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """scripts/test prints them as NOT RUN."""

    def no_npm() -> client_tools.NodeTools:
        raise client_tools.ToolsMissing("npm: no network")

    monkeypatch.setattr(client_tools, "python_tools", lambda: Path("python"))
    monkeypatch.setattr(client_tools, "node_tools", no_npm)
    assert command.missing_client_tools() == ["the TypeScript client (npm: no network)"]


def test_browser_tests_are_taken_out_of_any_choice() -> None:
    assert command.exclude_browser_tests(["-q"]) == ["-q", "-m", "not browser"]
    assert command.exclude_browser_tests(["-m", "slow", "-q"]) == ["-m", "(slow) and not browser", "-q"]
