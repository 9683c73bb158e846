"""Matching: events per second, and whether the cost stays flat with ten times as many workflows.

`measure_matching` is the entry point. Each event says that a contact's city changed. Two workflows start with
that; all others listen to something else. So each event enrolls its contact twice.
"""

import statistics
from typing import Any

from app.engine.core.steps import Step, UpdateField
from app.engine.core.triggers import ContactUpdated, TagAdded, Trigger
from scripts._lib.bench.processes import MeasuredProcess, measure, measured_processes
from scripts._lib.bench.testbed import Testbed
from scripts._lib.dev.terminal import ScriptError, print_progress

WORKFLOWS_PER_EVENT = 2
OTHER_FIELDS = ("phone", "company", "country", "last_name", "state", "website")
INSERT_EVENTS = """
insert into events (account_id, id, kind, subject_id, source, data, root_event_id, occurred_at)
select account_id, id, 'contact.updated', id, 'user', '{"changes": {"city": ["Oslo", "Lyon"]}}', id, now()
  from contacts where account_id = $1 order by id
"""
COUNT_ROWS = """
select (select count(*) from enrollments),
       (select count(*) from trigger_decisions where verdict = 'enrolled'),
       (select count(*) from events where matched_at is null)
"""


async def measure_matching(testbed: Testbed, count: int, rounds: int) -> dict[str, Any]:
    """Alternate rounds with 50 and with 500 workflows. Raises ScriptError for wrong rows."""
    cost: dict[int, list[float]] = {50: [], 500: []}
    rate: dict[int, list[float]] = {50: [], 500: []}
    async with measured_processes(testbed, "scripts._lib.bench.engine_worker", "match") as workers:
        await measure_events(testbed, workers, 50, min(count, 1_000))
        for number in range(rounds):
            for workflows in (50, 500) if number % 2 == 0 else (500, 50):
                seconds, cpu = await measure_events(testbed, workers, workflows, count)
                rate[workflows].append(count / seconds)
                cost[workflows].append(cpu / count)
            print_progress(
                f"  round {number + 1}, events per second: {rate[50][-1]:,.0f} with 50 workflows, "
                f"{rate[500][-1]:,.0f} with 500"
            )
    ratios = [slow / fast for fast, slow in zip(rate[500], rate[50], strict=True)]
    return {
        "match_events_per_s": round(statistics.median(rate[50])),
        "match_cost_500_over_50": round(statistics.median(ratios), 3),
        "matching": {
            "events_per_s_50": [round(value) for value in rate[50]],
            "events_per_s_500": [round(value) for value in rate[500]],
            "cpu_cost_500_over_50": round(
                statistics.median(b / a for a, b in zip(cost[50], cost[500], strict=True)), 3
            ),
        },
    }


async def measure_events(
    testbed: Testbed, workers: list[MeasuredProcess], workflows: int, count: int
) -> tuple[float, float]:
    """Match `count` events; return seconds and CPU seconds."""
    await testbed.clear()
    account = await testbed.account()
    tag = await testbed.tag(account, "other")
    for number in range(workflows):
        trigger: Trigger = ContactUpdated(key="t1", fields=["city"])
        if number >= WORKFLOWS_PER_EVENT:
            field = OTHER_FIELDS[number % len(OTHER_FIELDS)]
            trigger = (
                TagAdded(key="t1", tag=tag) if number % 4 == 0 else ContactUpdated(key="t1", fields=[field])
            )
        await testbed.workflow(account, [Step("s1", UpdateField(field="state", value="x"))], [trigger])
    await testbed.contacts(account, count)
    await testbed.admin.execute(INSERT_EVENTS, account)
    await testbed.vacuum()
    measurement = await measure(testbed, workers, count)
    [rows] = await testbed.admin.fetch(COUNT_ROWS)
    if tuple(rows) != (WORKFLOWS_PER_EVENT * count, WORKFLOWS_PER_EVENT * count, 0):
        raise ScriptError(
            f"Matching {count} events left {rows[0]} enrollments, {rows[1]} decisions "
            f"and {rows[2]} unmatched events."
        )
    return measurement.seconds, measurement.worker_cpu + measurement.server_cpu
