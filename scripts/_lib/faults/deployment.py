"""A complete Switchyard to break: PostgreSQL (durable, as in production), Valkey, a web server and workers.

`Deployment.running` is the entry point: it starts the servers, migrates the database and starts the fork
server. `start_web` and `start_worker` come next.
"""

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
from scripts._lib.dev.system_users import find_servers_user, temporary_folder
from scripts._lib.dev.terminal import ScriptError
from scripts._lib.dev.valkey import Valkey
from scripts._lib.dev.virtualenv import ROOT
from scripts._lib.faults.fork_server import ForkServer
from scripts._lib.faults.receiver import Receiver

# They live for one run, on loopback.
PASSWORDS = {"app_owner": "a11ce0", "app_user": "b0b0b0"}
SUPERUSER_PASSWORD = "c0ffee"  # noqa: S105 -- of a server that lives for one run
DATABASE = "switchyard"
MAX_WAIT = 60.0  # seconds


Condition = Callable[[], bool] | Callable[[], Awaitable[bool]]


class AppProcess:
    """One process of the program, by its pid. What kills it starts it again."""

    def __init__(self, start: Callable[[], int]) -> None:
        self._start = start
        self.pid = start()

    def is_alive(self) -> bool:
        with suppress(psutil.Error):
            return bool(psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE)
        return False

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill_and_start(self) -> None:
        """SIGKILL it, and start a new one at once."""
        self.signal(signal.SIGKILL)
        self.start()

    def start(self) -> None:
        self.pid = self._start()

    async def wait_until_gone(self, seconds: float = 30.0) -> None:
        """Raises TimeoutError when it doesn't end in time."""
        await wait_until(lambda: not self.is_alive(), seconds)


class Deployment:
    """The servers and processes of one run; use `async with Deployment.running()`.

    `lease` is LEASE_SECONDS, short so that many leases end in a run.
    """

    def __init__(self, base: Path, receiver: Receiver, lease: float, settings: dict[str, str]) -> None:
        user = find_servers_user()
        for name in ("postgres", "valkey", "data", "logs"):
            (base / name).mkdir()
        postgres, valkey = base / "postgres", base / "valkey"
        postgres.chmod(0o711)
        valkey.chmod(0o711)
        self.base, self.receiver, self.lease = base, receiver, lease
        self.postgres = Postgres(
            postgres / "server", password=SUPERUSER_PASSWORD, log=postgres / "log", user=user
        )
        self.valkey = Valkey(
            valkey / "server", password=SUPERUSER_PASSWORD, log=valkey / "log", durable=False, user=user
        )
        self.settings = settings
        self.port = free_port()
        self.workers: list[AppProcess] = []
        self.web: AppProcess | None = None

    @classmethod
    @asynccontextmanager
    async def running(
        cls, *, lease: float = 2.0, receiver: Receiver | None = None, **settings: str
    ) -> AsyncIterator["Deployment"]:
        """Start the servers, migrate the database and start the fork server; no worker and no web server yet.

        `settings` are environment variables of the program.
        """
        receiver = receiver or Receiver()
        with temporary_folder("switchyard-faults-", find_servers_user()) as base:
            await receiver.start()
            deployment = cls(base, receiver, lease, settings)
            try:
                await asyncio.to_thread(deployment._start_servers)
                yield deployment
            finally:
                await asyncio.to_thread(deployment._stop)
                await receiver.stop()

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
                "SMTP_URL": f"smtp://127.0.0.1:{self.receiver.smtp_port}",
                "EGRESS_ALLOW_LOOPBACK": "1",
                "RATE_LIMIT_PER_MINUTE": "1000000",
                "LOG_LEVEL": "WARNING",
                "LOG_FORMAT": "json",
                "LEASE_SECONDS": str(self.lease),
                "METRICS_TOKEN": "faults",
                **self.settings,
            }
        )
        migration = subprocess.run(
            app_commands.command("migrate"),
            env=self.env,
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
        )
        if migration.returncode:
            raise ScriptError(f"The migrations failed: {migration.stderr[-2000:]}")
        self.fork_server = ForkServer(self.env, self.log("fork-server"))
        self.fork_server.start()

    def _stop(self) -> None:
        for process in [*self.workers, *([self.web] if self.web else [])]:
            process.signal(signal.SIGKILL)
        with suppress(AttributeError, RuntimeError):
            self.fork_server.stop()
        if self.valkey.process is not None:
            self.valkey.process.send_signal(signal.SIGCONT)
        self.valkey.stop()
        self.postgres.stop(signal.SIGQUIT)

    def url(self) -> str:
        """The superuser's address, for observing only."""
        return self.postgres.superuser_url(DATABASE)

    def log(self, name: str) -> Path:
        return self.base / "logs" / f"{name}.log"

    def start_worker(self, env: dict[str, str] | None = None) -> AppProcess:
        """Start one more worker; `env` is added to its environment."""
        process = AppProcess(lambda: self.fork_server.fork("worker", self.log("worker"), env or {}))
        self.workers.append(process)
        return process

    async def start_web(self, **env: str) -> AppProcess:
        """Start the web server and wait until it accepts connections."""
        self.web = AppProcess(lambda: self.fork_server.fork("web", self.log("web"), env, self.port))
        await wait_until(self._listens)
        return self.web

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    async def sql(self, statement: str, *values: Any) -> list[Any]:
        """Run a query as the superuser, past row-level security."""
        connection = await asyncpg.connect(self.url(), timeout=10)
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    async def value(self, statement: str, *values: Any) -> Any:
        return (await self.sql(statement, *values))[0][0]

    def kill_postgres(self) -> None:
        """SIGKILL the postmaster; its children notice by themselves."""
        process = self.postgres.process
        assert process is not None  # noqa: S101 -- it was started
        process.kill()
        process.wait()

    async def start_postgres(self) -> float:
        """Start it again; return the seconds until it accepted a connection. Raises TimeoutError."""
        started = time.monotonic()
        program = self.postgres.program()
        async with asyncio.timeout(MAX_WAIT):
            while True:
                process = self.postgres.process
                if process is None or process.poll() is not None:
                    # It refuses to start while a child of the killed one still holds the shared memory.
                    self.postgres.process = spawn(program)
                with suppress(OSError, asyncpg.PostgresError, TimeoutError, asyncpg.InterfaceError):
                    await self.sql("select 1")
                    return time.monotonic() - started
                await asyncio.sleep(0.05)

    def signal_valkey(self, number: signal.Signals) -> None:
        assert self.valkey.process is not None  # noqa: S101 -- it was started
        self.valkey.process.send_signal(number)

    async def start_valkey(self) -> None:
        """Start it again after it was stopped or killed."""
        if self.valkey.process is not None:
            self.valkey.process.wait(10)
        self.valkey.process = spawn(self.valkey.program())
        await wait_until(self.valkey.is_ready)


async def wait_until(condition: Condition, seconds: float = MAX_WAIT) -> float:
    """Wait until the condition holds; return the seconds that it took. Raises TimeoutError."""
    started = time.monotonic()
    async with asyncio.timeout(seconds):
        while True:
            holds = condition()
            if (await holds) if isinstance(holds, Awaitable) else holds:
                return time.monotonic() - started
            await asyncio.sleep(0.02)
