"""`scripts/lock`: writes the locks of pyproject.toml and of the benchmark's peers, with hashes and without
addresses."""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts._lib.dev.virtualenv import PYTHON, ROOT

PEERS = "scripts/_lib/bench/http/peers"
# Each lock, and what it is made from.
LOCKS = {
    "requirements/run.lock": ["pyproject.toml"],
    "requirements/dev.lock": ["pyproject.toml", "--group", "pyproject.toml:dev"],
    "requirements/clients.lock": ["--group", "pyproject.toml:clients"],
    "requirements/node.lock": ["--group", "pyproject.toml:node"],
    f"{PEERS}/fastapi.lock": [f"{PEERS}/fastapi.in"],
    f"{PEERS}/django.lock": [f"{PEERS}/django.in"],
}
UV = "uv>=0.13,<0.14"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the locks. `--upgrade` updates every pin to the newest version that its source allows."""
    parser = argparse.ArgumentParser(
        prog="scripts/lock", description="Update requirements/*.lock and the locks of the benchmark's peers."
    )
    parser.add_argument(
        "--upgrade",
        action="store_true",
        help="update every pin to the newest version that its source allows",
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="switchyard-uv-") as temporary:
        uv = find_uv(Path(temporary))
        for name, sources in LOCKS.items():
            write_lock(uv, ROOT / name, sources, options.upgrade)


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
    source = sources[-1].partition(":")[0]
    header = f"# Made by scripts/lock from {source}; every file has its hash, and no address is named.\n"
    text = header + lock.read_text().removeprefix(header)
    address = re.search(r"https?://\S*|^--\S*(index|find-links).*$", text, re.MULTILINE)
    if address:
        sys.exit(
            f"{lock.name} contains an address ({address[0]}); remove that setting of uv and run this again."
        )
    lock.write_text(text)


if __name__ == "__main__":
    main()
