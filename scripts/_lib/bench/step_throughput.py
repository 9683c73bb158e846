"""Draining: steps per second of worker processes, beside pure SQL and beside one queue job per step.

`measure_step_throughput` is the entry point. Contacts go through *branch → update field → add tag → wait →
goal*. First all of them are moved until they wait (part 0). Then SQL ends the waits and makes half of the
contacts customers, which isn't timed. Then all are moved to the end (part 1). A step is one row of
`enrollment_executions`: five for each enrollment.
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
from scripts._lib.bench.processes import MeasuredProcess, Measurement, measure, measured_processes
from scripts._lib.bench.row_digests import differences, row_digests
from scripts._lib.bench.sql_bound import run_sql_bound
from scripts._lib.bench.step_job_worker import QUEUE_NAME
from scripts._lib.bench.testbed import Testbed
from scripts._lib.dev.terminal import ScriptError, print_progress

STEPS_PER_ENROLLMENT = 5
STEPS_PER_PART = (4, 1)
TAG = "welcomed"
JOB_CONCURRENCY = 10
ENGINE_WORKER, STEP_JOB_WORKER = "scripts._lib.bench.engine_worker", "scripts._lib.bench.step_job_worker"
END_WAITS = """
update enrollments set due_at = now(), wait_until = now()
 where account_id = $1 and status = 'active' and wait_reason = 'timer'
"""
MAKE_HALF_CUSTOMERS = (
    "update contacts set company = 'Customer' where account_id = $1 and external_id::int % 4 < 2"
)


@dataclass(frozen=True)
class SeededAccount:
    """An account whose enrollments are all due."""

    id: UUID
    tag: UUID
    count: int


@dataclass
class RoundFigures:
    """Steps per second of each round, and the CPU that it used."""

    one_worker: list[float] = field(default_factory=list)
    sql_bound: list[float] = field(default_factory=list)
    two_workers: list[float] = field(default_factory=list)
    job_per_step: list[float] = field(default_factory=list)
    cores_busy_one: list[float] = field(default_factory=list)
    cores_busy_two: list[float] = field(default_factory=list)
    worker_us: list[float] = field(default_factory=list)
    server_us: list[float] = field(default_factory=list)
    bound_us: list[float] = field(default_factory=list)
    rows: dict[str, tuple[int, str]] = field(default_factory=dict)


def bench_steps(tag: UUID) -> list[Step]:
    """The workflow of the benchmark; `sql_bound` has the same in SQL."""
    france = BranchLane("france", "France", Predicate("country", Op.IS, "FR"))
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


async def seed_account(testbed: Testbed, count: int) -> SeededAccount:
    """Empty the database, then seed one account with `count` due enrollments."""
    await testbed.clear()
    account = await testbed.account()
    tag = await testbed.tag(account, TAG)
    workflow = await testbed.workflow(account, bench_steps(tag))
    await testbed.contacts(account, count)
    await testbed.enroll(account, workflow, await testbed.now(), timedelta())
    await testbed.vacuum()
    return SeededAccount(account, tag, count)


async def end_waits(testbed: Testbed, account: SeededAccount) -> None:
    """Between the two parts: the waits end, and half of the contacts become customers."""
    await testbed.admin.execute(END_WAITS, account.id)
    await testbed.admin.execute(MAKE_HALF_CUSTOMERS, account.id)
    await testbed.vacuum()


async def measure_parts(
    testbed: Testbed, account: SeededAccount, measure_part: Callable[[int], Awaitable[Measurement]]
) -> list[Measurement]:
    """Measure part 0, end the waits, measure part 1."""
    first = await measure_part(0)
    await end_waits(testbed, account)
    return [first, await measure_part(1)]


async def measure_workers(
    testbed: Testbed, account: SeededAccount, workers: list[MeasuredProcess]
) -> list[Measurement]:
    """Both parts, moved by these processes together."""

    async def measure_part(_part: int) -> Measurement:
        return await measure(testbed, workers, account.count)

    return await measure_parts(testbed, account, measure_part)


async def measure_sql_bound(testbed: Testbed, account: SeededAccount) -> list[Measurement]:
    """Both parts, moved by pure SQL."""
    connection = await testbed.connect(account.id)

    async def measure_part(part: int) -> Measurement:
        cpu_before, started = testbed.server_cpu(), monotonic()
        moved = await run_sql_bound(connection, part, account.tag, TAG)
        seconds = monotonic() - started
        if moved != account.count:
            raise ScriptError(f"The SQL bound moved {moved} of {account.count} enrollments.")
        return Measurement(seconds, 0.0, testbed.server_cpu() - cpu_before, 0.0)

    try:
        return await measure_parts(testbed, account, measure_part)
    finally:
        await connection.close()


async def measure_step_throughput(testbed: Testbed, count: int, rounds: int, jobs: int) -> RoundFigures:
    """Rounds of one worker, the SQL bound and two workers on the same seed, and `jobs` contacts by job per
    step.

    Raises ScriptError when they write different rows.
    """
    figures = RoundFigures()
    async with measured_processes(testbed, ENGINE_WORKER, "advance", count=2) as workers:
        await warm_up(testbed, workers)
        for number in range(rounds):
            for kind in ("one", "bound", "two") if number % 2 == 0 else ("bound", "one", "two"):
                await measure_round(testbed, figures, kind, count, workers)
            line = (
                f"  round {number + 1}, steps per second: one worker {figures.one_worker[-1]:,.0f}, "
                f"SQL bound {figures.sql_bound[-1]:,.0f}, two workers {figures.two_workers[-1]:,.0f}"
            )
            if jobs:
                figures.job_per_step.append(await measure_job_per_step(testbed, jobs))
                line += f", one job per step {figures.job_per_step[-1]:,.0f}"
            print_progress(line)
    return figures


async def warm_up(testbed: Testbed, workers: list[MeasuredProcess]) -> None:
    """Let each process open its connections and load its code."""
    for worker in workers:
        account = await seed_account(testbed, 500)
        await measure_workers(testbed, account, [worker])


async def measure_round(
    testbed: Testbed, figures: RoundFigures, kind: str, count: int, workers: list[MeasuredProcess]
) -> None:
    """Measure one kind once (`one` worker, `two` workers or `bound`) and add it to the figures."""
    account = await seed_account(testbed, count)
    if kind == "bound":
        parts = await measure_sql_bound(testbed, account)
    else:
        parts = await measure_workers(testbed, account, workers[: 1 if kind == "one" else 2])
    steps = count * STEPS_PER_ENROLLMENT
    seconds = sum(part.seconds for part in parts)
    server_us = sum(part.server_cpu for part in parts) / steps * 1e6
    cores_busy = sum(part.cores_busy * part.seconds for part in parts) / seconds
    if kind == "bound":
        figures.sql_bound.append(steps / seconds)
        figures.bound_us.append(server_us)
    elif kind == "one":
        figures.one_worker.append(steps / seconds)
        figures.cores_busy_one.append(cores_busy)
        figures.worker_us.append(sum(part.worker_cpu for part in parts) / steps * 1e6)
        figures.server_us.append(server_us)
    else:
        figures.two_workers.append(steps / seconds)
        figures.cores_busy_two.append(cores_busy)
    await check_rows(testbed, account, figures)


async def check_rows(testbed: Testbed, account: SeededAccount, figures: RoundFigures) -> None:
    """Raises ScriptError unless the rows are those of the first round."""
    rows = await row_digests(testbed, account.id)
    figures.rows = figures.rows or rows
    problems = differences(figures.rows, rows)
    if rows["enrollment_executions"][0] != account.count * STEPS_PER_ENROLLMENT:
        problems.append("not every enrollment ran every step")
    if problems:
        raise ScriptError("The rows differ from those of the first round: " + "; ".join(problems))


async def measure_job_per_step(testbed: Testbed, count: int) -> float:
    """Steps per second of one process with one SAQ job per step."""
    account = await seed_account(testbed, count)
    queue = Queue.from_url(testbed.valkey.url(), name=QUEUE_NAME)
    arguments = (str(account.id), str(account.tag), TAG, str(JOB_CONCURRENCY))
    async with measured_processes(testbed, STEP_JOB_WORKER, *arguments) as workers:

        async def measure_part(part: int) -> Measurement:
            for row in await testbed.admin.fetch("select id from enrollments"):
                await queue.enqueue("step", enrollment=str(row["id"]), timeout=60)
            return await measure(testbed, workers, account.count * STEPS_PER_PART[part])

        parts = await measure_parts(testbed, account, measure_part)
    await queue.disconnect()
    counts = {table: count for table, (count, _) in (await row_digests(testbed, account.id)).items()}
    steps = account.count * STEPS_PER_ENROLLMENT
    if counts["enrollment_executions"] != steps:
        raise ScriptError(f"One job per step didn't run every step: {counts}.")
    return steps / sum(part.seconds for part in parts)


def summarize(figures: RoundFigures) -> dict[str, Any]:
    """The JSON of this part. A ratio is the median over the rounds, each within its own round."""
    median = statistics.median
    to_bound = divide_rounds(figures.one_worker, figures.sql_bound)
    speedup = divide_rounds(figures.two_workers, figures.one_worker)
    summary: dict[str, Any] = {
        "steps_per_s": round(median(figures.one_worker)),
        "ratio_to_bound": round(median(to_bound), 3),
        "two_process_speedup": round(median(speedup), 2),
        "cores_busy": round(median(figures.cores_busy_two), 3),
        "draining": {
            "one_steps_per_s": [round(rate) for rate in figures.one_worker],
            "bound_steps_per_s": [round(rate) for rate in figures.sql_bound],
            "two_steps_per_s": [round(rate) for rate in figures.two_workers],
            "cores_busy_one": [round(share, 3) for share in figures.cores_busy_one],
            "worker_us_per_step": round(median(figures.worker_us), 1),
            "server_us_per_step": round(median(figures.server_us), 1),
            "bound_us_per_step": round(median(figures.bound_us), 1),
            "rows": {table: count for table, (count, _digest) in figures.rows.items()},
        },
    }
    if figures.job_per_step:
        to_jobs = divide_rounds(figures.one_worker, figures.job_per_step)
        summary["ratio_to_job_per_step"] = round(median(to_jobs), 1)
        summary["draining"]["job_steps_per_s"] = [round(rate) for rate in figures.job_per_step]
    return summary


def divide_rounds(rates: list[float], others: list[float]) -> list[float]:
    """The ratio of two rates in each round."""
    return [rate / other for rate, other in zip(rates, others, strict=True)]
