"""`scripts/lint`: format, lint, types, imports, names and counts. All run; exit code 1 when one fails."""

import argparse
import subprocess
import sys
from collections.abc import Sequence

from scripts._lib.dev.terminal import print_progress
from scripts._lib.dev.virtualenv import ROOT

CHECKS = {
    "format": ["ruff", "format", "--check", "."],
    "lint": ["ruff", "check", "."],
    "types": ["mypy"],
    "imports": ["scripts._lib.dev.import_contracts"],
    "names": ["scripts._lib.dev.naming"],
    "counts": ["scripts._lib.dev.counts"],
}
FIXES = {"format": ["ruff", "format", "."], "lint": ["ruff", "check", "--fix", "."]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the checks. With `--fix`, let ruff fix what it can first."""
    parser = argparse.ArgumentParser(
        prog="scripts/lint", description="Check format, lint, types, imports, names and counts."
    )
    parser.add_argument("--fix", action="store_true", help="let ruff fix what it can")
    options = parser.parse_args(arguments)
    if options.fix:
        for command in FIXES.values():
            run_check(command)
    failed = [name for name, command in CHECKS.items() if not run_check(command)]
    if failed:
        sys.exit("lint: " + ", ".join(failed) + " failed")
    print_progress("lint: format, lint, types, imports, names and counts are clean")


def run_check(command: list[str]) -> bool:
    """Run one module of `.venv` at the root; whether it succeeded."""
    print_progress("+ " + " ".join(command))
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode == 0


if __name__ == "__main__":
    main()
