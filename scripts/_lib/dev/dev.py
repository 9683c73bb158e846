"""`scripts/dev`: the whole of Switchyard from one command, on a data folder that it keeps."""

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
from scripts._lib.dev.data_folder import Data
from scripts._lib.dev.postgres import RECOVERY_SECONDS, Postgres
from scripts._lib.dev.processes import Program, free_port, need_free
from scripts._lib.dev.setup import sync_vendor_or_exit
from scripts._lib.dev.supervisor import Stopped, Supervisor
from scripts._lib.dev.system_users import servers_user
from scripts._lib.dev.terminal import Problem, say
from scripts._lib.dev.valkey import Valkey
from scripts._lib.dev.virtualenv import ROOT

DATABASE = "switchyard"
SIGN_INS = "owner@acme.test, operator@acme.test, viewer@acme.test, owner@globex.test"
ORPHANS: dict[str, tuple[signal.Signals, float]] = {
    "web": (signal.SIGTERM, 10.0),
    "worker": (signal.SIGTERM, 15.0),
    "mailbox": (signal.SIGTERM, 5.0),
    "migrate": (signal.SIGTERM, 10.0),
    "seed": (signal.SIGTERM, 10.0),
    "valkey": (signal.SIGTERM, 30.0),
    "postgres": (signal.SIGINT, 120.0),
}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options: host, port, data, fresh."""
    parser = argparse.ArgumentParser(
        prog="scripts/dev",
        description="Start PostgreSQL, Valkey, web and worker with a demo; Ctrl-C ends them all.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=port, default=8000, help="port to listen on (default: %(default)s)")
    default = Path(os.environ.get("DATA_DIR") or ROOT / ".local")
    parser.add_argument("--data", type=Path, default=default, help="data folder (default: .local)")
    parser.add_argument("--fresh", action="store_true", help="remove what is in the data folder first")
    return parser.parse_args(arguments)


def port(text: str) -> int:
    """A TCP port from the command line."""
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text} is not a port (1 to 65535)")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Start everything, say so on one line, watch over it, end it all."""
    options = parse(arguments)
    supervisor = Supervisor()
    with supervisor.signals():
        try:
            Dev(options, supervisor).start()
            supervisor.watch()
        except Stopped:
            say("stopping")
        except Problem as problem:
            sys.exit(f"scripts/dev: {problem}")
        except OSError as error:
            sys.exit(f"scripts/dev: the system refused: {error}")
        finally:
            supervisor.stop()


class Dev:
    """One start: the data folder, the servers (ours, or by DATABASE_URL and REDIS_URL), the programs."""

    def __init__(self, options: argparse.Namespace, supervisor: Supervisor) -> None:
        self.host: str = options.host
        self.port: int = options.port
        self.fresh: bool = options.fresh
        self.supervisor = supervisor
        self.address = app_commands.address(self.host, self.port)
        self.own_postgres = not os.environ.get("DATABASE_URL")
        self.own_valkey = not os.environ.get("REDIS_URL")
        self.user = servers_user() if self.own_postgres or self.own_valkey else None
        self.data = Data.open(options.data, self.user)
        self.env: dict[str, str] = {}

    def start(self) -> None:
        """Everything up to the line `ready`. Raises Problem or Stopped."""
        self.supervisor.end_orphans(self.data.path / "run", ORPHANS)
        need_free(self.port, self.host)
        if self.fresh:
            self.data.wipe()
        self.data.prepare()
        self.supervisor.records = self.data.path / "run"
        sync_vendor_or_exit()
        self.supervisor.go_on()
        self.servers()
        self.programs()
        print(self.ready_line(), flush=True)

    def servers(self) -> None:
        """Start the embedded servers, bring the database up to date."""
        ports = dict(self.data.state.get("ports", {}))
        valkey = self.valkey(ports) if self.own_valkey else None
        postgres = self.postgres(ports) if self.own_postgres else None
        ports["mailbox"] = free_port(ports.get("mailbox"))
        ports["messages"] = free_port(ports.get("messages"))
        self.data.remember(ports=ports)
        if valkey:
            self.supervisor.wait_until(valkey.is_ready, "valkey", 60)
        if postgres:
            self.supervisor.wait_until(postgres.is_ready, "postgres", RECOVERY_SECONDS)
        self.env = app_commands.environment(
            self.addresses(postgres, valkey), self.defaults(ports["mailbox"], ports["messages"])
        )
        self.bring_up_to_date(postgres)

    def valkey(self, ports: dict[str, int]) -> Valkey:
        """Start Valkey on its remembered port."""
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

    def postgres(self, ports: dict[str, int]) -> Postgres:
        """Start PostgreSQL on its remembered port, after making its cluster on the first start."""
        server = Postgres(
            self.data.servers / "postgres",
            password=self.data.secrets["postgres"],
            port=ports.get("postgres"),
            log=self.data.log("postgres"),
            user=self.user,
        )
        if not server.data.exists():
            say("making the database")
        server.prepare()
        ports["postgres"] = server.port
        self.supervisor.start(server.program())
        return server

    def addresses(self, postgres: Postgres | None, valkey: Valkey | None) -> dict[str, str]:
        """Where the programs find the servers and the data."""
        values = {"DATA_DIR": str(self.data.path)}
        if postgres:
            secrets = self.data.secrets
            values["DATABASE_URL"] = postgres.url("app_user", secrets["app_user"], DATABASE)
            values["MIGRATE_DATABASE_URL"] = postgres.url("app_owner", secrets["app_owner"], DATABASE)
        if valkey:
            values["REDIS_URL"] = valkey.url()
        return values

    def defaults(self, mailbox: int, messages: int) -> dict[str, str]:
        """Settings of the demo, each of which the environment may set otherwise."""
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

    def bring_up_to_date(self, postgres: Postgres | None) -> None:
        """Roles, migrations and demo, skipped when this very database has had these very files."""
        demo = self.env["DEMO"] not in {"", "0", "false"}
        if postgres is None:
            if not self.env.get("MIGRATE_DATABASE_URL"):
                raise Problem(
                    "DATABASE_URL is set, so MIGRATE_DATABASE_URL is needed too (the role app_owner, made by "
                    "db/bootstrap.sql); without it start `litestar web` and `litestar worker` yourself."
                )
            self.command("migrate")
            if demo:
                self.command("seed")
            return
        files = fingerprint(self.data.secrets, demo)
        if self.data.state.get("database") == {"files": files, "revision": revision(postgres)}:
            return
        postgres.bootstrap(DATABASE, self.data.secrets)
        self.supervisor.go_on()
        say("bringing the database up to date")
        self.command("migrate")
        if demo:
            self.command("seed")
        self.data.remember(database={"files": files, "revision": revision(postgres)})

    def command(self, name: str) -> None:
        """Run one command of the application to its end."""
        self.supervisor.run(self.program(name, name))

    def program(self, name: str, *arguments: str, patience: float = 10.0) -> Program:
        """A command of the application as a program; only one-off commands may have the owner's address."""
        env = dict(self.env)
        if name not in {"migrate", "seed"}:
            env.pop("MIGRATE_DATABASE_URL", None)
        return Program(
            name,
            app_commands.command(*arguments),
            log=self.data.log(name),
            cwd=ROOT,
            env=env,
            patience=patience,
            stage=1,
        )

    def programs(self) -> None:
        """Start mail catcher, web and worker, and wait until they answer."""
        catchers = [int(self.env[name]) for name in ("MAILBOX_PORT", "MAILBOX_HTTP_PORT")]
        catches = self.env["DEMO"] not in {"", "0", "false"}
        self.supervisor.start(self.program("web", "web", "--host", self.host, "--port", str(self.port)))
        self.supervisor.start(self.program("worker", "worker", patience=20.0))
        if catches:
            self.supervisor.start(self.program("mailbox", "mailbox"))
            self.supervisor.wait_until(lambda: all(map(answers_tcp, catchers)), "mailbox", 60)
        self.supervisor.wait_until(lambda: answers_ready(self.address), "web", 60)

    def ready_line(self) -> str:
        """The one line on stdout."""
        if self.env["DEMO"] in {"", "0", "false"}:
            return f"ready {self.address}"
        return f"ready {self.address}  (demo: sign in as {SIGN_INS}; password {demo_password()})"


def fingerprint(secrets: dict[str, str], demo: bool) -> str:
    """What the database is made from: files, passwords of the roles, with the demo or without."""
    digest = hashlib.sha256(f"{demo} {secrets['app_owner']} {secrets['app_user']}".encode())
    for path in app_commands.migration_files():
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def revision(postgres: Postgres) -> str:
    """The migration that the database is at; empty where there is none."""
    try:
        return postgres.psql("select version_num from alembic_version", DATABASE)
    except Problem:
        return ""


def demo_password() -> str:
    """The password of the demo's people, as the seed has it."""
    return "switchyard-demo"


def answers_tcp(number: int) -> bool:
    """Whether something takes connections on a port of loopback."""
    try:
        socket.create_connection(("127.0.0.1", number), 1).close()
    except OSError:
        return False
    return True


def answers_ready(address: str) -> bool:
    """Whether the web server says that it is ready (asked directly, whatever proxies are set)."""
    parts = urlsplit(address)
    line = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    try:
        line.request("GET", "/health/ready", headers={"Accept": "application/json"})
        return line.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        line.close()


if __name__ == "__main__":
    main()
