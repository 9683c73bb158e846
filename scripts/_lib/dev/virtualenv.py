"""The virtual environment `.venv`, made from the lock and stamped so that a second start costs nothing."""

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

from scripts._lib.dev.terminal import Problem, say, tail

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
    """Make `.venv` right, or exit with one sentence.

    `same_python` asks for the Python that runs this; otherwise the one that made the environment will do.
    """
    try:
        ensure(same_python)
    except Problem as problem:
        sys.exit(str(problem))


def ensure(same_python: bool = False) -> bool:
    """Make `.venv` match the lock; returns whether anything had to be done. Raises Problem."""
    want = stamp(LOCK.read_bytes(), sys.version_info[:2] if same_python else made_with())
    if is_stamped(want):
        return False
    need_venv_module()
    with only_one():
        version = sys.version_info[:2] if same_python else made_with()
        if is_stamped(stamp(LOCK.read_bytes(), version)):
            return False
        install(version)
    return True


def stamp(lock: bytes, version: tuple[int, int]) -> str:
    """What `.venv` was made from, as one line: the hash of the lock and the Python version."""
    return f"{hashlib.sha256(lock).hexdigest()} {version[0]}.{version[1]}"


def is_stamped(want: str) -> bool:
    """Whether `.venv` is complete and made from this lock by this version."""
    try:
        return STAMP.read_text() == want and PYTHON.exists()
    except OSError:
        return False


def made_with() -> tuple[int, int]:
    """The Python version of `.venv`, or of this process when there is none (or its Python is gone)."""
    found = re.search(r"^version\s*=\s*(\d+)\.(\d+)", read(VENV / "pyvenv.cfg"), re.MULTILINE)
    if found and PYTHON.exists():
        return int(found[1]), int(found[2])
    return sys.version_info[:2]


def read(path: Path) -> str:
    """The text of a small file; empty when it is not there."""
    try:
        return path.read_text()
    except OSError:
        return ""


def need_venv_module() -> None:
    """Raise Problem when this Python cannot make a virtual environment."""
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise Problem(
            f"This Python ({sys.executable}) has no {' and no '.join(missing)}, so it cannot make .venv; "
            "on Debian or Ubuntu run `apt install python3-venv`, elsewhere install a complete Python; "
            "then run this again."
        )


@contextmanager
def only_one() -> Iterator[None]:
    """Hold the set-up lock of this folder (on the folder itself, so that no lock file is left)."""
    handle = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def install(version: tuple[int, int]) -> None:
    """Make `.venv` where it is missing or of another version, then install the lock. Raises Problem."""
    if not VENV.exists() or made_with() != version or not PYTHON.exists() or not works():
        say(f"setup: making .venv with Python {sys.version_info[0]}.{sys.version_info[1]}")
        make()
    STAMP.unlink(missing_ok=True)
    say("setup: installing the pinned dependencies (once, a minute or so)")
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
        raise Problem(install_sentence(log))
    STAMP.write_text(stamp(LOCK.read_bytes(), made_with()))


def pip_install(*arguments: str) -> list[str]:
    """The command that installs a lock into `.venv`, or elsewhere by `arguments`.

    Without a resolver: a lock is complete, and every file in it has its hash.
    """
    options = ["--require-hashes", "--no-deps", "--only-binary=:all:", "--retries=2", "--no-input"]
    quiet = ["--disable-pip-version-check", "--progress-bar=off"]
    return [str(PYTHON), "-m", "pip", "install", *options, *quiet, *arguments]


def works() -> bool:
    """Whether the Python of `.venv` starts and has pip (it has not when its making was interrupted)."""
    done = subprocess.run([str(PYTHON), "-m", "pip", "--version"], capture_output=True, check=False)
    return done.returncode == 0


def make() -> None:
    """Make an empty `.venv` with the running Python. Raises Problem."""
    if VENV.is_symlink():
        raise Problem(f"{VENV} is a link to somewhere else; remove the link and run this again.")
    shutil.rmtree(VENV, ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    if done.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        reason = " ".join((done.stdout + done.stderr).split())[:300]
        raise Problem(
            f"Python could not make {VENV}; see that the folder can be written and that this Python has "
            f"venv and ensurepip (Debian and Ubuntu: apt install python3-venv). It said: {reason}"
        )


def install_sentence(log: Path) -> str:
    """Why the installation failed, as one sentence and the end of its log."""
    if NO_NETWORK.search(read(log)):
        return (
            "The first start needs the network to install the dependencies, which could not be fetched; "
            f"connect (or point pip to a mirror) and run this again (details: {log})."
        )
    return f"The dependencies could not be installed; the end of {log} says why:\n{tail(log)}"
