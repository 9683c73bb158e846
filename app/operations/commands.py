"""`litestar engine`: hold it, release it, say how it stands."""

import asyncio

import click

from app.settings import Settings


@click.group()
def engine() -> None:
    """Hold or release everything that moves people and sends."""


@engine.command()
def status() -> None:
    """Say whether the engine is held and why. Exit code 1 when it is."""
    report = asyncio.run(_status())
    click.echo(report or "The engine is not held.")
    if report:
        raise SystemExit(1)


@engine.command()
@click.option("--reason", default="Held by hand.", show_default=True, help="what the others read")
def hold_engine(reason: str) -> None:
    """Nobody moves and nothing is sent until it is released."""
    click.echo("The engine is held now." if asyncio.run(_hold(reason)) else "The engine was held already.")


@engine.command()
def release_engine() -> None:
    """Let it go on. What is due is done at once."""
    click.echo("The engine goes on." if asyncio.run(_release()) else "The engine was not held.")


async def _status() -> str:
    from app.engine.recovery.restore_guard import hold_status
    from app.runtime import open_runtime

    runtime = open_runtime(Settings.from_env())
    try:
        return (await hold_status(runtime)).sentence
    finally:
        await runtime.close()


async def _hold(reason: str) -> bool:
    from app.engine.recovery.restore_guard import hold_engine, operator_name
    from app.runtime import open_runtime

    runtime = open_runtime(Settings.from_env())
    try:
        return await hold_engine(runtime, operator_name(), reason)
    finally:
        await runtime.close()


async def _release() -> bool:
    from app.engine.recovery.restore_guard import operator_name, release_engine
    from app.runtime import open_runtime

    runtime = open_runtime(Settings.from_env())
    try:
        return await release_engine(runtime, operator_name())
    finally:
        await runtime.close()
