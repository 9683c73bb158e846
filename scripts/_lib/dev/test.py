"""`scripts/test`: set-up, a Chromium where one can be had, then pytest with the arguments given."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts._lib.dev import chromium
from scripts._lib.dev.setup import sync_vendor_or_exit
from scripts._lib.dev.virtualenv import PYTHON, ROOT

BROWSER_TESTS = ROOT / "tests" / "browser"
TAKES_VALUE = {"-k", "-m", "-n", "-p", "-c", "-o", "-W", "--maxfail", "--durations", "--tb", "--dist"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run pytest; the exit code is pytest's, the last line says what could not be run."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    missing: list[str] = []
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    extra = workers(given)
    if wants_browser(given):
        warning = sync_vendor_or_exit()
        if warning:
            missing.append(f"anything that needs static/vendor ({warning})")
        found, reason = chromium.get()
        if found:
            env[chromium.VARIABLE] = str(found)
        else:
            missing.append(f"browser tests, because there is {reason}")
            given = without_browser(given)
    code = run([str(PYTHON), "-m", "pytest", *extra, *given], env)
    if missing:
        print("\n!!!!!!!! NOT RUN: " + "; ".join(missing) + " !!!!!!!!", flush=True)
    sys.exit(code)


def run(command: list[str], env: dict[str, str]) -> int:
    """Run pytest at the root; Ctrl-C is pytest's to handle."""
    process = subprocess.Popen(command, cwd=ROOT, env=env)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def paths(given: list[str]) -> list[Path]:
    """The files and folders among pytest's arguments."""
    found = []
    for before, argument in zip(["", *given], given, strict=False):
        if argument.startswith("-") or before in TAKES_VALUE:
            continue
        found.append((ROOT / argument.split("::")[0]).resolve())
    return found


def is_whole(given: list[str]) -> bool:
    """Whether the arguments ask for the whole suite."""
    picks = any(argument.split("=")[0] in {"-k", "--lf", "--last-failed", "--co"} for argument in given)
    return not picks and all(path == ROOT / "tests" for path in paths(given))


def workers(given: list[str]) -> list[str]:
    """Two processes for the whole suite; one for a part, which is quicker to start."""
    chosen = any(argument.startswith(("-n", "--numprocesses", "--pdb", "-pno:xdist")) for argument in given)
    return [] if chosen or not is_whole(given) else ["-n", "2", "--dist", "loadfile"]


def wants_browser(given: list[str]) -> bool:
    """Whether the arguments may select browser tests."""
    asked = paths(given)
    return not asked or any(
        path == BROWSER_TESTS or BROWSER_TESTS in path.parents or path in BROWSER_TESTS.parents
        for path in asked
    )


def without_browser(given: list[str]) -> list[str]:
    """The same arguments, with the browser tests taken out."""
    if "-m" not in given[:-1]:
        return [*given, "-m", "not browser"]
    place = given.index("-m") + 1
    return [*given[:place], f"({given[place]}) and not browser", *given[place + 1 :]]


if __name__ == "__main__":
    main()
