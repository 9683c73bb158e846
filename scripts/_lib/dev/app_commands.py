"""The application's own commands, and the environment that they run in."""

import os
from pathlib import Path

from scripts._lib.dev.virtualenv import PYTHON, ROOT


def command(*arguments: str) -> list[str]:
    """The command line of a `litestar` command."""
    return [str(PYTHON), "-m", "litestar", *arguments]


def environment(values: dict[str, str], defaults: dict[str, str] | None = None) -> dict[str, str]:
    """The whole environment of a program. `values` override our environment, which overrides `defaults`."""
    own = {"LITESTAR_APP": "app.main:create_app", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    inherited = {name: value for name, value in os.environ.items() if value}
    return {**(defaults or {}), **inherited, **own, **values}


def local_url(host: str, port: int) -> str:
    """The address at which a browser on this machine reaches a server that listens on `host`."""
    name = "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host  # noqa: S104 -- only compared with
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def migration_files() -> list[Path]:
    """The files that a database is created from: roles, migrations, seeds."""
    folders = (ROOT / "db" / "migrations", ROOT / "db" / "seeds")
    sources = [path for folder in folders for path in folder.rglob("*.py")]
    return [ROOT / "db" / "bootstrap.sql", *sorted(sources)]
