"""`scripts/lint` runs every check and names those that fail."""

import pytest

from scripts._lib.dev import lint


def test_every_check_runs_and_failures_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def run(command: list[str]) -> bool:
        ran.append(command)
        return command not in (lint.CHECKS["types"], lint.CHECKS["imports"])

    monkeypatch.setattr(lint, "run_check", run)
    with pytest.raises(SystemExit, match=r"^lint: types, imports failed$"):
        lint.main([])
    assert ran == list(lint.CHECKS.values())


def test_imports_are_checked_in_seconds(capfd: pytest.CaptureFixture[str]) -> None:
    assert lint.run_check(lint.CHECKS["imports"])
    assert "0 broken" in capfd.readouterr().out
