"""Matching: events per second, and whether its cost stays flat when there are ten times as many workflows.

Every event says that a contact's city changed; two workflows start with that, all others listen for something
else. Each event enrolls its contact twice.
"""

import statistics
from typing import Any

from app.engine.core.steps import Step, UpdateField
from app.engine.core.triggers import ContactUpdated, TagAdded, Trigger
from scripts._lib.bench.processes import Drainer, drain, drainers
from scripts._lib.bench.testbed import Place
from scripts._lib.dev.terminal import Problem, say

MATCHING = 2
ELSEWHERE = ("phone", "company", "country", "last_name", "state", "website")
EVENTS = """
insert into events (account_id, id, kind, subject_id, source, data, root_event_id, occurred_at)
select account_id, id, 'contact.updated', id, 'user', '{"changes": {"city": ["Oslo", "Lyon"]}}', id, now()
  from contacts where account_id = $1 order by id
"""
WRITTEN = """
select (select count(*) from enrollments),
       (select count(*) from trigger_decisions where verdict = 'enrolled'),
       (select count(*) from events where matched_at is null)
"""


async def matching(place: Place, count: int, rounds: int) -> dict[str, Any]:
    """Rounds with 50 and with 500 workflows, one after the other. Raises Problem for wrong rows."""
    cost: dict[int, list[float]] = {50: [], 500: []}
    rate: dict[int, list[float]] = {50: [], 500: []}
    async with drainers(place, "scripts._lib.bench.engine_worker", "match") as workers:
        await one(place, workers, 50, min(count, 1_000))
        for number in range(rounds):
            for workflows in (50, 500) if number % 2 == 0 else (500, 50):
                seconds, cpu = await one(place, workers, workflows, count)
                rate[workflows].append(count / seconds)
                cost[workflows].append(cpu / count)
            say(f"  round {number + 1}: {rate[50][-1]:,.0f} and {rate[500][-1]:,.0f} events/s")
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


async def one(place: Place, workers: list[Drainer], workflows: int, count: int) -> tuple[float, float]:
    """Seconds and CPU seconds of matching `count` events."""
    await place.clear()
    account = await place.account()
    tag = await place.tag(account, "other")
    for number in range(workflows):
        trigger: Trigger = ContactUpdated(key="t1", fields=["city"])
        if number >= MATCHING:
            field = ELSEWHERE[number % len(ELSEWHERE)]
            trigger = (
                TagAdded(key="t1", tag=tag) if number % 4 == 0 else ContactUpdated(key="t1", fields=[field])
            )
        await place.workflow(account, [Step("s1", UpdateField(field="state", value="x"))], [trigger])
    await place.people(account, count)
    await place.admin.execute(EVENTS, account)
    await place.settle()
    found = await drain(place, workers, count)
    [rows] = await place.admin.fetch(WRITTEN)
    if tuple(rows) != (MATCHING * count, MATCHING * count, 0):
        raise Problem(f"Matching {count} events made {tuple(rows)} enrollments, decisions and leftovers.")
    return found.seconds, found.worker_cpu + found.server_cpu
