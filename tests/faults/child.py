"""A worker, or somebody who steers, as a process that may be killed. It imports the program once and forks.

python -m tests.faults.child     # a line of JSON in, a line out: {…} gives a pid, a pid its exit status
"""

import asyncio
import gc
import json
import os
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from app import fault_hook
from app.engine.effects import dispatcher
from app.engine.matching import matcher
from app.enrollments.use_cases.membership import (
    cancel_effect,
    enroll_contacts,
    remove_enrollment,
    retry_effect,
    retry_enrollment,
    settle_effect,
)
from app.enrollments.use_cases.progress import skip_wait
from app.runtime import Runtime, open_runtime
from app.settings import Settings
from app.work import Actor, Work, open_work
from jobs.tasks import drain
from tests.faults.account_state import state_of
from tests.faults.injector import Fault, Kind, install
from tests.support.fakes import Paper, TestClock

OLIVE = Actor("person", "1", "Olive")
Use = Callable[[Work, UUID], Awaitable[Any]]
STEERING: dict[str, Use] = {
    "settle out": lambda work, target: settle_effect(work, target, went_out=True),
    "settle again": lambda work, target: settle_effect(work, target, went_out=False),
    "retry effect": retry_effect,
    "cancel effect": cancel_effect,
    "remove": remove_enrollment,
    "retry enrollment": retry_enrollment,
    "skip wait": skip_wait,
}


class Order(msgspec.Struct, kw_only=True):
    """What to do: `drain`, `give back`, or a name of STEERING with the id of what is steered."""

    action: str
    account: UUID
    database_url: str
    admin_url: str
    redis_url: str
    sink: str
    log: str
    target: UUID | None = None
    contacts: list[UUID] = []
    poison: UUID | None = None
    point: str = ""
    kind: Kind = Kind.KILL
    stall: float = 2.5
    lease: float = 1.0
    trace: bool = False
    ahead: float = 0.0


def serve() -> None:
    gc.freeze()
    say("ready")
    for line in sys.stdin:
        message = json.loads(line)
        if isinstance(message, int):
            say(os.waitstatus_to_exitcode(os.waitpid(message, 0)[1]))
            continue
        pid = os.fork()
        if pid == 0:
            become(msgspec.convert(message, Order, strict=False))
        say(pid)


def say(line: object) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def become(order: Order) -> None:
    """Never returns. Exit codes: 0 done, 3 gave up with an error."""
    code = 3
    try:
        log = os.open(order.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        asyncio.run(do(order))
        code = 0
    except BaseException:  # noqa: BLE001 -- the fork must not go on with its parent's work, whatever happens
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


async def do(order: Order) -> None:
    settings = Settings(
        database_url=order.database_url,
        redis_url=order.redis_url,
        lease_seconds=order.lease,
        log_level="INFO",
    )
    paper = Paper(order.sink)
    clock = TestClock(timedelta(seconds=order.ahead))
    runtime = open_runtime(settings, clock=clock, mailer=paper, caller=paper, pool_size=3)
    dispatcher.MAX_CONCURRENT = 1  # one after the other, so that the order is the same each time
    if order.poison:
        poisoned(order.poison)
    if order.trace:
        traced(order)
    elif order.point:
        install(
            Fault(
                order.point,
                order.kind,
                database_url=order.database_url,
                redis_url=order.redis_url,
                stall_seconds=order.stall,
            )
        )
    try:
        await act(order, runtime)
    finally:
        await runtime.close()


async def act(order: Order, runtime: Runtime) -> None:
    if order.action == "drain":
        await drain(runtime, order.account)
    elif order.action == "give back":
        await dispatcher.send_effects(runtime, order.account, keep_going=lambda: False)
    else:
        async with open_work(runtime, order.account, OLIVE) as work:
            if order.action == "enroll":
                assert order.target is not None
                await enroll_contacts(work, order.target, order.contacts)
            else:
                assert order.target is not None
                await STEERING[order.action](work, order.target)


def poisoned(contact: UUID) -> None:
    """Whoever matches an event of this contact fails."""
    real = matcher.event_of

    def event_of(row: Any) -> Any:
        if row.subject_id == contact:
            raise RuntimeError("bad luck")
        return real(row)

    matcher.event_of = event_of


def traced(order: Order) -> None:
    """Each point that is passed goes to the sink's neighbour, with what is committed at that moment."""

    def on_point(point: str, _context: object) -> None:
        states: list[str] = []

        def look() -> None:
            states.append(asyncio.run(state_of(order.admin_url, order.account)))

        looking = threading.Thread(target=look)
        looking.start()
        looking.join()
        with Path(f"{order.sink}.trace").open("a") as trace:
            trace.write(json.dumps([str(point), states[0]]) + "\n")

    fault_hook.on_point = on_point


if __name__ == "__main__":
    serve()
