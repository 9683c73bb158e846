"""A headless Chromium for the browser tests: found, or fetched where that is possible."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts._lib.dev.terminal import say

VARIABLE = "SWITCHYARD_CHROMIUM"  # where the tests find the program; set it to use one of your own
NAMES = ("chromium-headless-shell", "chrome-headless-shell", "chromium", "chromium-browser", "google-chrome")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
PLAYWRIGHT_FOLDERS = (".cache/ms-playwright", "Library/Caches/ms-playwright")
PLAYWRIGHT_NAMES = {"headless_shell", "chrome-headless-shell"}


def find() -> Path | None:
    """A Chromium that starts: the one in SWITCHYARD_CHROMIUM, on PATH, or fetched earlier."""
    return next((path for path in candidates() if starts(path)), None)


def candidates() -> Iterator[Path]:
    """Where a Chromium may be, the likeliest first."""
    if os.environ.get(VARIABLE):
        yield Path(os.environ[VARIABLE])
    for name in NAMES:
        found = shutil.which(name)
        if found:
            yield Path(found)
    yield MAC
    given = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    for folder in [Path(given)] if given else [Path.home() / name for name in PLAYWRIGHT_FOLDERS]:
        for path in sorted(folder.glob("chromium_headless_shell-*/*/*"), reverse=True):
            if path.name in PLAYWRIGHT_NAMES:
                yield path


def starts(path: Path) -> bool:
    """Whether the program is there and its libraries too."""
    try:
        command = [str(path), "--no-sandbox", "--version"]
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def get() -> tuple[Path | None, str]:
    """A Chromium and an empty reason, or None and why there is none."""
    found = find()
    if found:
        return found, ""
    tried = []
    for name, way in (("apt-get", by_apt), ("playwright", by_playwright)):
        if way():
            found = find()
            if found:
                return found, ""
            tried.append(f"{name} brought one that does not start")
        else:
            tried.append(f"{name} could not fetch one")
    return None, "no Chromium on PATH, and " + ", and ".join(tried)


def by_apt() -> bool:
    """Install Debian's headless Chromium, when this is root on a Debian that has it."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    say("test: installing chromium-headless-shell with apt-get (once)")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium-headless-shell"]
    return quiet(install, env) or (quiet(["apt-get", "update", "-q"], env) and quiet(install, env))


def by_playwright() -> bool:
    """Let Playwright fetch its own headless Chromium into the person's cache."""
    say("test: fetching a headless Chromium with playwright (once)")
    return quiet(
        [sys.executable, "-m", "playwright", "install", "--only-shell", "chromium"], dict(os.environ)
    )


def quiet(command: list[str], env: dict[str, str]) -> bool:
    """Run a command without its output; whether it succeeded within ten minutes."""
    try:
        return subprocess.run(command, capture_output=True, timeout=600, check=False, env=env).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
