"""An embedded PostgreSQL, driven by its own `initdb` and `postgres`.

with Postgres.temporary() as server:      # for tests: fsync off, removed afterwards
    server.bootstrap("switchyard", {"app_owner": "…", "app_user": "…"})
    server.url("app_user", "…", "switchyard")
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from scripts._lib.dev.processes import ChildProgram, free_port, spawn, terminate, wait_until_ready
from scripts._lib.dev.server_files import find_postgres
from scripts._lib.dev.system_users import (
    SystemUser,
    create_private_folder,
    find_servers_user,
    run_as,
    temporary_folder,
)
from scripts._lib.dev.terminal import ScriptError
from scripts._lib.dev.virtualenv import ROOT

MAJOR = "18"
# PostgreSQL's own Unicode locale: the same sort order on every system.
INITDB_OPTIONS = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
SERVER_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "100",
}
# For temporary data only.
UNSAFE_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "1GB",
    "autovacuum_naptime": "60s",
}
RECOVERY_SECONDS = 600.0


class Postgres:
    """One server on one folder (`folder/data` is its cluster), on loopback only, with passwords."""

    def __init__(
        self,
        folder: Path,
        *,
        password: str,
        port: int | None = None,
        log: Path | None = None,
        durable: bool = True,
        user: SystemUser | None = None,
    ) -> None:
        """`password` is the superuser's. `durable=False` is for tests. `user` runs the server."""
        self.folder = folder
        self.data = folder / "data"
        self.password = password
        self.port = free_port(port)
        self.log = log or folder / "postgres.log"
        self.durable = durable
        self.user = user
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def temporary(cls, *, durable: bool = False) -> Iterator["Postgres"]:
        """A running server on a temporary folder, removed at the end; `durable` runs it as in production."""
        user = find_servers_user()
        with temporary_folder("switchyard-postgres-", user) as base:
            server = cls(
                base / "server",
                password="throwaway",  # noqa: S106 -- it lives for one test run, on loopback
                log=base / "log",
                durable=durable,
                user=user,
            )
            server.start()
            try:
                yield server
            finally:
                server.stop(signal.SIGQUIT)

    def url(self, role: str, password: str, database: str) -> str:
        """A `postgresql://` address of this server."""
        return f"postgresql://{role}:{password}@127.0.0.1:{self.port}/{database}"

    def superuser_url(self, database: str = "postgres") -> str:
        """The superuser's address, past row-level security: for set-up only."""
        return self.url("postgres", self.password, database)

    def prepare(self) -> None:
        """Create the cluster if necessary, and end a server that a killed start left. Raises ScriptError."""
        create_private_folder(self.folder, self.user)
        self.binaries = find_postgres(self.user, self.folder.parent)
        self.end_orphan()
        self.check_cluster()
        if not self.data.exists():
            self.initdb()

    def check_cluster(self) -> None:
        """Remove what an interrupted `initdb` left. Raises ScriptError for damaged or older data."""
        shutil.rmtree(self.folder / "data.new", ignore_errors=True)
        version = self.data / "PG_VERSION"
        if not self.data.exists():
            return
        if not any(self.data.iterdir()):
            self.data.rmdir()
        elif not version.exists() or not (self.data / "global" / "pg_control").exists():
            raise ScriptError(
                f"{self.data} is not a complete PostgreSQL cluster and may hold data, so it was left alone; "
                "restore it from a backup, or start over with --fresh."
            )
        elif version.read_text().strip() != MAJOR:
            old = version.read_text().strip()
            raise ScriptError(
                f"{self.data} was created by PostgreSQL {old} and this version brings {MAJOR}. Nothing was "
                f"changed. Dump it with the version of Switchyard that brought {old} and restore it with "
                "this one into a new folder (--data); docs/operating.md says how."
            )

    def initdb(self) -> None:
        """Create a cluster next to its final place and move it there when complete. Raises ScriptError."""
        new = self.folder / "data.new"
        password = self.folder / "password"
        password.write_text(self.password)
        password.chmod(0o600)
        if self.user:
            os.chown(password, self.user.uid, self.user.gid)
        command = [
            str(self.binaries / "initdb"),
            "-D",
            str(new),
            "--username=postgres",
            f"--pwfile={password}",
        ]
        command += [
            "--auth=scram-sha-256",
            "--no-instructions",
            *INITDB_OPTIONS,
            *([] if self.durable else ["--no-sync"]),
        ]
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env=server_environment(),
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                start_new_session=True,
                **run_as(self.user),
            )
        finally:
            password.unlink(missing_ok=True)
        if done.returncode:
            shutil.rmtree(new, ignore_errors=True)
            reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
            raise ScriptError(f"PostgreSQL could not create its data folder in {self.folder}: {reason[0]}")
        new.rename(self.data)

    def program(self) -> ChildProgram:
        """The server as a program to start; `prepare` comes first."""
        options = {**SERVER_SETTINGS, "port": str(self.port), **({} if self.durable else UNSAFE_SETTINGS)}
        command = [str(self.binaries / "postgres"), "-D", str(self.data)]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return ChildProgram(
            "postgres",
            command,
            log=self.log,
            cwd=self.folder,
            env=server_environment(),
            user=self.user,
            stop_signal=signal.SIGINT,  # "fast": ends sessions, then writes a clean shutdown
            patience=120.0,
        )

    def is_ready(self) -> bool:
        """Whether the server has written that it accepts connections (what `pg_ctl -w` looks at)."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready"

    def start(self) -> None:
        """Prepare, start and wait until ready. Raises ScriptError."""
        self.prepare()
        program = self.program()
        self.process = spawn(program)
        wait_until_ready(self.is_ready, self.process, program, RECOVERY_SECONDS)

    def stop(self, stop_signal: signal.Signals = signal.SIGINT) -> None:
        """End the server that `start` started."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(stop_signal)
            self.process.wait(120)
        self.process = None

    def end_orphan(self) -> None:
        """End a server that a killed start left running on this cluster."""
        with suppress(OSError, ValueError, IndexError, psutil.Error):
            pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
            process = psutil.Process(pid)
            if str(self.data) in process.cmdline():
                terminate(process, signal.SIGINT, 120.0)

    def psql(self, sql: str, database: str = "postgres") -> str:
        """Run SQL as the superuser up to the first error; return the rows as text. Raises ScriptError."""
        result = subprocess.run(
            [str(self.binaries / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"],
            input=sql,
            env={**server_environment(), **self.client(database)},
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            raise ScriptError(f"psql failed: {result.stderr.strip()[:600]}")
        return result.stdout.strip()

    def client(self, database: str, role: str = "postgres", password: str = "") -> dict[str, str]:
        """The environment of `psql`, so that no password is on a command line."""
        return {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": role,
            "PGPASSWORD": password or self.password,
            "PGDATABASE": database,
            "PGCONNECT_TIMEOUT": "10",
        }

    def bootstrap(self, database: str, passwords: dict[str, str]) -> None:
        """Create the database if necessary and run db/bootstrap.sql in it. Repeating it does no harm.

        `passwords` are those of `app_owner` and `app_user`, hexadecimal. Raises ScriptError.
        """
        exists = f"select 1 from pg_database where datname = '{database}'"  # noqa: S608 -- our own name
        if not self.psql(exists):
            self.psql(f'create database "{database}"')
        settings = [
            f"select set_config('switchyard.{role}_password', '{passwords[f'app_{role}']}', false);"
            for role in ("owner", "user")
        ]
        script = (ROOT / "db" / "bootstrap.sql").read_text()
        self.psql("\n".join(["\\o /dev/null", *settings, script]), database)


def server_environment() -> dict[str, str]:
    """The environment of the server and its tools, without the host's locale and PG settings."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))
    }
    return {**inherited, "LC_ALL": "C", "TZ": "UTC"}
