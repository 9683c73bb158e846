"""Find a Python that is new enough and go into `.venv`. Old Pythons parse it too: nothing newer than 3.6."""

import importlib
import os
import shutil
import sys
from pathlib import Path

MINIMUM = (3, 11)
NEWER = ("python3.14", "python3.13", "python3.12", "python3.11")
ROOT = Path(__file__).resolve().parents[3]


def run(module: str) -> None:
    """Replace this process by `module` in `.venv`, which is set up first where it is not right."""
    need_new_enough()
    sys.path.insert(0, str(ROOT))
    from scripts._lib.dev import virtualenv

    virtualenv.ensure_or_exit()
    os.environ["PYTHONPATH"] = str(ROOT)
    python = str(virtualenv.PYTHON)
    sys.stdout.flush()
    os.execv(python, [python, "-m", module, *sys.argv[1:]])


def run_here(module: str) -> None:
    """Run the `main` of `module` in this process, outside `.venv`."""
    need_new_enough()
    sys.path.insert(0, str(ROOT))
    importlib.import_module(module).main()


def need_new_enough() -> None:
    """Exit with one sentence, or start again with a newer Python from PATH, when this one is too old."""
    if sys.version_info >= MINIMUM:
        return
    for name in NEWER:
        found = shutil.which(name)
        if found:
            os.execv(found, [found, *sys.argv])
    here = ".".join(str(part) for part in sys.version_info[:3])
    sys.exit(
        f"Switchyard needs Python 3.11 or newer and this is {here} ({sys.executable}); "
        "install a newer one and run this again with it, for example: python3.12 " + sys.argv[0]
    )
