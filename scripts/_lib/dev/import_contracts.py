"""`python -m scripts._lib.dev.import_contracts`: checks who imports whom, in about a second.

The contracts are in pyproject.toml under `tool.importlinter`. import-linter reads the files of the current
folder without importing them, and prints each import that breaks a contract and what to do about it.
"""

import sys

from importlinter.cli import lint_imports


def main() -> None:
    """Check the current folder; exit code 1 when a contract is broken or names a module that isn't there."""
    sys.exit(lint_imports(no_cache=True, no_logo=True))


if __name__ == "__main__":
    main()
