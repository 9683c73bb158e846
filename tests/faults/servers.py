"""A temporary PostgreSQL, migrated, and a Valkey: for runs outside pytest and tests that need their own."""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config

from app.settings import Settings
from scripts._lib.dev.postgres import Postgres
from scripts._lib.dev.valkey import Valkey
from scripts._lib.dev.virtualenv import ROOT

PASSWORDS = {"app_owner": "owner-of-tests", "app_user": "user-of-tests"}
DATABASE = "switchyard"


def migrate(postgres: Postgres, database: str = DATABASE) -> None:
    """Create a database on the server and upgrade it to the newest schema."""
    postgres.bootstrap(database, PASSWORDS)
    config = Config()
    config.set_main_option("script_location", str(ROOT / "db" / "migrations"))
    config.set_main_option("sqlalchemy.url", postgres.url("app_owner", PASSWORDS["app_owner"], database))
    command.upgrade(config, "head")


@contextmanager
def servers() -> Iterator[tuple[Settings, str]]:
    """Settings of app_user, and a superuser's connection URL."""
    with Postgres.temporary() as postgres, Valkey.temporary() as valkey:
        migrate(postgres)
        url = postgres.url("app_user", PASSWORDS["app_user"], DATABASE)
        yield Settings(database_url=url, redis_url=valkey.url()), postgres.superuser_url(DATABASE)
