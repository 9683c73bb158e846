"""A whole Switchyard to be broken: PostgreSQL (durable, as in production), Valkey, a web server, workers."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from scripts._lib.dev import app_commands
from scripts._lib.dev.postgres import Postgres
from scripts._lib.dev.processes import free_port, spawn
from scripts._lib.dev.system_users import servers_user, temporary_folder
from scripts._lib.dev.terminal import Problem
from scripts._lib.dev.valkey import Valkey
from scripts._lib.dev.virtualenv import ROOT
from scripts._lib.faults.fork_server import Forks, plain
from scripts._lib.faults.receiver import Sink

# They live for one run, on loopback.
PASSWORDS = {"app_owner": "a11ce0", "app_user": "b0b0b0"}
SUPERUSER = "c0ffee"
DATABASE = "switchyard"
PATIENCE = 60.0


Condition = Callable[[], bool] | Callable[[], Awaitable[bool]]


class Process:
    """One of the program's own processes, by its pid; it is started again by whoever killed it."""

    def __init__(self, start: Callable[[], int]) -> None:
        self._start = start
        self.pid = start()
        self.starts = 1

    def alive(self) -> bool:
        with suppress(psutil.Error):
            return bool(psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE)
        return False

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill_and_start(self) -> None:
        """SIGKILL, and a new one at once."""
        self.signal(signal.SIGKILL)
        self.start()

    def start(self) -> None:
        self.pid = self._start()
        self.starts += 1

    async def gone(self, seconds: float = 30.0) -> None:
        """Until it has ended. Raises TimeoutError."""
        await until(lambda: not self.alive(), seconds)


class Site:
    """Use `async with Site.running(folder)`. `lease` is LEASE_SECONDS, short so that a run can see many."""

    def __init__(self, base: Path, sink: Sink, lease: float, more: dict[str, str]) -> None:
        user = servers_user()
        for name in ("db", "bell", "data", "logs"):
            (base / name).mkdir()
        (base / "db").chmod(0o711)
        (base / "bell").chmod(0o711)
        self.base, self.sink, self.lease = base, sink, lease
        self.postgres = Postgres(
            base / "db" / "server", password=SUPERUSER, log=base / "db" / "log", user=user
        )
        bell = base / "bell"
        self.valkey = Valkey(bell / "server", password=SUPERUSER, log=bell / "log", durable=False, user=user)
        self.more = more
        self.port = free_port()
        self.workers: list[Process] = []
        self.web: Process | None = None
        self.ready_at = 0.0  # when PostgreSQL last began to accept connections, of time.monotonic()

    @classmethod
    @asynccontextmanager
    async def running(
        cls, *, lease: float = 2.0, sink: Sink | None = None, **more: str
    ) -> AsyncIterator["Site"]:
        """Servers, tables and the fork server; no worker and no web server yet. `more` are settings."""
        sink = sink or Sink()
        with temporary_folder("switchyard-faults-", servers_user()) as base:
            await sink.start()
            site = cls(base, sink, lease, more)
            try:
                await asyncio.to_thread(site._start_servers)
                yield site
            finally:
                await asyncio.to_thread(site._stop)
                await sink.stop()

    def _start_servers(self) -> None:
        self.postgres.start()
        self.postgres.bootstrap(DATABASE, PASSWORDS)
        self.valkey.start()
        self.env = app_commands.environment(
            {
                "DATABASE_URL": self.postgres.url("app_user", PASSWORDS["app_user"], DATABASE),
                "MIGRATE_DATABASE_URL": self.postgres.url("app_owner", PASSWORDS["app_owner"], DATABASE),
                "REDIS_URL": self.valkey.url(),
                "DATA_DIR": str(self.base / "data"),
                "BASE_URL": f"http://127.0.0.1:{self.port}",
                "SMTP_URL": f"smtp://127.0.0.1:{self.sink.smtp_port}",
                "EGRESS_ALLOW_LOOPBACK": "1",
                "RATE_LIMIT_PER_MINUTE": "1000000",
                "LOG_LEVEL": "WARNING",
                "LOG_FORMAT": "json",
                "LEASE_SECONDS": str(self.lease),
                "METRICS_TOKEN": "faults",
                **self.more,
            }
        )
        done = subprocess.run(
            app_commands.command("migrate"),
            env=self.env,
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise Problem(f"The tables cannot be made: {done.stderr[-2000:]}")
        self.forks = Forks(self.env, self.base / "logs" / "forks.log")
        self.forks.start()

    def _stop(self) -> None:
        for process in [*self.workers, *([self.web] if self.web else [])]:
            process.signal(signal.SIGKILL)
        with suppress(AttributeError, RuntimeError):
            self.forks.stop()
        if self.valkey.process is not None:
            self.valkey.process.send_signal(signal.SIGCONT)
        self.valkey.stop()
        self.postgres.stop(signal.SIGQUIT)

    def url(self) -> str:
        """Where a superuser looks on: nobody who is judged signs in so."""
        return self.postgres.superuser_url(DATABASE)

    def log(self, what: str) -> Path:
        return self.base / "logs" / f"{what}.log"

    def start_worker(self, env: dict[str, str] | None = None, *, imports: bool = False) -> Process:
        """One more worker; `imports` starts it the usual way, from nothing."""
        log, env = self.log("worker"), env or {}
        process = Process(
            (lambda: plain("worker", self.env | env, log))
            if imports
            else (lambda: self.forks.fork("worker", log, env))
        )
        self.workers.append(process)
        return process

    async def start_web(self, **env: str) -> Process:
        """The web server, answering."""
        self.web = Process(lambda: self.forks.fork("web", self.log("web"), env, self.port))
        await until(self._listens)
        return self.web

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    async def sql(self, statement: str, *values: Any) -> list[Any]:
        """As the superuser, past every wall."""
        connection = await asyncpg.connect(self.url(), timeout=10)
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    async def value(self, statement: str, *values: Any) -> Any:
        return (await self.sql(statement, *values))[0][0]

    def kill_postgres(self) -> None:
        """SIGKILL to the postmaster; its children find out by themselves."""
        process = self.postgres.process
        assert process is not None  # noqa: S101 -- it was started
        process.kill()
        process.wait()

    async def start_postgres(self) -> float:
        """Start it again; how many seconds it took until it accepted a connection. Raises TimeoutError."""
        begun = time.monotonic()
        program = self.postgres.program()
        async with asyncio.timeout(PATIENCE):
            while True:
                process = self.postgres.process
                if process is None or process.poll() is not None:
                    # It refuses to start as long as a child of the dead one holds the shared memory.
                    self.postgres.process = spawn(program)
                with suppress(OSError, asyncpg.PostgresError, TimeoutError, asyncpg.InterfaceError):
                    await self.sql("select 1")
                    self.ready_at = time.monotonic()
                    return self.ready_at - begun
                await asyncio.sleep(0.05)

    def signal_valkey(self, number: signal.Signals) -> None:
        assert self.valkey.process is not None  # noqa: S101 -- it was started
        self.valkey.process.send_signal(number)

    async def start_valkey(self) -> None:
        """Again, after it was stopped or killed."""
        if self.valkey.process is not None:
            self.valkey.process.wait(10)
        self.valkey.process = spawn(self.valkey.program())
        await until(self.valkey.is_ready)


async def until(condition: Condition, seconds: float = PATIENCE) -> float:
    """How many seconds it took until it was so. Raises TimeoutError."""
    begun = time.monotonic()
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if (await found) if isinstance(found, Awaitable) else found:
                return time.monotonic() - begun
            await asyncio.sleep(0.02)
