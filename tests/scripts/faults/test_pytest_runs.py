"""The rows of `scripts/faults` that run tests name tests that exist."""

import ast
from pathlib import Path

import pytest

from scripts._lib.faults.scenarios import pytest_runs
from tests.rules.files import ROOT

SOURCE = Path(pytest_runs.__file__).read_text(encoding="utf-8")
TESTS = sorted(
    {
        node.value
        for node in ast.walk(ast.parse(SOURCE))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("tests/")
    }
)


@pytest.mark.parametrize("test", TESTS)
def test_named_test_exists(test: str) -> None:
    file, _, function = test.partition("::")
    assert (ROOT / file).exists()
    if function:
        assert f"def {function}(" in (ROOT / file).read_text(encoding="utf-8")


def test_rows_name_tests() -> None:
    assert len(TESTS) > 15
