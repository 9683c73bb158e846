"""`scripts/counts`: how often app, db and jobs say `Any`, how often without a reason, and how many account
conditions are written by hand (`account_conditions.py`).

`any_uses` finds the uses in one file: each `Any` in an annotation, a cast, a base class or another
expression, also in a quoted annotation; imports don't count. A name for `Any`, or for a type that contains it
(`Row = dict[str, Any]`), hides uses: `any_aliases` finds these.

A use has a reason if a comment or docstring with `Any:` or `` `Any` `` covers its line:
- a comment behind code covers its line;
- a comment on a line of its own covers the lines beneath it up to a blank line, and all of the classes and
  functions that begin there;
- the docstring of a class or function covers all of it.

`scripts/lint` runs it. Each count has a limit in `LIMITS`: lower it when the count falls.
"""

import argparse
import ast
import io
import re
import sys
import tokenize
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

from scripts._lib.dev.account_conditions import Place, account_conditions
from scripts._lib.dev.virtualenv import ROOT

FOLDERS = ("app", "db", "jobs")
REASON = re.compile(r"`Any`|\bAny:")
LIMITS = {
    "uses of Any": 22,
    "uses of Any without a reason": 0,
    "aliases of Any": 0,
    "account conditions by hand": 4,
}
Definition: TypeAlias = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
TYPE_EXPRESSION = (
    ast.Name,
    ast.Attribute,
    ast.Subscript,
    ast.BinOp,
    ast.BitOr,
    ast.Tuple,
    ast.List,
    ast.Constant,
    ast.Load,
)


def any_uses(source: str) -> list[int]:
    """The lines of a file that use `Any`, once for each use."""
    tree = ast.parse(source)
    lines = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.expr) and _is_any(node)]
    for text in _quoted_types(tree):
        lines += [text.lineno] * sum(map(_is_any, ast.walk(_parsed(text))))
    return sorted(lines)


def any_aliases(source: str) -> list[int]:
    """The lines that give `Any`, or a type that contains it, another name."""
    return sorted(
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.expr, ast.stmt, ast.alias)) and _is_alias(node)
    )


def explained_lines(source: str) -> set[int]:
    """The lines that a reason covers."""
    lines = source.splitlines()
    explained: set[int] = set()
    starts: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or not REASON.search(token.string):
            continue
        first = last = token.start[0]
        if lines[first - 1].lstrip().startswith("#"):
            while last < len(lines) and lines[last].strip():
                last += 1
            starts.update(range(first, last + 1))
        explained.update(range(first, last + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Definition):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first in starts or REASON.search(ast.get_docstring(node) or ""):
                explained.update(range(first, (node.end_lineno or first) + 1))
    return explained


def _is_any(node: ast.AST) -> bool:
    match node:
        case ast.Name(id="Any") | ast.Attribute(attr="Any"):
            return True
    return False


def _contains_any(node: ast.AST) -> bool:
    texts = [
        part for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ]
    return any(_is_any(part) for tree in (node, *map(_parsed, texts)) for part in ast.walk(tree))


def _is_alias(node: ast.AST) -> bool:
    match node:
        case ast.alias(name="Any", asname=str()):
            return True
        case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
            return all(isinstance(part, TYPE_EXPRESSION) for part in ast.walk(value)) and _contains_any(value)
        case ast.Call(func=ast.Name(id="NewType"), args=[_, kind]):
            return _contains_any(kind)
        case ast.ClassDef(bases=bases):
            return any(map(_is_any, bases))
    return False


def _quoted_types(tree: ast.AST) -> Iterator[ast.Constant]:
    """The strings of a file that are read as types."""
    for node in ast.walk(tree):
        match node:
            case ast.arg(annotation=ast.expr() as kind):
                yield from _texts(kind)
            case (
                ast.FunctionDef(returns=ast.expr() as kind) | ast.AsyncFunctionDef(returns=ast.expr() as kind)
            ):
                yield from _texts(kind)
            case ast.AnnAssign(annotation=ast.Name(id="TypeAlias"), value=ast.expr() as kind):
                yield from _texts(kind)
            case ast.AnnAssign(annotation=kind):
                yield from _texts(kind)
            case ast.Call(func=ast.Name(id="cast"), args=[kind, *_]):
                yield from _texts(kind)
            case ast.ClassDef(bases=bases):
                for base in bases:
                    yield from _texts(base)


def _texts(kind: ast.expr) -> Iterator[ast.Constant]:
    match kind:
        case ast.Constant(value=str()):
            yield kind
        case ast.Subscript(value=ast.Name(id="Literal")):
            return
        case _:
            for part in ast.iter_child_nodes(kind):
                if isinstance(part, ast.expr):
                    yield from _texts(part)


def _parsed(text: ast.Constant) -> ast.AST:
    """A quoted type as an expression; an empty one if it isn't a type."""
    try:
        return ast.parse(str(text.value), mode="eval")
    except SyntaxError:
        return ast.Expression(ast.Constant(None))


def unexplained(source: str) -> list[int]:
    """The lines that use `Any` without a reason."""
    explained = explained_lines(source)
    return [line for line in any_uses(source) if line not in explained]


COUNTERS: dict[str, Callable[[str], list[int]]] = {
    "uses of Any": any_uses,
    "uses of Any without a reason": unexplained,
    "aliases of Any": any_aliases,
}


def find_all(root: Path = ROOT) -> dict[str, list[Place]]:
    """The places of each count, in the order of `LIMITS`."""
    places: dict[str, list[Place]] = {name: [] for name in LIMITS}
    for path in sorted(path for folder in FOLDERS for path in (root / folder).rglob("*.py")):
        source, name = path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()
        for count, counter in COUNTERS.items():
            places[count] += [Place(name, line) for line in counter(source)]
    places["account conditions by hand"] = account_conditions(root)
    return places


def main(arguments: Sequence[str] | None = None) -> None:
    """Print each count. Exit with code 1 when one is above its limit; then print its places too."""
    parser = argparse.ArgumentParser(prog="scripts/counts", description="Count what types hide.")
    parser.add_argument("--list", action="store_true", help="also print each place")
    options = parser.parse_args(arguments)
    places = find_all()
    too_many = [name for name, limit in LIMITS.items() if len(places[name]) > limit]
    for name, limit in LIMITS.items():
        print(f"counts: {len(places[name])} {name}, at most {limit}")
        if options.list or name in too_many:
            _print_by_file(places[name])
    if too_many:
        sys.exit("counts: too many " + ", ".join(too_many))


def _print_by_file(places: list[Place]) -> None:
    for path, group in groupby(places, key=lambda place: place.path):
        print(f"  {path}: {', '.join(str(place.line) for place in group)}")


if __name__ == "__main__":
    main()
