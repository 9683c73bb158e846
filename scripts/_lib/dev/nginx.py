"""An nginx for the test of the deployment: the one on PATH, or Debian's, unpacked into `.local/nginx`.

`find_or_install` is the entry point. Nothing is installed into the system.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from scripts._lib.dev.terminal import print_progress
from scripts._lib.dev.virtualenv import ROOT

VARIABLE = "SWITCHYARD_NGINX"  # where the tests find the program; set it to use one of your own
FOLDER = ROOT / ".local" / "nginx"


def find_nginx() -> Path | None:
    """An nginx that starts: the one in SWITCHYARD_NGINX, on PATH, or unpacked earlier."""
    return next((path for path in candidates() if starts(path)), None)


def candidates() -> Iterator[Path]:
    """Where an nginx may be, the most likely first."""
    if os.environ.get(VARIABLE):
        yield Path(os.environ[VARIABLE])
    program = shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    if program:
        yield Path(program)
    yield FOLDER / "usr" / "sbin" / "nginx"


def starts(path: Path) -> bool:
    """Whether the program exists and starts, which it doesn't without its libraries."""
    try:
        return subprocess.run([str(path), "-v"], capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def find_or_install() -> tuple[Path | None, str]:
    """An nginx and an empty reason, or None and the reason."""
    program = find_nginx()
    if program:
        return program, ""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return None, "no nginx on PATH, and this isn't a Debian"
    print_progress(f"test: downloading Debian's nginx into {FOLDER} (once)")
    unpack()
    program = find_nginx()
    return program, "" if program else "no nginx on PATH, and apt-get could not fetch one that starts"


def unpack() -> None:
    """Download Debian's package and unpack it; leaves nothing when that fails."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    download = ["apt-get", "download", "-q", "nginx"]
    if not run_quietly(download) and os.geteuid() == 0:
        run_quietly(["apt-get", "update", "-q"])
        run_quietly(download)
    for package in FOLDER.glob("nginx_*.deb"):
        run_quietly(["dpkg-deb", "--extract", package.name, "."])
        package.unlink()


def run_quietly(command: list[str]) -> bool:
    """Run a command in the folder without its output; whether it succeeded within ten minutes."""
    try:
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
