"""Break this process at a point of `app/fault_hook.py`: the only code that sets its `on_point`.

`install(Fault("match.before", Kind.KILL))` arms one fault; `injected` does so for a `with` block. Processes
of their own get their fault as JSON (`tests/faults/faulty_worker.py`, `scripts/faults`).
"""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

import asyncpg
import msgspec
import redis
import structlog

from app import fault_hook
from app.fault_hook import Boundary, Moment
from app.filters.facts import Facts

log = structlog.get_logger(__name__)
LOG_EVENT = "fault.injected"
POINTS = (
    *(f"{boundary}.{side}" for boundary in Boundary for side in ("before", "after")),
    *(moment.value for moment in Moment),
)


class Kind(StrEnum):
    """What happens to the process."""

    KILL = "kill"  # SIGKILL
    RAISE = "raise"  # `InjectedError`
    DROP = "drop"  # the server ends every connection of this role to the database
    STALL = "stall"  # the whole process sleeps for longer than a lease
    FLUSH = "flush"  # FLUSHALL in Redis
    ABORT = "abort"  # as a fault in a C library would
    SPIN = "spin"  # an endless loop


class InjectedError(Exception):
    """What `Kind.RAISE` raises."""


class Fault(msgspec.Struct):
    """Breaks the process once, when it passes the point for the `nth` time. `contact` is an email address:
    moments of other contacts don't count. Decoding one with an unknown point raises ValidationError."""

    point: str
    kind: Kind
    nth: int = 1
    contact: str = ""
    database_url: str = ""  # for DROP
    redis_url: str = ""  # for FLUSH
    stall_seconds: float = 65.0
    hits: int = 0

    def __post_init__(self) -> None:
        if self.point not in POINTS:
            raise ValueError(f"There is no point “{self.point}”. There are: {', '.join(POINTS)}.")

    @property
    def has_fired(self) -> bool:
        """Whether the process was broken."""
        return self.hits >= self.nth


def install(fault: Fault) -> None:
    """Arm this process, in place of any other fault."""

    def on_point(point: str, context: object) -> None:
        if point != fault.point or (fault.contact and fault.contact != _email_of(context)):
            return
        fault.hits += 1
        if fault.hits == fault.nth:
            _break_process(fault)

    fault_hook.on_point = on_point


@contextmanager
def injected(fault: Fault) -> Iterator[Fault]:
    """Arm this process for a block."""
    install(fault)
    try:
        yield fault
    finally:
        fault_hook.on_point = None


def _email_of(context: object) -> object:
    return context.values.get("email") if isinstance(context, Facts) else None


def _break_process(fault: Fault) -> None:
    log.warning(LOG_EVENT, point=fault.point, kind=fault.kind)
    match fault.kind:
        case Kind.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        case Kind.RAISE:
            raise InjectedError(f"The fault at {fault.point} went off.")
        case Kind.DROP:
            thread = threading.Thread(target=lambda: asyncio.run(_drop_connections(fault.database_url)))
            thread.start()
            thread.join()
        case Kind.ABORT:
            os.abort()
        case Kind.SPIN:
            while True:
                pass
        case Kind.STALL:
            time.sleep(fault.stall_seconds)
        case Kind.FLUSH:
            with redis.Redis.from_url(fault.redis_url, socket_timeout=2) as client:
                client.flushall()


async def _drop_connections(database_url: str) -> None:
    """On the server's side: the next use of a connection finds it closed."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where usename = current_user and datname = current_database() and pid <> pg_backend_pid()"
        )
    finally:
        await connection.close()
