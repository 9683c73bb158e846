"""Turns as SAQ jobs: the key of a turn, the turn that follows, and what happens when Redis loses jobs."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import msgspec
import pytest
from redis.asyncio import Redis

from app.engine.core.steps import SendEmail, UpdateField
from app.engine.core.triggers import ContactCreated
from app.integrations import job_notifier
from app.integrations.job_notifier import Enqueued, JobNotifier
from app.operations.circuit_breakers import try_now
from app.ports import Refused
from app.runtime import Runtime
from app.settings import Settings
from app.work import open_work
from db.queries.due_accounts import DueAccount
from jobs.executors import SaqExecutor
from jobs.settings import TURN_TASKS, first_turn, turn_key
from jobs.turns import KeepGoing, all_turns
from jobs.worker import WorkerProcess
from tests.support.breaker_kit import run_many
from tests.support.fakes import Outside
from tests.support.scenario import USER, Stage
from tests.support.worker_process import until, worker_here


def recorder(batches: list[UUID], rows: dict[UUID, list[int]]) -> Callable[..., Awaitable[int]]:
    """A batch that claims the next number of rows of its account, and records who came."""

    async def run_batch(_runtime: Runtime, account: UUID, _keep_going: KeepGoing) -> int:
        batches.append(account)
        left = rows.get(account, [])
        return left.pop(0) if left else 0

    return run_batch


async def test_a_turn_and_the_one_after_it_are_enqueued_once(redis: Redis, settings: Settings) -> None:
    notifier = JobNotifier(settings.redis_url, settings.lease_seconds)
    account, turn = UUID(int=7), first_turn(time.time())
    for _ in range(5):
        assert await notifier("advance", account)
    waiting = [job["key"] for job in (await notifier.queues["advance"].info(jobs=True))["jobs"]]
    numbers = {turn, turn + 1, first_turn(time.time()), first_turn(time.time()) + 1}  # 10 s may just be over
    assert set(waiting) <= {turn_key("advance", str(account), 0, number) for number in numbers}
    assert 2 <= len(waiting) <= len(numbers)
    await notifier.beside("advance", account)
    assert await notifier.queues["advance"].count("queued") == len(waiting) + 1
    await notifier.close()


async def test_calls_that_come_meanwhile_share_the_next_attempt(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    notifier, account, attempts = JobNotifier(settings.redis_url, settings.lease_seconds), UUID(int=7), 0

    async def enqueue(*_: object) -> Enqueued:
        nonlocal attempts
        attempts += 1
        await asyncio.sleep(0)
        return Enqueued.ACCEPTED

    monkeypatch.setattr(notifier, "_enqueue", enqueue)
    assert await asyncio.gather(*(notifier("match", account) for _ in range(10))) == [True] * 10
    assert attempts == 2, "the one under way may have been too early for the others"
    await asyncio.gather(notifier("match", account), notifier("match", UUID(int=8)))
    assert attempts == 4, "each later call and each account has its own"
    calls = [asyncio.create_task(notifier("match", account)) for _ in range(3)]
    await asyncio.sleep(0)
    calls[0].cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert attempts == 6, "one that was canceled counts for nobody"
    await notifier.close()


async def test_a_notifier_says_when_redis_is_gone(settings: Settings) -> None:
    notifier = JobNotifier("redis://127.0.0.1:1/0", settings.lease_seconds)
    assert not await notifier("match", UUID(int=7))
    assert not await notifier.turn("match", UUID(int=7), 0, 1)
    await notifier.close()


async def test_a_busy_process_still_enqueues(
    redis: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it waits for when something else holds the event loop for longer than its patience."""
    monkeypatch.setattr(job_notifier, "PATIENCE_SECONDS", 0.2)
    for number in (0, 1, 2, 4, 6):
        notifier = JobNotifier(settings.redis_url, settings.lease_seconds)
        calls = [
            asyncio.create_task(notifier.turn("advance", UUID(int=number), 0, 1)),
            asyncio.create_task(notifier.depths()),
        ]
        for _ in range(number):
            await asyncio.sleep(0)
        time.sleep(0.25)  # noqa: ASYNC251 -- holds the event loop on purpose
        assert all(await asyncio.gather(*calls)), number
        await notifier.close()


async def test_every_task_has_a_queue_of_its_own(runtime: Runtime) -> None:
    worker = WorkerProcess(runtime)
    queues = [saq.queue.name for saq in worker.saq.workers]
    assert len(set(queues)) == len(queues) == len(TURN_TASKS) + 1
    await worker.saq.close()


async def test_contacts_go_through_a_workflow_by_saq_jobs_alone(stage: Stage, redis: Redis) -> None:
    await stage.workflow([UpdateField(field="city", value="Oslo")], ContactCreated(key="t1"))
    async with worker_here(stage.runtime) as worker:
        for person in await stage.contacts(20):
            await stage.emit("contact.created", person)

        await until(lambda: in_oslo(stage, 20), 10)
        counts = {name: turns.counts for name, turns in worker.turns.items()}
    assert counts["match"]["saq"] >= 1
    assert counts["advance"]["saq"] >= 1
    assert sum(count["sweep"] for count in counts.values()) == 0


async def in_oslo(stage: Stage, count: int) -> bool:
    rows = await stage.sql("select from contacts where account_id = $1 and city = 'Oslo'", stage.account)
    return len(rows) == count


async def test_what_redis_lost_runs_in_the_process(stage: Stage, redis: Redis) -> None:
    """Jobs are accepted and lost before anybody takes them: two seconds later the sweep runs the turn."""
    await stage.workflow([UpdateField(field="city", value="Oslo")], ContactCreated(key="t1"))
    ours = replace(stage.runtime, settings=msgspec.structs.replace(stage.runtime.settings, executor="saq"))
    worker = WorkerProcess(ours)

    async def lose_jobs() -> None:
        while True:
            await redis.flushdb()
            await asyncio.sleep(0.05)

    loops = [asyncio.ensure_future(loop()) for loop in (lose_jobs, worker.sweep, *worker.executor.loops())]
    for person in await stage.contacts(3):
        await stage.emit("contact.created", person)

    try:
        await until(lambda: in_oslo(stage, 3), 15)
    finally:
        for task in loops:
            task.cancel()
        await worker.saq.close()
    assert worker.turns["match"].counts["sweep"] >= 1
    assert worker.turns["match"].counts["saq"] == 0


async def test_accounts_take_turns_by_saq(runtime: Runtime, redis: Redis) -> None:
    """A large account's turn ends after twenty batches; then the other one's turn comes."""
    large, small = UUID(int=101), UUID(int=102)
    order: list[UUID] = []
    async with worker_here(runtime) as worker:
        for name, turns in worker.turns.items():
            rows = {large: [500] * 200, small: [1]} if name == "match" else {}
            turns.run_batch = recorder(order if name == "match" else [], rows)
        await worker.runtime.enqueue("match", large)
        await worker.runtime.enqueue("match", small)

        async def small_was_there() -> bool:
            return small in order

        await until(small_was_there, 10)
    assert order.index(small) <= 80, "four turns of twenty batches at most came before"


async def test_an_account_has_two_turns_at_a_time_and_one_for_sending(runtime: Runtime) -> None:
    account, other = UUID(int=5), UUID(int=6)
    for name, turns in all_turns(runtime).items():
        go_on = asyncio.Event()

        async def wait(
            _runtime: Runtime, _account: UUID, _go: KeepGoing, event: asyncio.Event = go_on
        ) -> int:
            await event.wait()
            return 0

        turns.run_batch = wait
        running = []
        while turns.admits(account):
            running.append(asyncio.create_task(turns.run(account, "saq")))
            await asyncio.sleep(0)
        assert len(running) == (1 if name == "send" else 2)
        assert turns.admits(other), "of another account"
        go_on.set()
        assert True in await asyncio.gather(*running), "somebody asked meanwhile, so they look once more"
        assert turns.admits(account)
        turns.stopping = True
        assert not turns.admits(account), "a worker that stops begins nothing"


async def test_a_turn_that_fails_is_logged_and_ends(runtime: Runtime) -> None:
    turns = all_turns(runtime)["match"]

    async def fail(_runtime: Runtime, _account: UUID, _keep_going: KeepGoing) -> int:
        raise RuntimeError("planted")

    turns.run_batch = fail
    assert not await turns.run(UUID(int=5), "saq")
    assert turns.idle.is_set()
    assert turns.counts == {}


async def test_a_process_with_all_turns_of_an_account_passes_one_on(runtime: Runtime, redis: Redis) -> None:
    account = UUID(int=8)
    executor = SaqExecutor(runtime, all_turns(runtime))
    executor.turns["match"].running[account] = 2
    await executor.on_job("match", account, slot=1, turn=41, hops=1)
    await executor.on_job("match", account, slot=0, turn=41, hops=0)
    queue = JobNotifier(runtime.settings.redis_url, 60).queues["match"]
    [job] = (await queue.info(jobs=True))["jobs"]
    assert job["key"].rpartition(":")[0] == turn_key("match", str(account), 1, 0).rpartition(":")[0]
    assert job["kwargs"]["turn"] % 2 == 0, "the other number than of the turn that it follows"
    assert job["kwargs"]["hops"] == 0
    await queue.disconnect()


async def test_a_large_batch_gets_the_account_a_second_turn(runtime: Runtime, redis: Redis) -> None:
    account, other = UUID(int=9), UUID(int=10)
    executor = SaqExecutor(runtime, all_turns(runtime))
    executor.turns["match"].run_batch = recorder([], {account: [500, 500, 3], other: [3]})
    queue = JobNotifier(runtime.settings.redis_url, 60).queues["match"]
    await executor.on_job("match", other, slot=0, turn=1, hops=0)
    assert await queue.count("queued") == 0
    await executor.on_job("match", account, slot=0, turn=1, hops=0)
    assert await queue.count("queued") == 1
    await queue.disconnect()


@pytest.mark.parametrize("executor", ["saq", "inline"])
async def test_effects_behind_a_breaker_go_out_after_its_probe(
    stage: Stage, outside: Outside, redis: Redis, executor: Literal["saq", "inline"]
) -> None:
    """The probe is due by nothing but the breaker, and what it releases by nothing but the next turn."""
    outside.answers = [Refused("dead", permanent=False, error_class="unreachable")] * 12
    workflow = await run_many(stage, SendEmail(subject="a", body="b"), 40)
    await stage.drain()
    outside.answers.clear()
    before = await effects_by_status(stage)
    assert before["retry"] + before["pending"] > 20, "they wait behind the breaker"
    async with worker_here(stage.runtime, executor):
        async with open_work(stage.runtime, stage.account, USER) as work:
            await try_now(work, workflow, "s1")

        async def released() -> bool:
            rows = await stage.sql(
                "select from enrollments where account_id = $1 and wait_reason = 'breaker_open'",
                stage.account,
            )
            return not rows

        await until(released, 15)


async def test_a_breaker_with_nothing_behind_it_is_deleted(
    stage: Stage, outside: Outside, redis: Redis
) -> None:
    outside.answers = [Refused("dead", permanent=False, error_class="unreachable")] * 12
    await run_many(stage, SendEmail(subject="a", body="b"), 40)
    await stage.drain()
    await stage.sql("update effects set status = 'cancelled' where account_id = $1", stage.account)
    await stage.sql(
        "update circuit_breakers set until = now() - interval '1 second' where account_id = $1", stage.account
    )
    async with worker_here(stage.runtime):

        async def deleted() -> bool:
            return not await stage.sql("select from circuit_breakers where account_id = $1", stage.account)

        await until(deleted, 15)


async def effects_by_status(stage: Stage) -> Counter[str]:
    rows = await stage.sql("select status from effects where account_id = $1", stage.account)
    return Counter(row["status"] for row in rows)


async def test_a_sweep_enqueues_what_waits_no_second_time(runtime: Runtime, redis: Redis) -> None:
    """However long an account waits behind others, it has one job; when it gets lost, it is there again."""
    account = UUID(int=11)
    executor = SaqExecutor(runtime, all_turns(runtime))
    queue = JobNotifier(runtime.settings.redis_url, 60).queues["match"]
    due = [DueAccount(account, ["match"], datetime.now(UTC))]
    await executor.on_due([])  # the first sweep enqueues nothing
    for _ in range(5):
        await executor.on_due(due)
        assert await queue.count("queued") == 1
    await redis.flushdb()
    await executor.on_due(due)
    assert await queue.count("queued") == 1
    await executor.on_due([])
    assert executor.enqueued == {}
    await queue.disconnect()


async def test_the_first_sweep_of_a_worker_runs_what_it_has_room_for(runtime: Runtime, redis: Redis) -> None:
    assert await redis.dbsize() == 0
    executor = SaqExecutor(runtime, all_turns(runtime))
    places = executor.turns["match"].places
    due = [DueAccount(UUID(int=20 + number), ["match"], datetime.now(UTC)) for number in range(places + 1)]
    await executor.on_due(due)
    queue = JobNotifier(runtime.settings.redis_url, 60).queues["match"]
    assert await queue.count("queued") == 1
    await queue.disconnect()


async def test_a_worker_that_stops_leaves_its_jobs_to_others(runtime: Runtime, redis: Redis) -> None:
    executor = SaqExecutor(runtime, all_turns(runtime))
    executor.turns["match"].stopping = True
    await executor.on_job("match", UUID(int=12), slot=0, turn=4, hops=0)
    queue = JobNotifier(runtime.settings.redis_url, 60).queues["match"]
    assert await queue.count("queued") == 1
    await queue.disconnect()


async def test_nothing_is_kept_of_accounts_that_are_not_due(runtime: Runtime) -> None:
    turns = all_turns(runtime)["match"]
    turns.run_batch = recorder([], {UUID(int=number): [500] for number in (1, 2)})
    for number in (1, 2):
        await turns.run(UUID(int=number), "saq", batches=1)
    turns.forget({UUID(int=1)})
    assert turns.worked_at.keys() == turns.large == {UUID(int=1)}
