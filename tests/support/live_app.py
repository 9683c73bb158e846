"""A real server on a real port, with a worker and a mail catcher beside it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
import pytest
import uvicorn
from litestar import Litestar

from app.mailbox.catcher import serve
from app.main import create_app
from app.runtime import Runtime, open_runtime
from app.sessions.throttle import Throttle
from app.settings import Settings
from jobs.worker import WorkerProcess
from tests.conftest import running
from tests.support.fakes import TestClock

HOST = "127.0.0.1"


class Quiet(uvicorn.Server):
    """Signals are pytest's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass
class Live:
    """`base` is its address; the clock moves for the server and the worker alike."""

    base: str
    app: Litestar
    runtime: Runtime
    clock: TestClock


async def free_port() -> int:
    """A port that nothing listens on."""
    listener = await asyncio.get_running_loop().create_server(asyncio.Protocol, HOST, 0)
    port: int = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    return port


@asynccontextmanager
async def serving(app: Litestar, port: int) -> AsyncIterator[None]:
    """Serves an app that already runs."""
    server = Quiet(
        uvicorn.Config(
            app, host=HOST, port=port, lifespan="off", log_config=None, access_log=False, server_header=False
        )
    )
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.wait({task}, timeout=0.02)
    yield
    server.should_exit = True
    await task


@pytest.fixture(scope="module")  # its worker would also serve the accounts of later tests
async def live(
    settings: Settings, clock: TestClock, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Live]:
    port = await free_port()
    base = f"http://{HOST}:{port}"
    ours = msgspec.structs.replace(
        settings, base_url=base, demo=True, database_pool_size=5, worker_concurrency=2
    )
    mailbox_runtime = open_runtime(ours, clock=clock, pool_size=2)
    catcher = await serve(mailbox_runtime, 0)
    ours = msgspec.structs.replace(ours, smtp_url=f"smtp://{HOST}:{catcher.sockets[0].getsockname()[1]}")
    runtime, of_worker = open_runtime(ours, clock=clock), open_runtime(ours, clock=clock)
    app = create_app(ours, runtime)
    app.state.throttle = Throttle(None)
    worker = WorkerProcess(of_worker)
    async with running(app):
        async with serving(app, port):
            working = asyncio.create_task(worker.run())
            yield Live(base, app, runtime, clock)
            worker.stop.set()
        await working
        await worker.saq.close()
        catcher.close()
        await of_worker.close()
        await mailbox_runtime.close()
