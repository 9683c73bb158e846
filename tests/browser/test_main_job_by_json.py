"""scripts/examples/main_job.py against the live server, with its real worker and mail catcher."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.support.live_app import Live
from tests.support.world import PASSWORD, World

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "examples" / "main_job.py"
pytestmark = pytest.mark.slow


async def test_example_script_does_the_main_job(world: World, live: Live) -> None:
    owner = await world.person("owner")
    running = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), "--base", live.base, "--email", owner.email, "--password", PASSWORD,
        "--seconds", "2", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(running.communicate(), 150)
    assert running.returncode == 0, output.decode()
    assert "everything worked" in output.decode()
