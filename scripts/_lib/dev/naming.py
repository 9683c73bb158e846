"""The naming rule of `scripts/lint`: no filler words as identifiers, and module names of known words.

`check` is the entry point. An identifier such as `found` or `_known` says nothing about the thing it names:
name the thing (`rows`, `contact`). A new word in a module name goes into `module_words.txt`, if it is a noun
of the field and no word there means the same.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from scripts._lib.dev.virtualenv import ROOT

BANNED = frozenset(
    """one found asked said told nobody somebody wanted given kept made known seen someone everybody whatever
    stands went telling begun heard struck""".split()  # noqa: SIM905 -- a list of words
)
FOLDERS = ("app", "db", "jobs", "scripts", "tests")
# Tests and migrations are named for what they show and do; a kind is named as members read it.
KINDS = ("app/engine/core/steps", "app/engine/core/triggers")
NAMED_FREELY = ("tests", "db/migrations/versions", *KINDS)
WORDS_FILE = Path(__file__).with_name("module_words.txt")
MOST_EXCEPTIONS = 20

# Identifiers that stay, as (path, name): the reason.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("app/filters/ast.py", "ONE"): "the number of values that an operator takes",
}


class Finding(NamedTuple):
    """A banned identifier: its file below the root, line and name."""

    path: str
    line: int
    name: str


def is_banned(name: str) -> bool:
    """Whether an identifier is a banned word, in any case and with any leading underscores."""
    return name.lower().strip("_") in BANNED


def banned_names(path: str, source: str) -> Iterator[Finding]:
    """The banned words that a file assigns, takes as parameters, or calls its functions and classes."""
    for node in ast.walk(ast.parse(source, path)):
        for name, line in _bound_names(node):
            if is_banned(name) and (path, name) not in EXCEPTIONS:
                yield Finding(path, line, name)


def _bound_names(node: ast.AST) -> Iterator[tuple[str, int]]:
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
            yield name, node.lineno
        case ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name, node.lineno
        case ast.AsyncFunctionDef(name=name) | ast.ExceptHandler(name=str(name)):
            yield name, node.lineno
        case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name, node.lineno
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            yield from ((alias.asname, node.lineno) for alias in aliases if alias.asname)


def unknown_words(path: str, words: frozenset[str]) -> list[str]:
    """The words in the name of a module (a file or a folder) that `words` does not hold."""
    if path.startswith(NAMED_FREELY):
        return []
    parts = [part for part in Path(path).with_suffix("").parts[1:] if part != "__init__"]
    return [word for part in parts for word in part.strip("_").split("_") if word not in words]


def source_paths(root: Path = ROOT) -> list[str]:
    """Every Python file of ours, below the root."""
    return sorted(
        path.relative_to(root).as_posix() for folder in FOLDERS for path in (root / folder).rglob("*.py")
    )


def find_all(root: Path = ROOT) -> list[Finding]:
    """Every banned identifier in the tree."""
    return [
        finding
        for path in source_paths(root)
        for finding in banned_names(path, (root / path).read_text(encoding="utf-8"))
    ]


def read_words() -> frozenset[str]:
    """The words that module names are made of."""
    lines = WORDS_FILE.read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def check(root: Path = ROOT) -> list[str]:
    """A sentence for each name that breaks the rule."""
    words = read_words()
    problems = [
        f"{finding.path}:{finding.line}: `{finding.name}` says nothing; name what it is"
        for finding in find_all(root)
    ]
    for path in source_paths(root):
        problems += [
            f"{path}: `{word}` isn't a word of {WORDS_FILE.name}" for word in unknown_words(path, words)
        ]
    return problems


def main() -> None:
    """Print each name that breaks the rule. Exit with code 1 when there is one."""
    problems = check()
    print("\n".join(problems) if problems else "names: no filler words, no unknown module names")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
