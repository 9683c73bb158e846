"""`scripts/ci`: format, lint, types, migrations in step with the models, tests. All are run."""

import argparse
import subprocess
import sys
from collections.abc import Sequence

from scripts._lib.dev import lint, migration
from scripts._lib.dev.terminal import say
from scripts._lib.dev.virtualenv import ROOT


def main(arguments: Sequence[str] | None = None) -> None:
    """Run every check; what follows is passed to pytest."""
    parser = argparse.ArgumentParser(prog="scripts/ci", description="Every check that a change has to pass.")
    _, for_pytest = parser.parse_known_args(arguments)
    results = {name: lint.run(command) for name, command in lint.CHECKS.items()}
    say("+ migrations in step with models")
    results["migrations"] = migration.check()
    tests = subprocess.run([str(ROOT / "scripts" / "test"), *for_pytest], cwd=ROOT, check=False)
    results["tests"] = tests.returncode == 0
    print(
        "ci: " + ", ".join(f"{name} {'ok' if good else 'FAILED'}" for name, good in results.items()),
        flush=True,
    )
    sys.exit(0 if all(results.values()) else 1)


if __name__ == "__main__":
    main()
