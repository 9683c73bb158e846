"""Runs a program beside the server of this process, which has to go on answering."""

import asyncio
import os
from pathlib import Path


async def run(*command: str | Path, cwd: Path, seconds: float = 150, **env: str) -> str:
    """The output of a program. Fails with it when the program fails."""
    running = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=cwd,
        env={**os.environ, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(running.communicate(), seconds)
    except TimeoutError:
        running.kill()
        raise
    assert running.returncode == 0, output.decode()
    return output.decode()
