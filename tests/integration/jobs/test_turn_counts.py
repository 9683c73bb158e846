"""The turns of all workers are counted in PostgreSQL, and are a metric."""

from prometheus_client import generate_latest

from app.health.worker_health import turn_counts_probe
from app.runtime import Runtime
from app.web.metrics import TURNS
from db.queries.turn_counts import add_turns
from jobs.worker import WorkerProcess


async def counted(runtime: Runtime) -> dict[tuple[str, str], int]:
    return {(row.task, row.via): row.turns for row in await turn_counts_probe(runtime)()}


async def test_counts_of_workers_add_up(runtime: Runtime) -> None:
    before = await counted(runtime)
    for turns in (3, 4):
        async with runtime.engine.begin() as connection:
            await add_turns(connection, {("planted", "saq"): turns, ("planted", "sweep"): 1})
    after = await counted(runtime)
    assert after["planted", "saq"] - before.get(("planted", "saq"), 0) == 7
    assert after["planted", "sweep"] - before.get(("planted", "sweep"), 0) == 2


async def test_a_heartbeat_writes_what_is_new(runtime: Runtime) -> None:
    worker = WorkerProcess(runtime)
    before = (await counted(runtime)).get(("match", "sweep"), 0)
    worker.turns["match"].counts["sweep"] += 2
    await worker.record_heartbeat()
    await worker.record_heartbeat()
    worker.turns["match"].counts["sweep"] += 1
    await worker.record_heartbeat(last=True)
    assert (await counted(runtime))["match", "sweep"] - before == 3
    await worker.saq.close()


def test_the_metric_has_a_line_for_each_task_and_way() -> None:
    TURNS.turns = [("advance", "saq", 12), ("advance", "sweep", 1)]
    try:
        text = generate_latest().decode()
    finally:
        TURNS.turns = []
    assert 'switchyard_turns_total{task="advance",via="saq"} 12.0' in text
    assert 'switchyard_turns_total{task="advance",via="sweep"} 1.0' in text
