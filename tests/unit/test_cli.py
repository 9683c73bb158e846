"""The `switchyard` command, and that `litestar` has the same commands."""

import tomllib
from importlib import import_module

import click

from app.cli import Commands, main
from tests.rules.files import ROOT

COMMANDS = ["accounts", "engine", "keys", "mailbox", "migrate", "seed", "web", "worker"]


def test_litestar_gets_every_command() -> None:
    group = click.Group()
    Commands().on_cli_init(group)
    assert sorted(group.commands) == COMMANDS
    assert [name for name, command in group.commands.items() if not command.help] == []


def test_the_installed_command_is_the_one_of_the_project_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    module, _, function = project["project"]["scripts"]["switchyard"].partition(":")
    assert getattr(import_module(module), function) is main
