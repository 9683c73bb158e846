"""Names: the rule of `scripts/lint`, and that no two classes share a name."""

import ast
from collections import defaultdict

import pytest

from scripts._lib.dev import naming
from tests.rules.files import ROOT, name, sources, tree

FILLERS = """
found = 1
def asked(given, *, _known): ...
class Made:
    seen: int
    def __init__(self): self._kept = 1
for one in (): pass
try: pass
except OSError as said: pass
import os as told
match found:
    case {"a": wanted}: pass
"""
PLAIN = """
rows = [one_row for one_row in ()]
def known_tags(found_at): return found_at.one
"""


def test_fillers_are_found_where_a_name_is_bound() -> None:
    names = {finding.name for finding in naming.banned_names("app/x.py", FILLERS)}
    assert names == {
        "found",
        "asked",
        "given",
        "_known",
        "Made",
        "seen",
        "_kept",
        "one",
        "said",
        "told",
        "wanted",
    }


def test_words_within_longer_names_and_uses_are_left_alone() -> None:
    assert list(naming.banned_names("app/x.py", PLAIN)) == []


@pytest.mark.parametrize(
    ("path", "unknown"),
    [
        ("app/engine/core/wait_times.py", []),
        ("app/contacts/__init__.py", []),
        ("app/contacts/letting_in.py", ["letting", "in"]),
        ("app/told/pages.py", ["told"]),
        ("tests/unit/test_whatever_they_show.py", []),
    ],
)
def test_module_names_are_made_of_the_words_of_the_field(path: str, unknown: list[str]) -> None:
    words = naming.read_words()
    assert naming.unknown_words(path, words) == unknown


def test_no_source_breaks_the_rule() -> None:
    assert naming.check() == []


def test_the_exceptions_are_few_and_real() -> None:
    assert len(naming.EXCEPTIONS) <= naming.MOST_EXCEPTIONS
    for (path, word), reason in naming.EXCEPTIONS.items():
        assert (ROOT / path).exists(), path
        assert naming.is_banned(word), word
        assert len(reason) > 10, word


@pytest.mark.parametrize("folders", [("app", "db", "jobs"), ("tests",)], ids=["product", "tests"])
def test_no_two_classes_share_a_name(folders: tuple[str, ...]) -> None:
    places = defaultdict(list)
    for path in sources(*folders):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(name(path))
    assert {named: paths for named, paths in places.items() if len(paths) > 1} == {}
