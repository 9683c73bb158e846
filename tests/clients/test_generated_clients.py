"""Clients made from the document by two generators, unchanged and with their default options, do the main job
of `scripts/examples/main_job.py` against the real server and its worker."""

import shutil
from pathlib import Path

import pytest

from scripts._lib.dev.client_tools import TYPESCRIPT, NodeTools
from tests.clients.programs import run
from tests.support.live_app import Live
from tests.support.world import PASSWORD, World

pytestmark = [pytest.mark.slow, pytest.mark.clients]
MAIN_JOB = Path(__file__).parent / "python" / "main_job.py"


async def test_a_python_client_does_the_main_job(
    world: World, live: Live, document: Path, python_tools: Path, tmp_path: Path
) -> None:
    path = f"{python_tools.parent}:/usr/bin:/bin"  # the generator formats with ruff
    await run(
        python_tools, "-m", "openapi_python_client", "generate", "--path", document, "--meta", "none",
        "--output-path", tmp_path / "switchyard_client", "--fail-on-warning", cwd=tmp_path, PATH=path,
    )  # fmt: skip
    owner = await world.person("owner")
    output = await run(
        python_tools, MAIN_JOB, live.base, owner.email, PASSWORD, cwd=tmp_path, PYTHONPATH=str(tmp_path)
    )
    assert "everything worked" in output


@pytest.fixture(scope="module")
def typescript(document: Path, node_tools: NodeTools, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the TypeScript program, the document and the packages."""
    folder = tmp_path_factory.mktemp("typescript")
    shutil.copytree(TYPESCRIPT, folder, dirs_exist_ok=True)
    shutil.copy(document, folder / "openapi.json")
    (folder / "node_modules").symlink_to(node_tools.modules)
    return folder


async def test_a_typescript_client_does_the_main_job(
    world: World, live: Live, node_tools: NodeTools, typescript: Path
) -> None:
    node, modules = node_tools.node, node_tools.modules
    generator = modules / "openapi-typescript" / "bin" / "cli.js"
    await run(node, generator, "openapi.json", "--output", "schema.d.ts", cwd=typescript)
    await run(node, modules / "typescript" / "bin" / "tsc", "--strict", cwd=typescript)
    owner = await world.person("owner")
    output = await run(node, "build/main_job.js", live.base, owner.email, PASSWORD, cwd=typescript)
    assert "everything worked" in output


async def test_patterns_are_ecmascript(node_tools: NodeTools, typescript: Path) -> None:
    output = await run(node_tools.node, "patterns.js", "openapi.json", cwd=typescript)
    assert int(output) > 0, "patterns were compiled"
