"""`scripts/test`: finds or fetches a Chromium, an nginx and the tools of generated clients, then runs pytest
with the arguments."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts._lib.dev import chromium, client_tools, nginx
from scripts._lib.dev.setup import sync_vendor_or_exit
from scripts._lib.dev.virtualenv import PYTHON, ROOT

BROWSER_TESTS = ROOT / "tests" / "browser"
DEPLOYMENT_TESTS = ROOT / "tests" / "deployment"
CLIENT_TESTS = ROOT / "tests" / "clients"
OPTIONS_WITH_VALUE = {"-k", "-m", "-n", "-p", "-c", "-o", "-W", "--maxfail", "--durations", "--tb", "--dist"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run pytest; the exit code is pytest's. The last line names what could not run."""
    pytest_arguments = list(sys.argv[1:] if arguments is None else arguments)
    missing: list[str] = []
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    extra = xdist_options(pytest_arguments)
    if may_select(DEPLOYMENT_TESTS, pytest_arguments):
        program, reason = nginx.find_or_install()
        if program:
            env[nginx.VARIABLE] = str(program)
        else:
            missing.append(f"deployment tests, because there is {reason}")
    if may_select(CLIENT_TESTS, pytest_arguments):
        missing += missing_client_tools()
    if may_select(BROWSER_TESTS, pytest_arguments):
        warning = sync_vendor_or_exit()
        if warning:
            missing.append(f"tests that need static/vendor ({warning})")
        program, reason = chromium.find_or_install()
        if program:
            env[chromium.VARIABLE] = str(program)
        else:
            missing.append(f"browser tests, because there is {reason}")
            pytest_arguments = exclude_browser_tests(pytest_arguments)
    code = run_pytest([str(PYTHON), "-m", "pytest", *extra, *pytest_arguments], env)
    if missing:
        print("\n!!!!!!!! NOT RUN: " + "; ".join(missing) + " !!!!!!!!", flush=True)
    sys.exit(code)


def run_pytest(command: list[str], env: dict[str, str]) -> int:
    """Run pytest at the root; pytest handles Ctrl-C itself."""
    process = subprocess.Popen(command, cwd=ROOT, env=env)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def test_paths(arguments: list[str]) -> list[Path]:
    """The files and folders among pytest's arguments."""
    paths = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if argument.startswith("-") or before in OPTIONS_WITH_VALUE:
            continue
        paths.append((ROOT / argument.split("::")[0]).resolve())
    return paths


def is_whole_suite(arguments: list[str]) -> bool:
    """Whether the arguments select the whole suite."""
    picks = any(argument.split("=")[0] in {"-k", "--lf", "--last-failed", "--co"} for argument in arguments)
    return not picks and all(path == ROOT / "tests" for path in test_paths(arguments))


def xdist_options(arguments: list[str]) -> list[str]:
    """Two processes for the whole suite; one for a part, which starts faster."""
    chosen = any(
        argument.startswith(("-n", "--numprocesses", "--pdb", "-pno:xdist")) for argument in arguments
    )
    return [] if chosen or not is_whole_suite(arguments) else ["-n", "2", "--dist", "loadfile"]


def may_select(folder: Path, arguments: list[str]) -> bool:
    """Whether the arguments may select tests of a folder."""
    paths = test_paths(arguments)
    return not paths or any(
        path == folder or folder in path.parents or path in folder.parents for path in paths
    )


def missing_client_tools() -> list[str]:
    """Installs what the tests of generated clients need; names the tests that skip without it."""
    missing = []
    for tests, install in (
        ("the Python client and the fuzzer", client_tools.python_tools),
        ("the TypeScript client", client_tools.node_tools),
    ):
        try:
            install()
        except client_tools.ToolsMissing as reason:
            missing.append(f"{tests} ({reason})")
    return missing


def exclude_browser_tests(arguments: list[str]) -> list[str]:
    """The same arguments, without the browser tests."""
    if "-m" not in arguments[:-1]:
        return [*arguments, "-m", "not browser"]
    position = arguments.index("-m") + 1
    return [*arguments[:position], f"({arguments[position]}) and not browser", *arguments[position + 1 :]]


if __name__ == "__main__":
    main()
