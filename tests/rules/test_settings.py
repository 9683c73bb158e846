"""The settings, .env.example and the README's table say the same."""

import re

import msgspec

from app.settings import Settings
from tests.rules.files import ROOT

FIELDS = {field.name.upper(): field for field in msgspec.structs.fields(Settings)}
# In .env.example these are shown filled in: their defaults cannot sign in anywhere.
FILLED = {"DATABASE_URL", "MIGRATE_DATABASE_URL"}


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def table() -> dict[str, list[str]]:
    """The README's settings table: name → [default, meaning]."""
    rows = re.findall(r"^\| `([A-Z_]+)` \|(.*)\|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split("|")] for name, rest in rows}


def documented_default(default: object) -> str:
    if isinstance(default, bool):
        return str(int(default))
    if isinstance(default, list):
        return ",".join(default)
    return str(default)


def default_of(name: str) -> object:
    field = FIELDS[name]
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


def test_the_example_names_every_setting_and_no_other() -> None:
    assert sorted(example()) == sorted(FIELDS)


def test_the_example_shows_the_defaults() -> None:
    wrong = {k: v for k, v in example().items() if k not in FILLED and v != documented_default(default_of(k))}
    assert wrong == {}


def test_the_readme_names_every_setting_and_no_other() -> None:
    assert sorted(table()) == sorted(FIELDS)


def test_the_readme_shows_the_defaults_and_a_meaning() -> None:
    wrong = {}
    for name, cells in table().items():
        shown = cells[0].strip("`")
        if shown != documented_default(default_of(name)) or len(cells) != 2 or len(cells[1]) < 8:
            wrong[name] = (cells, documented_default(default_of(name)))
    assert wrong == {}


def test_nothing_else_reads_the_environment() -> None:
    """Apart from the command that migrates, which has a setting of its own role."""
    readers = [
        path.relative_to(ROOT).as_posix()
        for folder in ("app", "db", "jobs")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"os\.environ|getenv", path.read_text())
    ]
    assert sorted(readers) == ["app/cli.py", "app/settings.py", "db/migrations/env.py"]
