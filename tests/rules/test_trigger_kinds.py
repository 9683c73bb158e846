"""A new trigger kind takes the five files that `docs/adding-a-trigger.md` names."""

import re
from inspect import getmodule

import pytest

from app.engine.core.triggers import TRIGGERS, TriggerConfig
from tests.rules.files import ROOT

CHECKLIST = (ROOT / "docs/adding-a-trigger.md").read_text()
TABLE = (ROOT / "docs/workflows.md").read_text().split("| trigger |")[1].split("\n\n")[0].lower()
SHARED = {"__init__", "base"}


def stems(folder: str, pattern: str) -> set[str]:
    return {path.stem for path in (ROOT / folder).glob(pattern)}


def test_every_kind_has_its_module() -> None:
    assert stems("app/engine/core/triggers", "*.py") - SHARED == set(TRIGGERS)
    modules = {kind: getmodule(trigger) for kind, trigger in TRIGGERS.items()}
    assert {kind: module.__name__.rpartition(".")[2] for kind, module in modules.items() if module} == {
        kind: kind for kind in TRIGGERS
    }


def test_every_kind_with_fields_of_its_own_has_a_sheet_template() -> None:
    shared = set(TriggerConfig.__struct_fields__) | {"missed"}
    with_fields = {kind for kind, trigger in TRIGGERS.items() if set(trigger.__struct_fields__) - shared}
    assert stems("templates/workflows/triggers", "*.html") == with_fields


def test_the_checklist_names_five_files_that_exist() -> None:
    items = re.findall(r"^\d\. .*?`([^`]+)`", CHECKLIST, flags=re.MULTILINE)
    assert len(items) == 5, items
    for path in re.findall(r"`((?:app|templates|tests|docs)/[^`]+)`", CHECKLIST):
        assert (ROOT / path.replace("<kind>", "field_changed")).exists(), path


@pytest.mark.parametrize("kind", TRIGGERS)
def test_every_kind_is_in_the_table_of_triggers(kind: str) -> None:
    assert [word for word in TRIGGERS[kind].label.lower().split() if word not in TABLE] == []
