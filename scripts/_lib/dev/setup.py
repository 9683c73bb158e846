"""`scripts/setup`: creates .venv and static/vendor; does nothing when both are up to date."""

import argparse
import sys
from collections.abc import Sequence

from scripts._lib.dev import vendor, virtualenv
from scripts._lib.dev.terminal import ScriptError, print_progress


def main(arguments: Sequence[str] | None = None) -> None:
    """Set up with the Python that runs this; a `.venv` of another version is replaced."""
    parser = argparse.ArgumentParser(prog="scripts/setup", description="Create .venv and static/vendor.")
    parser.parse_args(arguments)
    virtualenv.ensure_or_exit(same_python=True)
    sync_vendor_or_exit()


def sync_vendor_or_exit() -> str | None:
    """Sync static/vendor. A failed download is a warning, a wrong hash ends the command."""
    try:
        warning = vendor.sync()
    except ScriptError as problem:
        sys.exit(str(problem))
    if warning:
        print_progress(f"warning: {warning}")
    return warning


if __name__ == "__main__":
    main()
