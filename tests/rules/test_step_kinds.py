"""A new step kind takes the five files that `docs/adding-a-step.md` names; no other place names a kind."""

import ast
import re
from pathlib import Path

import pytest

from app.engine.core.steps import KINDS

ROOT = Path(__file__).resolve().parents[2]
CHECKLIST = (ROOT / "docs/adding-a-step.md").read_text()
SHARED = {"__init__", "base", "outbound"}

# Modules that treat some kinds specially, and why. An ordinary kind is named in none of them.
SPECIAL = {
    "app/engine/core/draft.py": "a new lane of a branch",
    "app/engine/core/interpreter.py": "waking up from an email, a webhook, a wait",
    "app/engine/core/recheck_interval.py": "waits",
    "app/engine/core/secret_headers.py": "webhooks",
    "app/engine/core/version.py": "goals and event waits are indexed",
    "app/engine/core/version_migration.py": "waits are carried over",
    "app/engine/core/timing/drip.py": "slots of a drip",
    "app/engine/core/timing/wait_times.py": "ends of waits",
    "app/engine/matching/wake.py": "waits",
    "app/workflows/controllers/form_values.py": "forms with rows",
    "app/workflows/domain/draft_rows.py": "goals have a table",
    "app/workflows/domain/lint/__init__.py": "saved answers of webhooks",
    "app/workflows/domain/lint/cycles.py": "go-tos",
    "app/workflows/domain/references.py": "options that a step writes",
    "app/workflows/use_cases/plan.py": "providers of SMS and chat",
    "app/workflows/use_cases/read.py": "lanes that end with an exit",
}


def test_every_kind_has_its_module_and_its_template() -> None:
    modules = {path.stem for path in (ROOT / "app/engine/core/steps").glob("*.py")} - SHARED
    templates = {path.stem for path in (ROOT / "templates/workflows/steps").glob("*.html")}
    assert modules == templates == set(KINDS)


def test_the_checklist_names_five_files_that_exist() -> None:
    items = re.findall(r"^\d\. .*?`([^`]+)`", CHECKLIST, flags=re.MULTILINE)
    assert len(items) == 5, items
    for path in re.findall(r"`((?:app|templates|tests|docs)/[^`]+)`", CHECKLIST):
        assert (ROOT / path.replace("<kind>", "add_note")).exists(), path


@pytest.mark.parametrize("folder", ["app", "jobs"])
def test_only_special_modules_name_a_kind(folder: str) -> None:
    classes = {kind.config.__name__ for kind in KINDS.values()}
    naming = set()
    for path in (ROOT / folder).rglob("*.py"):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith("app/engine/core/steps/"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or node.module is None:
                continue
            imported = {alias.name for alias in node.names}
            if node.module.startswith("app.engine.core.steps") and classes & imported:
                naming.add(name)
    assert naming <= set(SPECIAL), naming - set(SPECIAL)
