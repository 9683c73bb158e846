"""The environments of the peers, below `.local/peers`, each installed from its lock. `python_of` is the entry
point."""

import fcntl
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts._lib.dev.terminal import ScriptError, print_progress, tail
from scripts._lib.dev.virtualenv import ROOT, require_venv_module

FOLDER = ROOT / ".local" / "peers"
LOCKS = Path(__file__).parent
INSTALL = (
    "--require-hashes",
    "--no-deps",
    "--only-binary=:all:",
    "--no-input",
    "--disable-pip-version-check",
    "-q",
)


def python_of(name: str) -> Path:
    """The Python of a peer's environment, which is made on the first call and after its lock changed. Raises
    ScriptError."""
    folder = FOLDER / name
    lock = LOCKS / f"{name}.lock"
    stamp = folder / "installed-from"
    expected = f"{hashlib.sha256(lock.read_bytes()).hexdigest()} {sys.version}"
    with only_this_process(folder.parent):
        if not stamp.exists() or stamp.read_text() != expected:
            install(folder, lock)
            stamp.write_text(expected)
    return folder / "bin" / "python"


@contextmanager
def only_this_process(folder: Path) -> Iterator[None]:
    """Hold a lock, so that two benchmarks don't install into one folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def install(folder: Path, lock: Path) -> None:
    """Create the environment anew and install its lock. Raises ScriptError."""
    print_progress(f"bench: installing {lock.name} into {folder} (once)")
    require_venv_module()
    run([sys.executable, "-m", "venv", "--clear", str(folder)], folder.with_suffix(".log"))
    python = str(folder / "bin" / "python")
    run([python, "-m", "pip", "install", *INSTALL, "-r", str(lock)], folder.with_suffix(".log"))


def run(command: list[str], log: Path) -> None:
    """Run a command with its output in a log. Raises ScriptError with the log's end."""
    with log.open("w") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise ScriptError(f"A peer of the benchmark could not be installed; the end of {log}:\n{tail(log)}")
