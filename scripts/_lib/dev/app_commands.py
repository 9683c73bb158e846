"""The application's own commands, and the environment that they run in."""

import os
from pathlib import Path

from scripts._lib.dev.virtualenv import PYTHON, ROOT


def command(*arguments: str) -> list[str]:
    """A command of the `litestar` command line."""
    return [str(PYTHON), "-m", "litestar", *arguments]


def environment(values: dict[str, str], defaults: dict[str, str] | None = None) -> dict[str, str]:
    """The whole environment of a program: `values` win over ours, ours win over `defaults`."""
    own = {"LITESTAR_APP": "app.main:create_app", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    set_here = {name: value for name, value in os.environ.items() if value}
    return {**(defaults or {}), **set_here, **own, **values}


def address(host: str, port: int) -> str:
    """Where a browser on this machine finds a server that listens on `host`."""
    name = "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host  # noqa: S104 -- compared with, not listened on
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def migration_files() -> list[Path]:
    """What a database is made from: roles, migrations, seeds."""
    folders = (ROOT / "db" / "migrations", ROOT / "db" / "seeds")
    found = [path for folder in folders for path in folder.rglob("*.py")]
    return [ROOT / "db" / "bootstrap.sql", *sorted(found)]
