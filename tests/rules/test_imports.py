"""What import-linter cannot check of its own contracts (pyproject.toml), and that they are kept and bite."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rules.files import ROOT, imports, name, sources, within

PROGRAM = ("app", "db", "jobs")
PURE = (
    "app/engine/core/",
    "app/filters/",
    "app/email_addresses.py",
    "app/json_types.py",
    "app/permissions.py",
    "app/stored_text.py",
)
OURS = (*PROGRAM, "scripts", "tests")
CONFIG = (ROOT / "pyproject.toml").read_text()
CONTRACTS: dict[str, dict[str, Any]] = {  # Any: each type of contract has fields of its own
    contract["id"]: contract for contract in tomllib.loads(CONFIG)["tool"]["importlinter"]["contracts"]
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from scripts._lib.dev.import_contracts import main; main()"]
    environment = {"PYTHONPATH": str(ROOT), "COLUMNS": "500"}
    return subprocess.run(  # noqa: S603 -- this program and nothing from outside
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources and the contracts, to plant breaches in."""
    folder = tmp_path_factory.mktemp("copy")
    for package in PROGRAM:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_the_contracts_are_kept(copy: Path) -> None:
    result = lint(copy)
    assert result.returncode == 0, result.stdout + result.stderr


# File, line to add, and what the message has to contain: the breach and what to do.
BREACHES = {
    "the engine imports the web framework": (
        "app/engine/advancing/loader.py",
        "import litestar",
        ["app.engine.advancing.loader -> litestar", "return a struct"],
    ),
    "pure code reads the database through others": (
        "app/engine/core/timing/drip.py",
        "import db.ids",
        ["app.engine.core.timing.drip -> db.ids", "passes them as arguments"],
    ),
    "pure code reads the clock": (
        "app/filters/times.py",
        "import time",
        ["app.filters.times -> time", "passes them as arguments"],
    ),
    "a feature imports another one": (
        "app/tags/use_cases.py",
        "import app.notes.use_cases",
        ["app.tags.use_cases -> app.notes.use_cases", "emits an event"],
    ),
    "the engine imports a use case that features share": (
        "app/engine/matching/matcher.py",
        "import app.tags.use_cases",
        ["app.engine.matching.matcher -> app.tags.use_cases", "emits an event"],
    ),
    "the web kit imports a use case that features share": (
        "app/web/actions.py",
        "import app.tags.use_cases",
        ["app.web.actions -> app.tags.use_cases", "emits an event"],
    ),
    "a controller imports the screens of another feature": (
        "app/contacts/controllers.py",
        "import app.tasks.pages",
        ["app.contacts.controllers -> app.tasks.pages", "emits an event"],
    ),
    "a use case imports the rules of another feature": (
        "app/tags/use_cases.py",
        "import app.contacts.domain",
        ["app.tags.use_cases -> app.contacts.domain", "emits an event"],
    ),
    "schemas import their use cases": (
        "app/notes/schemas.py",
        "import app.notes.use_cases",
        ["app.notes.schemas -> app.notes.use_cases", "may import those after it"],
    ),
    "a controller writes SQL": (
        "app/tags/controllers.py",
        "import sqlalchemy",
        ["app.tags.controllers -> sqlalchemy", "A read is a method of a repository"],
    ),
    "the database imports a use case": (
        "db/queries/retention.py",
        "import app.tags.use_cases",
        ["db.queries.retention -> app.tags.use_cases", "has to be pure code"],
    ),
    "a use case calls out by itself": (
        "app/tags/use_cases.py",
        "import httpx",
        ["app.tags.use_cases -> httpx", "app/ports.py"],
    ),
    "a use case enqueues by itself": (
        "app/tags/use_cases.py",
        "import saq",
        ["app.tags.use_cases -> saq", "notify_worker"],
    ),
    "a controller reads a token by itself": (
        "app/tags/controllers.py",
        "import jwt",
        ["app.tags.controllers -> jwt", "app/web/tokens.py"],
    ),
    "the program imports a script": (
        "jobs/worker.py",
        "import scripts._lib.dev.files",
        ["jobs.worker -> scripts", "belongs in app/"],
    ),
    "a module without a layer": (
        "app/new_helper.py",
        "",
        ["- app.new_helper", "goes into its layer in pyproject.toml (contract `app`)"],
    ),
    "a feature without a layer": (
        "app/invoices/__init__.py",
        "",
        ["- app.invoices", "a new feature also into the contract `features`"],
    ),
    "a file of a feature without a layer": (
        "app/tags/cleverness.py",
        "",
        ["- app.tags.cleverness", "(contract `features`)"],
    ),
    "a package of the engine without a layer": (
        "app/engine/planning.py",
        "",
        ["- app.engine.planning", "in the contracts `engine` and `app`"],
    ),
    "a module of db without a layer": (
        "db/caching.py",
        "",
        ["- db.caching", "(contract `db`)"],
    ),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_is_named_with_what_to_do(copy: Path, breach: str) -> None:
    place, line, messages = BREACHES[breach]
    path = copy / place
    before = path.read_text() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text((before or "") + f"\n{line}\n")
    try:
        result = lint(copy)
    finally:
        if before is None:
            path.unlink()
            if path.name == "__init__.py":
                path.parent.rmdir()
        else:
            path.write_text(before)
    assert result.returncode == 1, result.stdout
    output = " ".join(result.stdout.split())
    assert [message for message in messages if message not in output] == [], result.stdout


def test_an_exception_that_nothing_needs_fails(copy: Path) -> None:
    (copy / "pyproject.toml").write_text(CONFIG.replace("app.cli -> alembic", "app.cli -> pytest"))
    try:
        result = lint(copy)
    finally:
        (copy / "pyproject.toml").write_text(CONFIG)
    assert result.returncode == 1
    assert "No matches for ignored import app.cli -> pytest" in result.stdout
    assert "remove that line" in result.stdout


def test_a_new_statement_or_task_needs_no_line(copy: Path) -> None:
    new = [copy / "db/queries/new_topic.py", copy / "app/web/new_tool.py", copy / "jobs/new_turns.py"]
    for path in new:
        path.write_text("")
    try:
        assert lint(copy).returncode == 0
    finally:
        for path in new:
            path.unlink()


def test_pure_code_uses_only_the_standard_library_and_msgspec() -> None:
    """import-linter has lists of what is forbidden; this one says what is allowed."""
    # Pure data and parsing.
    exceptions = {
        ("app/email_addresses.py", "idna"),
        ("app/filters/countries.py", "phonenumbers"),
        ("app/filters/normalize.py", "phonenumbers"),
    }
    used = {
        (name(path), module.partition(".")[0])
        for path in sources("app")
        if name(path).startswith(PURE) or "domain" in re.split(r"[/.]", name(path))
        for _, module in imports(path)
        if not within(module, OURS) and module.partition(".")[0] not in {"msgspec", *sys.stdlib_module_names}
    }
    assert used == exceptions


def test_import_linter_sees_every_file() -> None:
    """It skips folders without `__init__.py`. The migrations' revisions are generated."""
    unseen = {
        name(path.parent)
        for path in sources(*PROGRAM)
        if not (path.parent / "__init__.py").exists() and path.parent.name != "versions"
    }
    assert unseen == set()


def test_both_lists_of_features_are_the_same() -> None:
    """One list keeps features apart, the other orders the files inside of each."""
    layer = next(names for names in CONTRACTS["app"]["layers"] if "workflows" in names)
    assert [f"app.{feature}" for feature in re.split(r"[\s|]+", layer)] == CONTRACTS["features"]["containers"]


def test_every_exception_has_its_reason_above() -> None:
    blocks = re.findall(r"^ignore_imports = \[\n(.*?)^\]", CONFIG, re.DOTALL | re.MULTILINE)
    assert [block for block in blocks if not block.lstrip().startswith("# ")] == []
    assert CONFIG.count("ignore_imports = [") == sum("ignore_imports" in each for each in CONTRACTS.values())


def test_every_module_that_a_contract_names_exists() -> None:
    """import-linter accepts names of allowed importers that don't exist."""
    named = {module for contract in CONTRACTS.values() for module in modules_in(contract)}
    missing = [
        module
        for module in sorted(named)
        if "*" not in module
        and not any(ROOT.glob(f"{module.replace('.', '/')}{end}") for end in (".py", "/"))
    ]
    assert missing == []


def modules_in(contract: dict[str, Any]) -> Iterator[str]:
    for key in (
        "source_modules",
        "forbidden_modules",
        "protected_modules",
        "allowed_importers",
        "containers",
    ):
        for module in contract.get(key, []):
            if within(module, PROGRAM):
                yield module


def test_the_docs_show_the_layers() -> None:
    """The table of docs/architecture.md has the layers of the contract `app`, in their order."""
    text = (ROOT / "docs/architecture.md").read_text()
    table = text[text.index("| layer | modules |") :].partition("\n\n")[0]
    shown = [
        sorted(re.findall(r"`app/([^`]+?)(?:\.py)?`", row.split("|")[2])) for row in table.splitlines()[2:]
    ]
    layers = [sorted(re.split(r"[\s|:]+", names.replace(".", "/"))) for names in CONTRACTS["app"]["layers"]]
    assert shown == [["<feature>"] if "workflows" in layer else layer for layer in layers]
