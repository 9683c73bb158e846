"""A web process, a PostgreSQL and a Valkey of one's own, which tests stop, freeze and kill."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import psutil

from scripts._lib.dev.app_commands import command, environment
from scripts._lib.dev.postgres import Postgres
from scripts._lib.dev.processes import ChildProgram, free_port, spawn, wait_until_ready
from scripts._lib.dev.valkey import Valkey
from scripts._lib.dev.virtualenv import ROOT
from tests.conftest import DATABASE, PASSWORDS
from tests.faults.servers import migrate
from tests.support.world import World


@dataclass
class Site:
    """`base` is the address of its web process; `world` creates users and rows in its database."""

    base: str
    web: ChildProgram
    postgres: Postgres
    world: World
    process: subprocess.Popen[bytes] | None = None

    def start_web(self) -> None:
        """Start the web process and wait until it answers."""
        self.process = spawn(self.web)
        wait_until_ready(self._answers, self.process, self.web, 60)

    def _answers(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.base}/health/live", timeout=1, trust_env=False).is_success
        return False

    def kill_web(self) -> None:
        """End the web process at once, and wait."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    @contextmanager
    def frozen_web(self) -> Iterator[None]:
        """Freezes the web process; its connections stay open."""
        assert self.process is not None
        with frozen([psutil.Process(self.process.pid)]):
            yield

    @contextmanager
    def frozen_postgres(self) -> Iterator[None]:
        """Freezes the database server and all its backends."""
        assert self.postgres.process is not None
        server = psutil.Process(self.postgres.process.pid)
        with frozen([server, *server.children(recursive=True)]):
            yield


@contextmanager
def frozen(processes: list[psutil.Process]) -> Iterator[None]:
    """Stops processes and lets them continue afterwards."""
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


@contextmanager
def open_site(folder: Path) -> Iterator[Site]:
    """A site that runs; `folder` is for its keys and its log. What was committed outlives a kill."""
    with Postgres.temporary(durable=True) as postgres, Valkey.temporary() as valkey:
        migrate(postgres)
        port = free_port()
        base = f"http://127.0.0.1:{port}"
        settings = {
            "DATABASE_URL": postgres.url("app_user", PASSWORDS["app_user"], DATABASE),
            "REDIS_URL": valkey.url(),
            "DATA_DIR": str(folder),
            "BASE_URL": base,
            "RATE_LIMIT_PER_MINUTE": "100000",
        }
        web = ChildProgram(
            "web",
            command("web", "--host", "127.0.0.1", "--port", str(port)),
            log=folder / "web.log",
            cwd=ROOT,
            env=environment(settings),
        )
        world = World(cast("Any", None), postgres.superuser_url(DATABASE), [], cast("Any", None))
        site = Site(base, web, postgres, world)
        site.start_web()
        try:
            yield site
        finally:
            site.kill_web()
