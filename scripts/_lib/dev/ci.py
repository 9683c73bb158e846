"""`scripts/ci`: format, lint, types, names, counts, migrations match the models, tests. Every check runs."""

import argparse
import subprocess
import sys
from collections.abc import Sequence

from scripts._lib.dev import lint, migration
from scripts._lib.dev.terminal import print_progress
from scripts._lib.dev.virtualenv import ROOT


def main(arguments: Sequence[str] | None = None) -> None:
    """Run every check; the arguments are passed to pytest."""
    parser = argparse.ArgumentParser(
        prog="scripts/ci", description="Run every check that a change must pass. Options go to pytest."
    )
    _, pytest_arguments = parser.parse_known_args(arguments)
    results = {name: lint.run_check(command) for name, command in lint.CHECKS.items()}
    print_progress("+ migrations match the models")
    results["migrations"] = migration.check_models_match()
    tests = subprocess.run([str(ROOT / "scripts" / "test"), *pytest_arguments], cwd=ROOT, check=False)
    results["tests"] = tests.returncode == 0
    print(
        "ci: " + ", ".join(f"{name} {'ok' if passed else 'FAILED'}" for name, passed in results.items()),
        flush=True,
    )
    sys.exit(0 if all(results.values()) else 1)


if __name__ == "__main__":
    main()
