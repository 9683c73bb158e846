"""docs/workflows.md names every operator of every type of field, and no other."""

import re

from app.filters.fields import OPERATORS
from tests.rules.files import ROOT

ROW = re.compile(r"^\| ([a-z_, ]+) \| ((?:`[a-z_]+` ?)+) \|$", re.MULTILINE)


def test_documented_operators_match_the_code() -> None:
    section = (ROOT / "docs" / "workflows.md").read_text().partition("## Filters")[2].partition("\n## ")[0]
    table = {
        name: re.findall(r"`([a-z_]+)`", operators)
        for names, operators in ROW.findall(section)
        for name in names.split(", ")
    }
    assert table == {
        type_.value: [operator.op.value for operator in some] for type_, some in OPERATORS.items()
    }
