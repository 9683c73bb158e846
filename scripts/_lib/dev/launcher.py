"""Starts a command with a Python that is new enough, inside `.venv`.

Old Pythons must be able to parse this file: only the syntax of 3.6.
"""

import importlib
import os
import shutil
import sys
from pathlib import Path

MINIMUM = (3, 11)
NEWER_COMMANDS = ("python3.14", "python3.13", "python3.12", "python3.11")
ROOT = Path(__file__).resolve().parents[3]


def run_in_venv(module: str) -> None:
    """Replace this process with `module` in `.venv`, which is created or updated first."""
    require_minimum_python()
    sys.path.insert(0, str(ROOT))
    from scripts._lib.dev import virtualenv

    virtualenv.ensure_or_exit()
    os.environ["PYTHONPATH"] = str(ROOT)
    python = str(virtualenv.PYTHON)
    sys.stdout.flush()
    os.execv(python, [python, "-m", module, *sys.argv[1:]])


def run_here(module: str) -> None:
    """Run the `main` of `module` in this process, outside `.venv`."""
    require_minimum_python()
    sys.path.insert(0, str(ROOT))
    importlib.import_module(module).main()


def require_minimum_python() -> None:
    """When this Python is too old, start again with a newer one from PATH, or exit with one sentence."""
    if sys.version_info >= MINIMUM:
        return
    for name in NEWER_COMMANDS:
        program = shutil.which(name)
        if program:
            os.execv(program, [program, *sys.argv])
    version = ".".join(str(part) for part in sys.version_info[:3])
    sys.exit(
        f"Switchyard needs Python 3.11 or newer and this is {version} ({sys.executable}); "
        "install a newer one and run this again with it, for example: python3.12 " + sys.argv[0]
    )
