"""`scripts/fuzz`: tests/clients/test_fuzz.py with more requests and all of Schemathesis's phases."""

import argparse
import os
import random
import subprocess
import sys
from collections.abc import Sequence

from scripts._lib.dev.terminal import print_progress
from scripts._lib.dev.virtualenv import ROOT


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the fuzzer on a server of its own; the exit code is that of the tests."""
    parser = argparse.ArgumentParser(
        prog="scripts/fuzz",
        description="Send made-up requests to every operation of the API; no answer may be a 5xx, depart "
        "from the OpenAPI document or contain data of another account.",
    )
    parser.add_argument(
        "--examples", type=int, default=50, help="requests per operation and role, at most (default: 50)"
    )
    parser.add_argument("--seed", type=int, help="repeat the run that printed this seed")
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.randrange(1_000_000)  # noqa: S311 -- not a secret
    print_progress(f"fuzz: seed {seed}")
    env = {
        **os.environ,
        "SWITCHYARD_FUZZ_EXAMPLES": str(options.examples),
        "SWITCHYARD_FUZZ_SEED": str(seed),
        "SWITCHYARD_FUZZ_PHASES": "examples,coverage,fuzzing,stateful",
    }
    command = [str(ROOT / "scripts" / "test"), "tests/clients/test_fuzz.py", "-s", "-q"]
    sys.exit(subprocess.run(command, cwd=ROOT, env=env, check=False).returncode)


if __name__ == "__main__":
    main()
