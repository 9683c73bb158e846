"""`scripts/setup`: .venv and static/vendor, skipped in an instant when both are right."""

import argparse
import sys
from collections.abc import Sequence

from scripts._lib.dev import vendor, virtualenv
from scripts._lib.dev.terminal import Problem, say


def main(arguments: Sequence[str] | None = None) -> None:
    """Set up with the Python that runs this (another version makes `.venv` anew)."""
    parser = argparse.ArgumentParser(prog="scripts/setup", description="Make .venv and static/vendor.")
    parser.parse_args(arguments)
    virtualenv.ensure_or_exit(same_python=True)
    sync_vendor_or_exit()


def sync_vendor_or_exit() -> str | None:
    """Sync static/vendor: a failed download is a warning (said and returned), a wrong hash the end."""
    try:
        warning = vendor.sync()
    except Problem as problem:
        sys.exit(str(problem))
    if warning:
        say(f"warning: {warning}")
    return warning


if __name__ == "__main__":
    main()
