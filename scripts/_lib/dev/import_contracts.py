"""`python -m scripts._lib.dev.import_contracts`: checks who imports whom, in about a second.

The contracts are in pyproject.toml under `tool.importlinter`. import-linter reads the files of the current
folder without importing them, and prints each import that breaks a contract and what to do about it.
"""

import sys

from importlinter.cli import lint_imports

HELP = """\
imports: the contracts are in pyproject.toml ([tool.importlinter]); docs/architecture.md shows the layers.
"No matches for ignored import": nothing imports it any more; remove that line.
"Missing layer" or "does not exist": the module was moved; rename it in its contract."""


def main() -> None:
    """Check the current folder; exit code 1 when a contract is broken or names what isn't there."""
    failed = lint_imports(no_cache=True, no_logo=True)
    if failed:
        print(HELP)
    sys.exit(failed)


if __name__ == "__main__":
    main()
