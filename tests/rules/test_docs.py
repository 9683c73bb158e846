"""The docs name files, tables and other pages that exist."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from app.engine.core import advance, steps
from app.engine.core.name_lookup import Names
from app.engine.core.types import Status, StepContext
from app.filters.facts import Facts
from db.models import Base
from tests.rules.files import ROOT
from tests.support.engine_kit import CONTACT, FIELDS, NEW, NOW, PARIS, program

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


def test_the_map_names_every_part() -> None:
    """The map of the README names each package and module of app/ and each folder, and nothing else."""
    [tree] = re.findall(
        r"^```text\n(app/\n.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    columns = [line.strip().partition("  ")[0].split() for line in tree.splitlines()]
    named = {name for names in columns for name in names}
    folders = {
        path.name
        for path in (*ROOT.iterdir(), *(ROOT / "app").iterdir())
        if path.name[0] not in "._" and path.name not in ("node_modules", "build") and _has_files(path)
    }
    modules = {path.name for path in (ROOT / "app").glob("*.py") if not path.name.startswith("__")}
    parts = {f"{name}/" for name in folders if not name.endswith(".egg-info")} | modules
    assert parts - named == set()
    assert {name for name in named if not list(ROOT.glob(f"**/{name}"))} == set()


def _has_files(folder: Path) -> bool:
    """False for a folder that an older checkout left behind: nothing in it but caches."""
    return any(path.is_file() and "__pycache__" not in path.parts for path in folder.rglob("*"))


def test_every_kind_of_step_is_in_the_table() -> None:
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs" / "workflows.md").read_text(), re.MULTILINE)
    named = {name.strip() for row in rows for name in row.split("·")}
    assert {kind.label.lower() for kind in steps.KINDS.values()} - {name.lower() for name in named} == set()


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example of the checklist as a kind that `advance` executes."""
    page = (ROOT / "docs" / "adding-a-step.md").read_text()
    [code] = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    module = ModuleType("clear_field")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(code, "docs/adding-a-step.md", "exec"), module.__dict__)  # noqa: S102 -- our own page
    kind = module.KIND
    monkeypatch.setattr(advance, "EXECUTE", {**steps.EXECUTE, kind.config: kind.execute})
    return module


def test_the_example_of_a_step_works(example: ModuleType) -> None:
    config = example.ClearField(field="city")
    facts = Facts({"city": "Oslo"}, set(), PARIS, CONTACT, "Acme")
    running = program(steps.UpdateField(field="city", operation="clear"))
    running.nodes[0].config = config  # the union of configs has no place for it
    decision = advance.advance(running, NEW, facts, NOW, StepContext())
    assert (decision.status, decision.fields) == (Status.COMPLETED, {"city": None})
    assert [(change.kind, change.old, change.new) for change in decision.changes] == [("field", "Oslo", None)]
    kind, names = example.KIND, Names({})
    assert kind.describe(config, FIELDS, names).title == "Clear City"
    assert list(kind.validate(config, FIELDS, names)) == []
    assert [name for name, _ in kind.validate(example.ClearField(field="email"), FIELDS, names)] == ["field"]
    assert f'id="i-{kind.icon}"' in (ROOT / "static" / "icons.svg").read_text()
