"""`scripts/lint`: ruff format, ruff check, mypy, the naming rule. All run; the exit code says whether any
complained."""

import argparse
import subprocess
import sys
from collections.abc import Sequence

from scripts._lib.dev.terminal import say
from scripts._lib.dev.virtualenv import ROOT

CHECKS = {
    "format": ["ruff", "format", "--check", "."],
    "lint": ["ruff", "check", "."],
    "types": ["mypy"],
    "names": ["scripts._lib.dev.naming"],
}
FIXES = {"format": ["ruff", "format", "."], "lint": ["ruff", "check", "--fix", "."]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the checks (with `--fix`, mend what ruff can mend first)."""
    parser = argparse.ArgumentParser(prog="scripts/lint", description="Format, lint, types and names.")
    parser.add_argument("--fix", action="store_true", help="let ruff mend what it can")
    options = parser.parse_args(arguments)
    if options.fix:
        for command in FIXES.values():
            run(command)
    failed = [name for name, command in CHECKS.items() if not run(command)]
    if failed:
        sys.exit("lint: " + ", ".join(failed) + " failed")
    say("lint: format, lint, types and names are clean")


def run(command: list[str]) -> bool:
    """Run one tool of `.venv` at the root; whether it was content."""
    say("+ " + " ".join(command))
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode == 0


if __name__ == "__main__":
    main()
