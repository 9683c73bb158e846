"""Migrations against a throw-away database: are they in step with the models; a new one from the models."""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError

from scripts.local.environment import ROOT
from scripts.local.postgres import Postgres
from scripts.local.say import Problem, say

PASSWORDS = {"app_owner": "throwaway", "app_user": "throwaway"}


@contextmanager
def migrated() -> Iterator[Config]:
    """Alembic's configuration on a temporary database that has had every migration."""
    with Postgres.temporary() as server:
        server.bootstrap("switchyard", PASSWORDS)
        config = Config()
        config.set_main_option("script_location", str(ROOT / "db" / "migrations"))
        config.set_main_option(
            "sqlalchemy.url", server.url("app_owner", PASSWORDS["app_owner"], "switchyard")
        )
        command.upgrade(config, "head")
        yield config


def check() -> bool:
    """Whether the migrations make what the models say; tells the difference where they do not."""
    try:
        with migrated() as config:
            command.check(config)
    except CommandError as error:
        say(f"migrations: {error}")
        return False
    except Problem as problem:
        say(f"migrations: {problem}")
        return False
    return True


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a new migration with what the models have and the migrations lack."""
    parser = argparse.ArgumentParser(prog="scripts/migration", description="Write a new migration.")
    parser.add_argument("name", help="what it does, for example: add contact birthdays")
    name = parser.parse_args(arguments).name
    try:
        with migrated() as config:
            command.revision(config, message=name, autogenerate=True, rev_id=next_number())
    except (Problem, CommandError) as problem:
        sys.exit(f"scripts/migration: {problem}")
    say("read it before you run it: autogenerate sees tables and columns, not policies and functions")


def next_number() -> str:
    """The number after the last migration's, in four digits."""
    names = [path.name for path in (ROOT / "db" / "migrations" / "versions").glob("*.py")]
    numbers = [int(found[0]) for name in names if (found := re.match(r"\d+", name))]
    return f"{max(numbers, default=0) + 1:04d}"


if __name__ == "__main__":
    main()
