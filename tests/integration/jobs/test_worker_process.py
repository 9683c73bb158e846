"""The worker as a process: killed in the middle, started again, and told to stop."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from aiosmtpd.smtp import SMTP

from app.engine.core.steps import SendEmail, Unit, Wait
from app.engine.core.triggers import TagAdded
from app.settings import Settings
from tests.faults.injector import Fault
from tests.support.scenario import Stage

ROOT = Path(__file__).resolve().parents[3]
MAIL = SendEmail(subject="Hello", body="Hi")


class Sink:
    """A mail server that remembers the keys it took; `slow` seconds pass between taking and saying so."""

    def __init__(self, account: UUID) -> None:
        self.account = account
        self.keys: Counter[str] = Counter()
        self.slow = 0.0

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 -- its name there
        lines = envelope.content.decode().splitlines()
        if f"X-Switchyard-Account: {self.account}" in lines:  # others may have something due as well
            self.keys[next(line for line in lines if line.startswith("X-Switchyard-Key:"))] += 1
        await asyncio.sleep(self.slow)
        return "250 Taken"


@asynccontextmanager
async def sink(account: UUID) -> AsyncIterator[tuple[Sink, int]]:
    taken = Sink(account)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(taken, hostname="sink", loop=loop), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield taken, port
    finally:
        server.close()


class Process:
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
        process = self.process
        assert process is not None
        with suppress(ProcessLookupError):
            process.send_signal(number)
        return await process.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Process"]:
        await self.start()
        try:
            yield self
        finally:
            await self.end(signal.SIGKILL)


async def until(condition: Any, seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 -- the event is in another process
            await asyncio.sleep(0.05)


async def counted(stage: Stage, column: str, table: str) -> dict[str, int]:
    rows = await stage.sql(
        f"select {column} as what, count(*) as n from {table} where account_id = $1 group by 1",  # noqa: S608 -- a name of ours
        stage.account,
    )
    return {row["what"]: row["n"] for row in rows}


async def tagged(stage: Stage, count: int, *steps: Any) -> UUID:
    vip = await stage.tag("vip")
    workflow = await stage.workflow(list(steps), TagAdded(key="t1", tag=vip))
    for person in await stage.contacts(count):
        await stage.emit("tag.added", person, {"tag_id": str(vip)})
    return workflow


@pytest.mark.slow
async def test_killed_in_the_middle_and_started_again(stage: Stage, settings: Settings) -> None:
    async with sink(stage.account) as (taken, port):
        taken.slow = 0.15
        wait = Wait(amount=2, unit=Unit.SECONDS)
        await tagged(stage, 40, MAIL, wait, MAIL)

        async def some_out() -> bool:
            return len(taken.keys) >= 12

        async def ended() -> bool:
            await stage.sql(  # the lease of the dead, over sooner
                "update effects set lease_until = clock_timestamp() - interval '1 second' "
                "where account_id = $1 and lease_until < clock_timestamp() + interval '52 seconds'",
                stage.account,
            )
            states = await counted(stage, "coalesce(wait_reason, status)", "enrollments")
            return set(states) <= {"completed", "hold"} and sum(states.values()) == 40

        async with Process(settings, port).running() as worker:
            await until(some_out)
            await worker.end(signal.SIGKILL)
            taken.slow = 0.0
            await worker.start()
            await until(ended, 60)
            assert await worker.end(signal.SIGTERM) == 0
    assert set(taken.keys.values()) == {1}, "no message twice"
    effects = await counted(stage, "status", "effects")
    states = await counted(stage, "coalesce(wait_reason, status)", "enrollments")
    doubtful = effects.pop("unknown", 0)
    assert set(effects) == {"sent"}
    assert 1 <= doubtful <= 8
    assert states == {"completed": 40 - doubtful, "hold": doubtful}
    assert effects["sent"] + doubtful >= len(taken.keys)


@pytest.mark.slow
async def test_stops_when_told_as_soon_as_it_is_idle(stage: Stage, settings: Settings) -> None:
    async with sink(stage.account) as (taken, port):
        taken.slow = 1.0
        await tagged(stage, 30, MAIL)

        async def begun() -> bool:
            return len(taken.keys) >= 8

        async with Process(settings, port).running() as worker:
            await until(begun)
            alive = await stage.sql("select pid from workers where seen_at > now() - interval '10 seconds'")
            assert worker.process is not None
            assert worker.process.pid in {row["pid"] for row in alive}
            async with asyncio.timeout(6):
                assert await worker.end(signal.SIGTERM) == 0
            alive = await stage.sql("select pid from workers")
            assert worker.process.pid not in {row["pid"] for row in alive}
    out = len(taken.keys)
    assert out < 30
    assert await counted(stage, "status", "effects") == {"sent": out, "pending": 30 - out}


@pytest.mark.slow
async def test_without_redis_nothing_is_lost(stage: Stage, settings: Settings) -> None:
    async with sink(stage.account) as (taken, port):
        await tagged(stage, 5, MAIL)

        async def out() -> bool:
            return len(taken.keys) == 5

        async with Process(settings, port, REDIS_URL="redis://127.0.0.1:1/0").running() as worker:
            await until(out)
            assert await worker.end(signal.SIGTERM) == 0
    assert set(taken.keys.values()) == {1}
