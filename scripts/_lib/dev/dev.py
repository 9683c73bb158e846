"""`scripts/dev`: starts all of Switchyard with a demo, on a data folder that stays.

`main` is the entry point, `Dev.start` has the order: end what a killed start left, lock and prepare the data
folder, start the servers, update the database, start web, worker and mail catcher, print `ready`.
"""

import argparse
import hashlib
import http.client
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from scripts._lib.dev import app_commands
from scripts._lib.dev.data_folder import DataFolder
from scripts._lib.dev.postgres import RECOVERY_SECONDS, Postgres
from scripts._lib.dev.processes import ChildProgram, free_port, require_free_port
from scripts._lib.dev.setup import sync_vendor_or_exit
from scripts._lib.dev.supervisor import StopRequested, Supervisor
from scripts._lib.dev.system_users import find_servers_user
from scripts._lib.dev.terminal import ScriptError, print_progress
from scripts._lib.dev.valkey import Valkey
from scripts._lib.dev.virtualenv import ROOT

DATABASE = "switchyard"
DEMO_PASSWORD = "switchyard-demo"  # noqa: S105 -- of the demo, on the sign-in page
SIGN_INS = "owner@acme.test, operator@acme.test, viewer@acme.test, owner@globex.test"
STOP_SIGNALS: dict[str, tuple[signal.Signals, float]] = {
    "web": (signal.SIGTERM, 10.0),
    "worker": (signal.SIGTERM, 15.0),
    "mailbox": (signal.SIGTERM, 5.0),
    "migrate": (signal.SIGTERM, 10.0),
    "seed": (signal.SIGTERM, 10.0),
    "valkey": (signal.SIGTERM, 30.0),
    "postgres": (signal.SIGINT, 120.0),
}


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options: host, port, data, fresh."""
    parser = argparse.ArgumentParser(
        prog="scripts/dev",
        description="Start PostgreSQL, Valkey, web server and worker with a demo. Ctrl-C ends them all.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=parse_port, default=8000, help="port to listen on (default: %(default)s)"
    )
    default = Path(os.environ.get("DATA_DIR") or ROOT / ".local")
    parser.add_argument("--data", type=Path, default=default, help="data folder (default: .local)")
    parser.add_argument("--fresh", action="store_true", help="delete the data folder's contents first")
    return parser.parse_args(arguments)


def parse_port(text: str) -> int:
    """A TCP port from the command line."""
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text} is not a port (1 to 65535)")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Start everything, print one line when it is ready, keep it running, end it all."""
    options = parse_options(arguments)
    supervisor = Supervisor()
    with supervisor.signals():
        try:
            Dev(options, supervisor).start()
            supervisor.watch()
        except StopRequested:
            print_progress("stopping")
        except ScriptError as problem:
            sys.exit(f"scripts/dev: {problem}")
        except OSError as error:
            sys.exit(f"scripts/dev: {error}")
        finally:
            supervisor.stop()


class Dev:
    """One start: the data folder, the servers and the programs.

    The servers are embedded, unless DATABASE_URL or REDIS_URL name others.
    """

    def __init__(self, options: argparse.Namespace, supervisor: Supervisor) -> None:
        self.host: str = options.host
        self.port: int = options.port
        self.fresh: bool = options.fresh
        self.supervisor = supervisor
        self.address = app_commands.local_url(self.host, self.port)
        self.own_postgres = not os.environ.get("DATABASE_URL")
        self.own_valkey = not os.environ.get("REDIS_URL")
        self.user = find_servers_user() if self.own_postgres or self.own_valkey else None
        self.data = DataFolder.open(options.data, self.user)
        self.env: dict[str, str] = {}

    def start(self) -> None:
        """Start everything, up to the line `ready`. Raises ScriptError or StopRequested."""
        self.supervisor.end_orphans(self.data.path / "run", STOP_SIGNALS)
        require_free_port(self.port, self.host)
        if self.fresh:
            self.data.wipe()
        self.data.prepare()
        self.supervisor.records = self.data.path / "run"
        sync_vendor_or_exit()
        self.supervisor.check_stop()
        self.start_servers()
        self.start_programs()
        print(self.ready_line(), flush=True)

    def start_servers(self) -> None:
        """Start the embedded servers and update the database."""
        ports = dict(self.data.state.get("ports", {}))
        valkey = self.start_valkey(ports) if self.own_valkey else None
        postgres = self.start_postgres(ports) if self.own_postgres else None
        ports["mailbox"] = free_port(ports.get("mailbox"))
        ports["messages"] = free_port(ports.get("messages"))
        self.data.update_state(ports=ports)
        if valkey:
            self.supervisor.wait_until(valkey.is_ready, "valkey", 60)
        if postgres:
            self.supervisor.wait_until(postgres.is_ready, "postgres", RECOVERY_SECONDS)
        self.env = app_commands.environment(
            self.addresses(postgres, valkey), self.demo_settings(ports["mailbox"], ports["messages"])
        )
        self.update_database(postgres)

    def start_valkey(self, ports: dict[str, int]) -> Valkey:
        """Start Valkey on the port of the last start."""
        server = Valkey(
            self.data.servers / "valkey",
            password=self.data.secrets["valkey"],
            port=ports.get("valkey"),
            log=self.data.log("valkey"),
            user=self.user,
        )
        server.prepare()
        ports["valkey"] = server.port
        self.supervisor.start(server.program())
        return server

    def start_postgres(self, ports: dict[str, int]) -> Postgres:
        """Start PostgreSQL on the port of the last start; the first start creates its cluster."""
        server = Postgres(
            self.data.servers / "postgres",
            password=self.data.secrets["postgres"],
            port=ports.get("postgres"),
            log=self.data.log("postgres"),
            user=self.user,
        )
        if not server.data.exists():
            print_progress("creating the database")
        server.prepare()
        ports["postgres"] = server.port
        self.supervisor.start(server.program())
        return server

    def addresses(self, postgres: Postgres | None, valkey: Valkey | None) -> dict[str, str]:
        """The addresses of the servers and the data folder, as settings."""
        values = {"DATA_DIR": str(self.data.path)}
        if postgres:
            secrets = self.data.secrets
            values["DATABASE_URL"] = postgres.url("app_user", secrets["app_user"], DATABASE)
            values["MIGRATE_DATABASE_URL"] = postgres.url("app_owner", secrets["app_owner"], DATABASE)
        if valkey:
            values["REDIS_URL"] = valkey.url()
        return values

    def demo_settings(self, mailbox: int, messages: int) -> dict[str, str]:
        """Settings of the demo; the environment overrides each of them."""
        return {
            "BASE_URL": self.address,
            "MAILBOX_PORT": str(mailbox),
            "MAILBOX_HTTP_PORT": str(messages),
            "SMTP_URL": f"smtp://127.0.0.1:{mailbox}",
            "SMS_URL": f"http://127.0.0.1:{messages}/sms",
            "CHAT_URL": f"http://127.0.0.1:{messages}/chat",
            "EGRESS_ALLOW_LOOPBACK": "1",
            "DEMO": "1" if self.own_postgres else "0",
        }

    @property
    def is_demo(self) -> bool:
        return self.env["DEMO"] not in {"", "0", "false"}

    def update_database(self, postgres: Postgres | None) -> None:
        """Create roles, run migrations and seed the demo, unless this database has had these very files."""
        if postgres is None:
            if not self.env.get("MIGRATE_DATABASE_URL"):
                raise ScriptError(
                    "DATABASE_URL is set, so MIGRATE_DATABASE_URL is needed too (the role app_owner of "
                    "db/bootstrap.sql); without it start `switchyard web` and `switchyard worker` yourself."
                )
            self.run_command("migrate")
            if self.is_demo:
                self.run_command("seed")
            return
        files = fingerprint(self.data.secrets, self.is_demo)
        if self.data.state.get("database") == {"files": files, "revision": current_revision(postgres)}:
            return
        postgres.bootstrap(DATABASE, self.data.secrets)
        self.supervisor.check_stop()
        print_progress("updating the database")
        self.run_command("migrate")
        if self.is_demo:
            self.run_command("seed")
        self.data.update_state(database={"files": files, "revision": current_revision(postgres)})

    def run_command(self, name: str) -> None:
        """Run one command of the application to its end."""
        self.supervisor.run(self.program(name, name))

    def program(self, name: str, *arguments: str, patience: float = 10.0) -> ChildProgram:
        """A command of the application as a program; only `migrate` and `seed` get the owner's address."""
        env = dict(self.env)
        if name not in {"migrate", "seed"}:
            env.pop("MIGRATE_DATABASE_URL", None)
        return ChildProgram(
            name,
            app_commands.command(*arguments),
            log=self.data.log(name),
            cwd=ROOT,
            env=env,
            patience=patience,
            stage=1,
        )

    def start_programs(self) -> None:
        """Start web, worker and mail catcher, and wait until they answer."""
        catchers = [int(self.env[name]) for name in ("MAILBOX_PORT", "MAILBOX_HTTP_PORT")]
        self.supervisor.start(self.program("web", "web", "--host", self.host, "--port", str(self.port)))
        self.supervisor.start(self.program("worker", "worker", patience=20.0))
        if self.is_demo:
            self.supervisor.start(self.program("mailbox", "mailbox"))
            self.supervisor.wait_until(lambda: all(map(answers_tcp, catchers)), "mailbox", 60)
        self.supervisor.wait_until(lambda: answers_ready(self.address), "web", 60)

    def ready_line(self) -> str:
        """The line that is printed on stdout."""
        if not self.is_demo:
            return f"ready {self.address}"
        return f"ready {self.address}  (demo: sign in as {SIGN_INS}; password {DEMO_PASSWORD})"


def fingerprint(secrets: dict[str, str], demo: bool) -> str:
    """A hash of what the database is created from: files, passwords of the roles, demo or not."""
    digest = hashlib.sha256(f"{demo} {secrets['app_owner']} {secrets['app_user']}".encode())
    for path in app_commands.migration_files():
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def current_revision(postgres: Postgres) -> str:
    """The migration that the database is at; empty when there is none."""
    try:
        return postgres.psql("select version_num from alembic_version", DATABASE)
    except ScriptError:
        return ""


def answers_tcp(number: int) -> bool:
    """Whether something accepts connections on a port of loopback."""
    try:
        socket.create_connection(("127.0.0.1", number), 1).close()
    except OSError:
        return False
    return True


def answers_ready(address: str) -> bool:
    """Whether the web server says that it is ready; proxy settings are ignored."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    try:
        connection.request("GET", "/health/ready", headers={"Accept": "application/json"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    main()
