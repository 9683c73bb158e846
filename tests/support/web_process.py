"""A real web process, as `switchyard web` runs it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil

from app.settings import Settings
from scripts._lib.dev.processes import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 10.0  # seconds in which a probe is answered; a healthy process takes milliseconds


class WebProcess:
    """One web process, its address and its log."""

    def __init__(self, url: str, log: Path, process: asyncio.subprocess.Process) -> None:
        self.url, self.log, self.process = url, log, process
        self.memory = psutil.Process(process.pid)

    @property
    def bytes_held(self) -> int:
        return int(self.memory.memory_info().rss)


@asynccontextmanager
async def serving(settings: Settings, folder: Path, **environment: str) -> AsyncIterator[WebProcess]:
    """A web process with these settings; `folder` has its keys and its log."""
    port = free_port()
    log = folder / f"web-{port}.log"
    env = (
        dict(os.environ)
        | {
            "LITESTAR_APP": "app.main:create_app",
            "DATABASE_URL": settings.database_url,
            "REDIS_URL": settings.redis_url,
            "DATA_DIR": str(folder),
            "BASE_URL": f"http://127.0.0.1:{port}",
        }
        | environment
    )
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "litestar", "web", "--port", str(port),
            cwd=ROOT, env=env, stdout=output, stderr=output,
        )  # fmt: skip
    server = WebProcess(f"http://127.0.0.1:{port}", log, process)
    try:
        async with httpx.AsyncClient(base_url=server.url) as client, asyncio.timeout(60):
            while not await lives(client):  # noqa: ASYNC110 -- the event is in another process
                await asyncio.sleep(0.1)
        yield server
    finally:
        process.kill()
        await process.wait()


async def lives(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health/live", timeout=PATIENCE)).status_code == 200
    except httpx.ConnectError:
        return False
