"""Draining: steps per second of worker processes beside pure SQL and beside one job per step.

People go through *branch → update field → add tag → short wait → goal check*. What is due at first is moved
until everybody waits; then the waits are ended by hand and half of the people become customers (that is not
measured), and the rest is moved. A step is one row of `enrollment_executions`: five for each.
"""

import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import Any
from uuid import UUID

from saq import Queue

from app.engine.core.steps import AddTag, Branch, BranchLane, Goal, Step, Unit, UpdateField, Wait
from app.filters.ast import Op, Predicate
from scripts._lib.bench.processes import Drained, Drainer, drain, drainers
from scripts._lib.bench.row_digests import differences, written
from scripts._lib.bench.sql_bound import run_bound
from scripts._lib.bench.step_job_worker import NAME
from scripts._lib.bench.testbed import Place
from scripts._lib.dev.terminal import Problem, say

STEPS_EACH = 5
TAG = "welcomed"
AT_ONCE = 10
DRAINER, STEPPER = "scripts._lib.bench.engine_worker", "scripts._lib.bench.step_job_worker"
SHORTEN = """
update enrollments set due_at = now(), wait_until = now()
 where account_id = $1 and status = 'active' and wait_reason = 'timer'
"""
CUSTOMERS = "update contacts set company = 'Customer' where account_id = $1 and external_id::int % 4 < 2"


@dataclass(frozen=True)
class Crowd:
    """One seeded account."""

    account: UUID
    tag: UUID
    count: int


@dataclass
class Figures:
    """Steps per second of each round, and what was busy in it."""

    one: list[float] = field(default_factory=list)
    bound: list[float] = field(default_factory=list)
    two: list[float] = field(default_factory=list)
    jobs: list[float] = field(default_factory=list)
    busy_one: list[float] = field(default_factory=list)
    busy_two: list[float] = field(default_factory=list)
    worker_us: list[float] = field(default_factory=list)
    server_us: list[float] = field(default_factory=list)
    bound_us: list[float] = field(default_factory=list)
    rows: dict[str, tuple[int, str]] = field(default_factory=dict)


def steps_of(tag: UUID) -> list[Step]:
    """The workflow of the benchmark; `bound` has it in SQL."""
    france = BranchLane("france", "France", Predicate("country", Op.IS, "France"))
    return [
        Step(
            "s1",
            Branch(branches=[france]),
            lanes={
                "france": [Step("s2", UpdateField(field="city", value="Lyon"))],
                "else": [Step("s3", UpdateField(field="city", value="Oslo"))],
            },
        ),
        Step("s4", AddTag(tag=tag)),
        Step("s5", Wait(amount=1, unit=Unit.HOURS)),
        Step("s6", Goal(name="Bought", filter=Predicate("company", Op.IS, "Customer"))),
    ]


async def crowd(place: Place, count: int) -> Crowd:
    """A fresh database with `count` people of one account, all due."""
    await place.clear()
    account = await place.account()
    tag = await place.tag(account, TAG)
    workflow = await place.workflow(account, steps_of(tag))
    await place.people(account, count)
    now = await place.admin.fetchval("select now()")
    await place.enroll(account, workflow, now, timedelta())
    await place.settle()
    return Crowd(account, tag, count)


async def half_time(place: Place, people: Crowd) -> None:
    """Between the two measured parts: the wait is over, and half of them have bought."""
    await place.admin.execute(SHORTEN, people.account)
    await place.admin.execute(CUSTOMERS, people.account)
    await place.settle()


Part = Callable[[int], Awaitable[Drained]]


async def both(place: Place, people: Crowd, part: Part) -> list[Drained]:
    """The two measured parts with half-time between them."""
    first = await part(0)
    await half_time(place, people)
    return [first, await part(1)]


async def by_workers(place: Place, people: Crowd, workers: list[Drainer]) -> list[Drained]:
    async def part(_number: int) -> Drained:
        return await drain(place, workers, people.count)

    return await both(place, people, part)


async def by_sql(place: Place, people: Crowd) -> list[Drained]:
    connection = await place.connect(people.account)
    try:

        async def part(number: int) -> Drained:
            before, began = place.server_cpu(), monotonic()
            done = await run_bound(connection, number, people.tag, TAG)
            seconds = monotonic() - began
            if done != people.count:
                raise Problem(f"The bound moved {done} of {people.count}.")
            return Drained(seconds, 0.0, place.server_cpu() - before, 0.0)

        return await both(place, people, part)
    finally:
        await connection.close()


async def draining(place: Place, count: int, rounds: int, jobs: int) -> Figures:
    """Rounds of one process, the bound and two processes, one after the other on the same seeds, and of
    `jobs` people by one job per step. Raises Problem when the rows that were written differ."""
    found = Figures()
    async with drainers(place, DRAINER, "move", count=2) as workers:
        await warm(place, workers)
        for number in range(rounds):
            for kind in ("one", "bound", "two") if number % 2 == 0 else ("bound", "one", "two"):
                await one_round(place, found, kind, count, workers)
            if jobs:
                found.jobs.append(await job_per_step(place, jobs))
            say(
                f"  round {number + 1}: one {found.one[-1]:,.0f} steps/s, bound {found.bound[-1]:,.0f}, "
                f"two {found.two[-1]:,.0f}"
            )
    return found


async def warm(place: Place, workers: list[Drainer]) -> None:
    """Connections are open and code is loaded, in each process."""
    for worker in workers:
        people = await crowd(place, 500)
        await by_workers(place, people, [worker])


async def one_round(place: Place, found: Figures, kind: str, count: int, workers: list[Drainer]) -> None:
    people = await crowd(place, count)
    if kind == "bound":
        parts = await by_sql(place, people)
    else:
        parts = await by_workers(place, people, workers[: 1 if kind == "one" else 2])
    seconds = sum(part.seconds for part in parts)
    steps = people.count * STEPS_EACH
    busy = sum(part.cores_busy * part.seconds for part in parts) / seconds
    served = sum(part.server_cpu for part in parts) / steps * 1e6
    if kind == "bound":
        found.bound.append(steps / seconds)
        found.bound_us.append(served)
    elif kind == "one":
        found.one.append(steps / seconds)
        found.busy_one.append(busy)
        found.worker_us.append(sum(part.worker_cpu for part in parts) / steps * 1e6)
        found.server_us.append(served)
    else:
        found.two.append(steps / seconds)
        found.busy_two.append(busy)
    await compare(place, people, found)


async def compare(place: Place, people: Crowd, found: Figures) -> None:
    """Every round must write what the first one wrote."""
    now = await written(place, people.account)
    found.rows = found.rows or now
    wrong = differences(found.rows, now)
    if now["enrollment_executions"][0] != people.count * STEPS_EACH:
        wrong.append("somebody did not go all the way")
    if wrong:
        raise Problem("The same people did not come out the same: " + "; ".join(wrong))


async def job_per_step(place: Place, count: int) -> float:
    """Steps per second of one process with one SAQ job per step."""
    people = await crowd(place, count)
    queue = Queue.from_url(place.valkey.url(), name=NAME)
    given = (str(people.account), str(people.tag), TAG, str(AT_ONCE))
    async with drainers(place, STEPPER, *given) as workers:

        async def part(number: int) -> Drained:
            for row in await place.admin.fetch("select id from enrollments"):
                await queue.enqueue("step", enrollment=str(row["id"]), timeout=60)
            return await drain(place, workers, people.count * (4, 1)[number])

        parts = await both(place, people, part)
    await queue.disconnect()
    rows = {table: rows for table, (rows, _digest) in (await written(place, people.account)).items()}
    if rows["enrollment_executions"] != people.count * STEPS_EACH:
        raise Problem(f"One job per step did not do every step: {rows}.")
    return people.count * STEPS_EACH / sum(part.seconds for part in parts)


def summary(found: Figures) -> dict[str, Any]:
    """The figures of this part; ratios are medians over the rounds, each within its own round."""
    ratio = [one / bound for one, bound in zip(found.one, found.bound, strict=True)]
    speedup = [two / one for two, one in zip(found.two, found.one, strict=True)]
    middle = statistics.median
    made: dict[str, Any] = {
        "steps_per_s": round(middle(found.one)),
        "ratio_to_bound": round(middle(ratio), 3),
        "two_process_speedup": round(middle(speedup), 2),
        "cores_busy": round(middle(found.busy_two), 3),
        "draining": {
            "one_steps_per_s": [round(value) for value in found.one],
            "bound_steps_per_s": [round(value) for value in found.bound],
            "two_steps_per_s": [round(value) for value in found.two],
            "cores_busy_one": [round(value, 3) for value in found.busy_one],
            "worker_us_per_step": round(middle(found.worker_us), 1),
            "server_us_per_step": round(middle(found.server_us), 1),
            "bound_us_per_step": round(middle(found.bound_us), 1),
            "rows": {table: rows for table, (rows, _digest) in found.rows.items()},
        },
    }
    if found.jobs:
        times = [one / job for one, job in zip(found.one, found.jobs, strict=True)]
        made["ratio_to_job_per_step"] = round(middle(times), 1)
        made["draining"]["job_steps_per_s"] = [round(value) for value in found.jobs]
    return made
