"""Workers, as processes or in this one, a mail server for them, and enrollments to work on."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import msgspec
from aiosmtpd.smtp import SMTP

from app.engine.core.steps import SendEmail
from app.engine.core.triggers import TagAdded
from app.runtime import Runtime
from app.settings import Settings
from jobs.executors import SaqExecutor
from jobs.worker import WorkerProcess
from tests.faults.injector import Fault
from tests.support.scenario import Stage

ROOT = Path(__file__).resolve().parents[2]
MAIL = SendEmail(subject="Hello", body="Hi")


class SlowMailServer:
    """Counts the idempotency keys of the emails of one account; answers `delay` seconds after it took one."""

    def __init__(self, account: UUID) -> None:
        self.account = account
        self.port = 0
        self.keys: Counter[str] = Counter()
        self.delay = 0.0

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 -- its name there
        lines = envelope.content.decode().splitlines()
        if f"X-Switchyard-Account: {self.account}" in lines:  # other accounts may have something due as well
            self.keys[next(line for line in lines if line.startswith("X-Switchyard-Key:"))] += 1
        await asyncio.sleep(self.delay)
        return "250 Taken"


@asynccontextmanager
async def mail_server(account: UUID) -> AsyncIterator[SlowMailServer]:
    """A mail server that listens on `port`."""
    mail = SlowMailServer(account)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(mail, hostname="sink", loop=loop), "127.0.0.1", 0)
    mail.port = server.sockets[0].getsockname()[1]
    try:
        yield mail
    finally:
        server.close()


class LitestarWorker:
    """`litestar worker` on the database of the tests; with a `fault`, a worker that breaks."""

    def __init__(self, settings: Settings, port: int, *, fault: Fault | None = None, **more: str) -> None:
        faulty = ("tests.faults.faulty_worker", msgspec.json.encode(fault).decode())
        self.command = ("litestar", "worker") if fault is None else faulty
        self.env = dict(os.environ) | {
            "LITESTAR_APP": "app.main:create_app",
            "DATABASE_URL": settings.database_url,
            "REDIS_URL": settings.redis_url,
            "DATA_DIR": str(settings.data_dir),
            "SMTP_URL": f"smtp://127.0.0.1:{port}",
            **more,
        }
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *self.command, cwd=ROOT, env=self.env,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    async def end(self, number: signal.Signals) -> int:
        """Send the signal; returns the exit code."""
        process = self.process
        assert process is not None
        with suppress(ProcessLookupError):
            process.send_signal(number)
        return await process.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["LitestarWorker"]:
        await self.start()
        try:
            yield self
        finally:
            await self.end(signal.SIGKILL)


@asynccontextmanager
async def worker_here(
    runtime: Runtime, executor: Literal["saq", "inline"] = "saq"
) -> AsyncIterator[WorkerProcess]:
    """A worker in this process that takes jobs already. It is one that has swept before: what a worker finds
    at its first sweep, such as what other tests left, it runs without a job."""
    ours = replace(runtime, settings=msgspec.structs.replace(runtime.settings, executor=executor))
    worker = WorkerProcess(ours)
    if isinstance(worker.executor, SaqExecutor):
        worker.executor.swept = True
    running = asyncio.create_task(worker.run())

    async def takes_jobs() -> bool:
        return worker.guard.checked

    try:
        await until(takes_jobs)
        yield worker
    finally:
        worker.stop.set()
        await running
        await worker.saq.close()


async def until(condition: Any, seconds: float = 30.0) -> None:
    """Wait until an async condition is true. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 -- it happens in another process
            await asyncio.sleep(0.05)


async def count_by(stage: Stage, column: str, table: str) -> dict[str, int]:
    """How many rows of the account have each value of a column."""
    rows = await stage.sql(
        f"select {column} as key, count(*) as n from {table} where account_id = $1 group by 1",  # noqa: S608 -- our names
        stage.account,
    )
    return {row["key"]: row["n"] for row in rows}


async def tag_contacts(stage: Stage, count: int, *steps: Any) -> UUID:
    """New contacts whose tag starts a workflow with these steps; returns its id."""
    vip = await stage.tag("vip")
    workflow = await stage.workflow(list(steps), TagAdded(key="t1", tag=vip))
    for contact in await stage.contacts(count):
        await stage.emit("tag.added", contact, {"tag_id": str(vip)})
    return workflow
