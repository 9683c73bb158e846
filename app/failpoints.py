"""Where the engine can be made to break, for tests: one place before and one after each of its commits.

`SWITCHYARD_FAILPOINT=name:kind[:nth]` arms one of them in a process; it goes off once, at the nth hit (the
first when it is not said). Unset, as everywhere but in tests, a point costs one comparison.
"""

import asyncio
import os
import signal
import threading
import time
from enum import StrEnum
from typing import Any

import asyncpg
import msgspec
import redis
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

log = structlog.get_logger(__name__)
VARIABLE = "SWITCHYARD_FAILPOINT"
STALL = "SWITCHYARD_STALL_SECONDS"
STEP, EVENT = "step:", "event:"  # with an email address: where something of that contact is decided


class Boundary(StrEnum):
    """Every commit of the engine. A commit that is not named here fails a test."""

    WORK = "work.commit"
    MATCH = "match"
    MATCH_PASSED_OVER = "match.passed_over"
    MOVE = "move"
    MOVE_PARKED = "move.parked"
    MARKED = "mark.set"
    UNMARKED = "mark.taken_back"
    MARK_SPLIT = "mark.split"
    MARK_TAKEN_ALONE = "mark.taken_alone"
    SEND_CLAIMED = "send.claimed"
    SEND_GIVEN_BACK = "send.given_back"
    SEND_BEGUN = "send.begun"
    SEND_SETTLED = "send.settled"
    JOB_CLAIMED = "job.claimed"
    JOB_LATER = "job.later"
    JOB_WRITTEN = "job.written"


class Moment(StrEnum):
    """Moments between commits that matter as well."""

    SEND_CALLED = "send.called"  # the outside has it, the ledger does not know yet
    SEND_DOUBTED = "send.doubted"  # calls of the dead are marked as unknown, not committed yet
    JOB_BATCHED = "job.batched"  # a handler wrote its batch, not committed yet


POINTS = (
    *(f"{boundary}.{side}" for boundary in Boundary for side in ("before", "after")),
    *(moment.value for moment in Moment),
)


class Kind(StrEnum):
    KILL = "kill"  # SIGKILL to this process
    RAISE = "raise"
    DROP = "drop"  # every connection of this role to the database is ended by the server
    STALL = "stall"  # the whole process stands still for longer than a lease
    FLUSH = "flush"  # FLUSHALL
    ABORT = "abort"  # as a fault in a library would
    SPIN = "spin"  # an endless loop


class Injected(Exception):
    """What a failpoint raises."""


class Armed(msgspec.Struct):
    """`left` hits until it goes off, and then never again."""

    point: str
    kind: Kind
    left: int = 1
    database_url: str = ""
    redis_url: str = ""
    stall: float = 65.0


_armed: Armed | None = None


def arm(armed: Armed | None) -> None:
    """For tests within one process; None disarms. Raises `ValueError` for a point that does not exist."""
    global _armed  # noqa: PLW0603 -- one switch for the process is the point of it
    if armed is not None and armed.point not in POINTS and not armed.point.startswith((STEP, EVENT)):
        raise ValueError(f"There is no failpoint “{armed.point}”. There are: {', '.join(POINTS)}.")
    _armed = armed


def from_env(database_url: str, redis_url: str) -> None:
    """What the environment asks for, with a warning. Raises `SystemExit` when it cannot be read."""
    setting = os.environ.get(VARIABLE, "").strip()
    if not setting:
        return
    try:
        prefix = next((prefix_name for prefix_name in (STEP, EVENT) if setting.startswith(prefix_name)), "")
        name, kind, nth = (*setting.removeprefix(prefix).split(":"), "1")[:3]
        stall = float(os.environ.get(STALL, "65"))
        arm(Armed(prefix + name, Kind(kind), int(nth), database_url, redis_url, stall))
    except ValueError as error:
        raise SystemExit(f"{VARIABLE} cannot be read: {error}") from error
    log.warning("failpoint.armed", point=name, kind=kind, nth=nth)


async def commit(session: AsyncSession, boundary: Boundary) -> None:
    """Commit the session's transaction: the only way for the engine to do so."""
    if _armed is None:
        await session.commit()
        return
    hit(f"{boundary}.before")
    await session.commit()
    hit(f"{boundary}.after")


def hit(point: str) -> None:
    """Go off, if this is the point and its turn has come."""
    armed = _armed
    if armed is None or armed.point != point or armed.left <= 0:
        return
    armed.left -= 1
    if armed.left == 0:
        _go_off(armed)


def step_hit(facts: Any) -> None:
    """The failpoint `step:<email address>`: where the step of that contact is decided."""
    if _armed is not None and facts is not None:
        hit(f"{STEP}{facts.values.get('email')}")


def event_hit(facts: Any) -> None:
    """The failpoint `event:<email address>`: where it is decided whether that contact enters."""
    if _armed is not None and facts is not None:
        hit(f"{EVENT}{facts.values.get('email')}")


def _go_off(armed: Armed) -> None:
    log.warning("failpoint.hit", point=armed.point, kind=armed.kind)
    match armed.kind:
        case Kind.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        case Kind.RAISE:
            raise Injected(f"The failpoint {armed.point} went off.")
        case Kind.DROP:
            ended = threading.Thread(target=lambda: asyncio.run(_drop(armed.database_url)))
            ended.start()
            ended.join()
        case Kind.ABORT:
            os.abort()
        case Kind.SPIN:
            while True:
                pass
        case Kind.STALL:
            time.sleep(armed.stall)
        case Kind.FLUSH:
            with redis.Redis.from_url(armed.redis_url, socket_timeout=2) as client:
                client.flushall()


async def _drop(database_url: str) -> None:
    """From the server's side: whoever uses a connection next finds it gone."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where usename = current_user and datname = current_database() and pid <> pg_backend_pid()"
        )
    finally:
        await connection.close()
