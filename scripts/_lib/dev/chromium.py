"""A headless Chromium for the browser tests, installed if necessary. `find_or_install` is the entry point."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts._lib.dev.terminal import print_progress

VARIABLE = "SWITCHYARD_CHROMIUM"  # where the tests find the program; set it to use one of your own
NAMES = ("chromium-headless-shell", "chrome-headless-shell", "chromium", "chromium-browser", "google-chrome")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
PLAYWRIGHT_FOLDERS = (".cache/ms-playwright", "Library/Caches/ms-playwright")
PLAYWRIGHT_NAMES = {"headless_shell", "chrome-headless-shell"}


def find_chromium() -> Path | None:
    """A Chromium that starts: the one in SWITCHYARD_CHROMIUM, on PATH, or downloaded earlier."""
    return next((path for path in candidates() if starts(path)), None)


def candidates() -> Iterator[Path]:
    """Where a Chromium may be, the most likely first."""
    if os.environ.get(VARIABLE):
        yield Path(os.environ[VARIABLE])
    for name in NAMES:
        program = shutil.which(name)
        if program:
            yield Path(program)
    yield MAC
    browsers_path = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    for folder in (
        [Path(browsers_path)] if browsers_path else [Path.home() / name for name in PLAYWRIGHT_FOLDERS]
    ):
        for path in sorted(folder.glob("chromium_headless_shell-*/*/*"), reverse=True):
            if path.name in PLAYWRIGHT_NAMES:
                yield path


def starts(path: Path) -> bool:
    """Whether the program exists and starts, which it doesn't without its libraries."""
    try:
        command = [str(path), "--no-sandbox", "--version"]
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def find_or_install() -> tuple[Path | None, str]:
    """A Chromium and an empty reason, or None and the reason."""
    program = find_chromium()
    if program:
        return program, ""
    failures = []
    for name, install in (("apt-get", install_with_apt), ("playwright", install_with_playwright)):
        if install():
            program = find_chromium()
            if program:
                return program, ""
            failures.append(f"the one that {name} installed does not start")
        else:
            failures.append(f"{name} could not install one")
    return None, "no Chromium on PATH, and " + ", and ".join(failures)


def install_with_apt() -> bool:
    """Install Debian's headless Chromium, when this is root on a Debian that has it."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    print_progress("test: installing chromium-headless-shell with apt-get (once)")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium-headless-shell"]
    return run_quietly(install, env) or (
        run_quietly(["apt-get", "update", "-q"], env) and run_quietly(install, env)
    )


def install_with_playwright() -> bool:
    """Let Playwright download its own headless Chromium into the user's cache."""
    print_progress("test: downloading a headless Chromium with playwright (once)")
    return run_quietly(
        [sys.executable, "-m", "playwright", "install", "--only-shell", "chromium"], dict(os.environ)
    )


def run_quietly(command: list[str], env: dict[str, str]) -> bool:
    """Run a command without its output; whether it succeeded within ten minutes."""
    try:
        return subprocess.run(command, capture_output=True, timeout=600, check=False, env=env).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
