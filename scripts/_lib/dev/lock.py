"""`scripts/lock`: writes requirements/*.lock from pyproject.toml, with hashes and without addresses."""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts._lib.dev.virtualenv import PYTHON, ROOT

LOCKS = {
    "run": ["pyproject.toml"],
    "dev": ["pyproject.toml", "--group", "pyproject.toml:dev"],
    "node": ["--group", "pyproject.toml:node"],
}
HEADER = "# Made by scripts/lock from pyproject.toml; every file has its hash, and no address is named.\n"
UV = "uv>=0.13,<0.14"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the locks. `--upgrade` updates every pin to the newest version that pyproject.toml allows."""
    parser = argparse.ArgumentParser(prog="scripts/lock", description="Update requirements/*.lock.")
    parser.add_argument(
        "--upgrade",
        action="store_true",
        help="update every pin to the newest version that pyproject.toml allows",
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="switchyard-uv-") as temporary:
        uv = find_uv(Path(temporary))
        for name, sources in LOCKS.items():
            write_lock(uv, ROOT / "requirements" / f"{name}.lock", sources, options.upgrade)


def find_uv(temporary: Path) -> list[str]:
    """The uv command: from PATH, or installed into a temporary folder."""
    program = shutil.which("uv")
    if program:
        return [program]
    subprocess.run([str(PYTHON), "-m", "pip", "install", "-q", "--target", str(temporary), UV], check=True)
    return [str(temporary / "bin" / "uv")]


def write_lock(uv: list[str], lock: Path, sources: list[str], upgrade: bool) -> None:
    """Compile one lock. Pinned versions stay, unless `upgrade`. Exits when the lock contains an address."""
    command = [*uv, "pip", "compile", *sources, "--output-file", str(lock), "--quiet", "--generate-hashes"]
    command += [
        "--universal",
        "--python-version",
        "3.11",
        "--no-emit-index-url",
        "--no-annotate",
        "--no-header",
    ]
    subprocess.run([*command, *(["--upgrade"] if upgrade else [])], check=True, cwd=ROOT)
    text = HEADER + lock.read_text().removeprefix(HEADER)
    address = re.search(r"https?://\S*|^--\S*(index|find-links).*$", text, re.MULTILINE)
    if address:
        sys.exit(
            f"{lock.name} contains an address ({address[0]}); remove that setting of uv and run this again."
        )
    lock.write_text(text)


if __name__ == "__main__":
    main()
