"""The docs name files, tables and other pages that exist."""

import re
from pathlib import Path

import pytest

from db.models import Base
from tests.rules.files import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FOLDERS = r"(?:app|db|jobs|scripts|static|templates|tests|docs)/"
# A path in backticks: `app/work.py`, `app/<feature>/schemas.py`. `…` and `*` end the part that is checked.
PATH = re.compile(rf"`({FOLDERS}[\w./<>-]*)")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
BANNED = re.compile(r"\b(?:e-mails?|whoever|whomever|nobody|somebody)\b", re.IGNORECASE)
FETCHED = {"static/vendor"}  # by scripts/setup


def titled(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def missing_paths(text: str) -> list[str]:
    """The paths that do not exist; a `<kind>` stands for any name."""
    paths = {path.rstrip("/.") for path in PATH.findall(text)} - FETCHED
    return sorted(path for path in paths if not any(ROOT.glob(re.sub("<[^>]*>", "*", path))))


def test_a_missing_path_is_noticed() -> None:
    assert missing_paths("`app/work.py`, `app/<feature>/schemas.py`, `app/no.py`") == ["app/no.py"]


@pytest.mark.parametrize("page", PAGES, ids=titled)
def test_files_that_docs_name_exist(page: Path) -> None:
    assert missing_paths(page.read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=titled)
def test_links_between_docs_lead_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=titled)
def test_docs_use_plain_words(page: Path) -> None:
    assert BANNED.findall(page.read_text()) == []


def test_every_page_is_linked_from_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / target).resolve() for target in LINK.findall(index.read_text())}
    pages = {page for page in (ROOT / "docs").glob("*.md") if page != index}
    assert sorted(map(titled, pages - linked)) == []


def test_every_table_is_described() -> None:
    text = (ROOT / "docs" / "database.md").read_text()
    assert sorted(table for table in Base.metadata.tables if f"`{table}`" not in text) == []


@pytest.mark.parametrize("checklist", ["step", "trigger", "screen"])
def test_checklists_keep_their_budget(checklist: str) -> None:
    """The numbered files of a checklist: at most five for a step or a trigger, six for a screen."""
    page = ROOT / "docs" / f"adding-a-{checklist}.md"
    if page.exists():
        steps = re.findall(r"^\d+\. ", page.read_text(), re.MULTILINE)
        assert 0 < len(steps) <= (6 if checklist == "screen" else 5)
