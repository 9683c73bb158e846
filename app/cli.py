"""The commands of the command line: web, worker, mailbox, migrate, seed, accounts, keys, engine.

They run as `switchyard web` if the package is installed, and always as `litestar web`. Each command imports
what it needs when it runs, so that it starts fast."""

import asyncio
import os
import sys
from pathlib import Path

import click
from litestar.plugins import CLIPlugin

from app.settings import Settings

IDLE_SECONDS = 5  # how long a connection may idle between two requests
ROOT = Path(__file__).resolve().parent.parent


class Commands(CLIPlugin):
    """Adds the commands to those of `litestar`."""

    def on_cli_init(self, cli: click.Group) -> None:
        add_commands(cli)


def add_commands(group: click.Group) -> None:
    """Adds every command to a command line."""
    from app.operations.commands import engine

    for command in (web, worker, mailbox, migrate, seed, accounts, keys, engine):
        group.add_command(command)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True)
def web(host: str, port: int) -> None:
    """Serve the screens and the JSON API."""
    import uvicorn

    from app.web.connections import ConnectionLimits, guarded_protocol
    from app.web.server import WebServer

    settings = Settings.from_env()
    behind_proxy = settings.trusted_proxies > 0
    # Behind a proxy all connections come from one address, so the proxy has to limit them.
    most = 0 if behind_proxy else settings.max_connections_per_client
    config = uvicorn.Config(
        "app.main:create_app",
        factory=True,
        host=host,
        port=port,
        http=guarded_protocol(ConnectionLimits(per_client=most, keeps_idle=behind_proxy)),
        timeout_keep_alive=IDLE_SECONDS,
        access_log=False,
        server_header=False,
        date_header=True,
        log_config=None,
        proxy_headers=False,
    )
    WebServer(config, settings.drain_seconds).run()


@click.command()
def worker() -> None:
    """Run workflows, send messages and run background jobs."""
    from jobs.worker import run

    asyncio.run(run(Settings.from_env()))


@click.command()
def mailbox() -> None:
    """Catch email, SMS and chat messages on loopback for the Mailbox screen (demo)."""
    from app.mailbox.catcher import run

    asyncio.run(run(Settings.from_env()))


@click.command()
def migrate() -> None:
    """Upgrade the database to the newest schema (as app_owner, MIGRATE_DATABASE_URL)."""
    from alembic import command
    from alembic.config import Config

    url = os.environ.get("MIGRATE_DATABASE_URL", "")
    if not url:
        raise SystemExit("Set MIGRATE_DATABASE_URL to the connection URL of app_owner; see db/bootstrap.sql.")
    config = Config()
    config.set_main_option("script_location", str(ROOT / "db" / "migrations"))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    command.upgrade(config, "head")


@click.command()
def seed() -> None:
    """Create the demo: two accounts, 2,000 contacts, workflows with enrollments. Running it again changes
    nothing."""
    from db.seeds import run

    asyncio.run(run(Settings.from_env()))


@click.group()
def accounts() -> None:
    """Manage the accounts of this installation."""


@accounts.command()
@click.option("--name", required=True, help="The name of the account.")
@click.option("--email", required=True, help="The first owner's email address.")
@click.option("--person", required=True, help="Name of the first owner.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def create(name: str, email: str, person: str, *, password_stdin: bool) -> None:
    """Create an account and its first owner."""
    from app.accounts.provisioning import create_account

    password = sys.stdin.readline().strip() if password_stdin else click.prompt("Password", hide_input=True)
    click.echo(asyncio.run(create_account(Settings.from_env(), name, email, person, password)))


@click.group()
def keys() -> None:
    """Manage the keys that sign tokens."""


@keys.command()
def rotate() -> None:
    """Sign with a new key from now on. Tokens signed with older keys stay valid until they expire."""
    from app.web.signing_keys import rotate as new_key

    settings = Settings.from_env()
    if settings.signing_keys:
        raise SystemExit("The keys come from SIGNING_KEYS. Put the new key before the others there.")
    click.echo(new_key(settings.data_dir / "keys"))


def main() -> None:
    """The `switchyard` command."""
    group = click.Group("switchyard", help="Run and manage Switchyard, a CRM with workflow automation.")
    add_commands(group)
    group()
