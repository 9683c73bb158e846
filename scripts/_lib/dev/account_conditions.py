"""Finds account conditions that are written by hand: `X.account_id == …`, `.account_id.in_(…)` and
`filter_by(account_id=…)`. `account_conditions` is the entry point.

`TenantRepository` in db/tenancy.py adds the condition to every statement of a repository, so in `db` only the
queries need it. Joins count too: they name both accounts because foreign keys do."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[3]
EXEMPT = ("db/queries/", "db/migrations/")


class Place(NamedTuple):
    path: str
    line: int


def account_conditions(root: Path = ROOT) -> list[Place]:
    """Every condition in `db` outside of db/queries and db/migrations, by path and line."""
    places = []
    for path in sorted((root / "db").rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if not name.startswith(EXEMPT):
            places += [Place(name, line) for line in conditions_of(path.read_text(encoding="utf-8"))]
    return places


def conditions_of(source: str) -> list[int]:
    """The lines of the conditions in a source text."""
    return sorted(line for node in ast.walk(ast.parse(source)) for line in _conditions_at(node))


def _conditions_at(node: ast.AST) -> Iterator[int]:
    if isinstance(node, ast.Compare) and any(isinstance(operator, ast.Eq | ast.In) for operator in node.ops):
        if any(_is_column(side) for side in (node.left, *node.comparators)):
            yield node.lineno
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr in ("in_", "__eq__") and _is_column(node.func.value):
            yield node.lineno
        if node.func.attr == "filter_by" and any(word.arg == "account_id" for word in node.keywords):
            yield node.lineno


def _is_column(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "account_id"
