"""The virtual environment `.venv`, installed from the lock. A stamp file makes the next start instant.

`ensure` is the entry point.
"""

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts._lib.dev.terminal import ScriptError, print_progress, tail

ROOT = Path(__file__).resolve().parents[3]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements" / "dev.lock"
STAMP = VENV / "switchyard-stamp"
NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|name resolution|Network is unreachable|ProxyError|"
    r"ConnectTimeout|Max retries exceeded|Connection refused|"
    r"Could not find a version|No matching distribution"
)


def ensure_or_exit(same_python: bool = False) -> None:
    """Create or update `.venv`, or exit with one sentence.

    With `same_python` the environment must be of this Python's version; otherwise its own version stays.
    """
    try:
        ensure(same_python)
    except ScriptError as problem:
        sys.exit(str(problem))


def ensure(same_python: bool = False) -> bool:
    """Make `.venv` match the lock; return whether anything had to be done. Raises ScriptError."""
    expected = stamp(LOCK.read_bytes(), sys.version_info[:2] if same_python else venv_version())
    if is_up_to_date(expected):
        return False
    require_venv_module()
    with setup_lock():
        version = sys.version_info[:2] if same_python else venv_version()
        if is_up_to_date(stamp(LOCK.read_bytes(), version)):
            return False
        install(version)
    return True


def stamp(lock: bytes, version: tuple[int, int]) -> str:
    """What `.venv` was installed from, as one line: the hash of the lock and the Python version."""
    return f"{hashlib.sha256(lock).hexdigest()} {version[0]}.{version[1]}"


def is_up_to_date(expected: str) -> bool:
    """Whether `.venv` is complete and was installed with this stamp."""
    try:
        return STAMP.read_text() == expected and PYTHON.exists()
    except OSError:
        return False


def venv_version() -> tuple[int, int]:
    """The Python version of `.venv`; that of this process when there is no working `.venv`."""
    version = re.search(r"^version\s*=\s*(\d+)\.(\d+)", read_or_empty(VENV / "pyvenv.cfg"), re.MULTILINE)
    if version and PYTHON.exists():
        return int(version[1]), int(version[2])
    return sys.version_info[:2]


def read_or_empty(path: Path) -> str:
    """The text of a small file; empty when it doesn't exist."""
    try:
        return path.read_text()
    except OSError:
        return ""


def require_venv_module() -> None:
    """Raises ScriptError when this Python can't create a virtual environment."""
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise ScriptError(
            f"This Python ({sys.executable}) has no {' and no '.join(missing)}, so it cannot create .venv; "
            "on Debian or Ubuntu run `apt install python3-venv`, elsewhere install a complete Python; "
            "then run this again."
        )


@contextmanager
def setup_lock() -> Iterator[None]:
    """Hold the set-up lock of this folder. The folder itself is locked, so no lock file is left."""
    handle = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def install(version: tuple[int, int]) -> None:
    """Create `.venv` if it is missing or of another version, then install the lock. Raises ScriptError."""
    if not VENV.exists() or venv_version() != version or not PYTHON.exists() or not has_working_pip():
        print_progress(f"setup: creating .venv with Python {sys.version_info[0]}.{sys.version_info[1]}")
        create_venv()
    STAMP.unlink(missing_ok=True)
    print_progress("setup: installing the locked dependencies (once, about a minute)")
    log = VENV / "setup.log"
    with log.open("w") as out:
        done = subprocess.run(
            pip_install("-r", str(LOCK)),
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            check=False,
        )
    if done.returncode:
        raise ScriptError(install_error(log))
    STAMP.write_text(stamp(LOCK.read_bytes(), venv_version()))


def pip_install(*arguments: str, into: Path = PYTHON) -> list[str]:
    """The command that installs a lock into `.venv`, into the environment of another Python (`into`), or
    elsewhere by `arguments`.

    There is no resolver: a lock is complete, and every file in it has its hash.
    """
    options = ["--require-hashes", "--no-deps", "--only-binary=:all:", "--retries=2", "--no-input"]
    quiet = ["--disable-pip-version-check", "--progress-bar=off"]
    elsewhere = [] if into == PYTHON else ["--python", str(into)]
    return [str(PYTHON), "-m", "pip", *elsewhere, "install", *options, *quiet, *arguments]


def has_working_pip() -> bool:
    """Whether the Python of `.venv` starts and has pip, which it lacks after an interrupted creation."""
    done = subprocess.run([str(PYTHON), "-m", "pip", "--version"], capture_output=True, check=False)
    return done.returncode == 0


def create_venv() -> None:
    """Create an empty `.venv` with this Python. Raises ScriptError."""
    if VENV.is_symlink():
        raise ScriptError(f"{VENV} is a link to somewhere else; remove the link and run this again.")
    shutil.rmtree(VENV, ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    if done.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        reason = " ".join((done.stdout + done.stderr).split())[:300]
        raise ScriptError(
            f"Python could not create {VENV}; check that the folder can be written and that this Python has "
            f"venv and ensurepip (Debian and Ubuntu: apt install python3-venv). Its output: {reason}"
        )


def install_error(log: Path) -> str:
    """Why the installation failed, in one sentence and the end of its log."""
    if NO_NETWORK.search(read_or_empty(log)):
        return (
            "The first start needs the network to install the dependencies, which could not be downloaded. "
            f"Connect (or point pip to a mirror) and run this again (details: {log})."
        )
    return f"The dependencies could not be installed; the end of {log}:\n{tail(log)}"
