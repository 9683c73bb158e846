"""`switchyard engine`: hold and release the workflow engine, and show its status."""

import asyncio

import click

from app.settings import Settings


@click.group()
def engine() -> None:
    """Hold or release the workflow engine."""


@engine.command()
def status() -> None:
    """Show whether the engine is held and why. Exit code 1 if it is."""
    report = asyncio.run(_status())
    click.echo(report or "The engine isn't on hold.")
    if report:
        raise SystemExit(1)


@engine.command()
@click.option("--reason", default="Held by an operator.", show_default=True, help="shown to all members")
def hold(reason: str) -> None:
    """Stop all enrollments and all sending until the engine is released."""
    click.echo("The engine is now held." if asyncio.run(_hold(reason)) else "The engine was already held.")


@engine.command()
def release() -> None:
    """Release the engine. Work that is due starts at once."""
    click.echo("The engine is running again." if asyncio.run(_release()) else "The engine wasn't on hold.")


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
