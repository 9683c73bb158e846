"""The process that a fault breaks: a worker, or the use case that a member's click runs.

A parent imports the program once and forks a child per `Order`, so that a child starts at once and can be
killed. `tests/faults/matrix.py` talks to the parent in lines:

python -m tests.faults.child_process     # an order as JSON in, its pid out; a pid in, its exit status out
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
from app.enrollments.use_cases.effects import cancel_effect, retry_effect, retry_enrollment, settle_effect
from app.enrollments.use_cases.membership import enroll_contacts, remove_enrollment
from app.enrollments.use_cases.progress import skip_wait
from app.runtime import Runtime, open_runtime
from app.settings import Settings
from app.work import Actor, Work, open_work
from jobs.turns import drain
from tests.faults.account_state import state_of
from tests.faults.injector import Fault, Kind, install
from tests.support.fakes import Paper, TestClock

OLIVE = Actor("member", "1", "Olive")
GAVE_UP = 3
UseCase = Callable[[Work, UUID], Awaitable[Any]]
MEMBER_ACTIONS: dict[str, UseCase] = {
    "mark as sent": lambda work, target: settle_effect(work, target, sent=True),
    "send again": lambda work, target: settle_effect(work, target, sent=False),
    "retry effect": retry_effect,
    "cancel effect": cancel_effect,
    "remove": remove_enrollment,
    "retry enrollment": retry_enrollment,
    "skip wait": skip_wait,
}


class Order(msgspec.Struct, kw_only=True):
    """What a child does. `action` is `drain`, `release`, `enroll` or one of MEMBER_ACTIONS; `target` is the
    effect, enrollment or workflow that it acts on."""

    action: str
    account: UUID
    database_url: str
    admin_url: str
    redis_url: str
    deliveries: str  # a file with a line per message and call; its trace is "….trace"
    log: str
    target: UUID | None = None
    contacts: list[UUID] = []
    poison: UUID | None = None  # matching an event of this contact fails
    point: str = ""  # where to break, if anywhere
    kind: Kind = Kind.KILL
    stall: float = 2.5
    lease: float = 1.0
    trace: bool = False  # write down the committed state at each point, break nothing
    ahead: float = 0.0  # how far the engine's clock is ahead, in seconds


def serve() -> None:
    """The parent: forks and waits until its input ends."""
    gc.freeze()
    _reply("ready")
    for line in sys.stdin:
        message = json.loads(line)
        if isinstance(message, int):
            _reply(os.waitstatus_to_exitcode(os.waitpid(message, 0)[1]))
            continue
        pid = os.fork()
        if pid == 0:
            run_child(msgspec.convert(message, Order, strict=False))
        _reply(pid)


def _reply(line: object) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run_child(order: Order) -> None:
    """Carry out the order and exit: 0 when done, GAVE_UP after an error. Never returns."""
    code = GAVE_UP
    try:
        log = os.open(order.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        asyncio.run(carry_out(order))
        code = 0
    except BaseException:  # noqa: BLE001 -- the fork must not go on with its parent's work, whatever happens
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


async def carry_out(order: Order) -> None:
    """Arm the fault, then act."""
    settings = Settings(
        database_url=order.database_url,
        redis_url=order.redis_url,
        lease_seconds=order.lease,
        log_level="INFO",
    )
    paper = Paper(order.deliveries)
    clock = TestClock(timedelta(seconds=order.ahead))
    runtime = open_runtime(settings, clock=clock, mailer=paper, caller=paper, pool_size=3)
    dispatcher.MAX_CONCURRENT = 1  # one call after the other, so that the order is the same each time
    if order.poison:
        fail_matching(order.poison)
    if order.trace:
        trace_points(order)
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
    """What a worker or a member does."""
    if order.action == "drain":
        await drain(runtime, order.account)
    elif order.action == "release":
        await dispatcher.send_effects(runtime, order.account, keep_going=lambda: False)
    else:
        async with open_work(runtime, order.account, OLIVE) as work:
            assert order.target is not None
            if order.action == "enroll":
                await enroll_contacts(work, order.target, order.contacts)
            else:
                await MEMBER_ACTIONS[order.action](work, order.target)


def fail_matching(contact: UUID) -> None:
    """Matching an event of this contact raises an error."""
    real_event_of = matcher.event_of

    def event_of(row: Any) -> Any:
        if row.subject_id == contact:
            raise RuntimeError("bad luck")
        return real_event_of(row)

    matcher.event_of = event_of


def trace_points(order: Order) -> None:
    """Write each point that is passed, with the committed state at that moment, beside the deliveries."""

    def on_point(point: str, _context: object) -> None:
        states: list[str] = []

        def read_state() -> None:
            states.append(asyncio.run(state_of(order.admin_url, order.account)))

        reader = threading.Thread(target=read_state)
        reader.start()
        reader.join()
        with Path(f"{order.deliveries}.trace").open("a") as trace:
            trace.write(json.dumps([str(point), states[0]]) + "\n")

    fault_hook.on_point = on_point


if __name__ == "__main__":
    serve()
