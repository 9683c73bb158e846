"""Durable jobs: batches until done, retries, leases, cancelling."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from app.errors import Invalid
from app.operations.use_cases import cancel_job, retry_job
from app.work import Work, open_work
from db.models import Job
from jobs.job_runner import run_jobs
from jobs.registry import Handler
from tests.support.scenario import USER, Stage


async def state(stage: Stage, job: UUID) -> Any:
    return await stage.row("select * from jobs where id = $1", job)


async def run(stage: Stage, handler: Handler, **later: float) -> int:
    stage.clock.forward(**later)
    return await run_jobs(stage.runtime, stage.account, {"test": handler})


async def test_batches_run_in_the_name_of_the_author(stage: Stage) -> None:
    actors = []

    async def handler(work: Work, job: Job) -> bool:
        actors.append(work.actor.name)
        job.progress += 500
        await work.commit()
        return job.progress >= 30 * 500

    job = await stage.job("test")
    assert await run(stage, handler) == 1
    assert (await state(stage, job))["status"] == "queued", "others have their turn after some batches"
    await run(stage, handler)
    done = await state(stage, job)
    assert (done["status"], done["progress"], done["attempts"]) == ("done", 15_000, 1)
    assert set(actors) == {"Olive"}
    assert await run(stage, handler) == 0


async def test_error_is_retried_and_fails_in_the_end(stage: Stage) -> None:
    async def handler(work: Work, job: Job) -> bool:
        job.progress += 1
        await work.session.flush()
        raise RuntimeError("broken")

    job = await stage.job("test")
    await run(stage, handler)
    waiting = await state(stage, job)
    assert (waiting["status"], waiting["error"], waiting["progress"]) == ("queued", "RuntimeError: broken", 0)
    assert await run(stage, handler) == 0, "not before its time"
    for _ in range(6):
        await run(stage, handler, hours=2)
    failed = await state(stage, job)
    assert (failed["status"], failed["attempts"]) == ("failed", 5)
    async with open_work(stage.runtime, stage.account, USER) as work:
        await retry_job(work, job)

    async def well(_work: Work, _job: Job) -> bool:
        return True

    await run(stage, well)
    assert (await state(stage, job))["status"] == "done"


async def test_refused_input_fails_at_once_with_its_message(stage: Stage) -> None:
    async def handler(_work: Work, _job: Job) -> bool:
        raise Invalid({"file": "The file is empty."})

    job = await stage.job("test")
    await run(stage, handler)
    failed = await state(stage, job)
    assert (failed["status"], failed["error"]) == ("failed", "The file is empty.")


async def test_job_is_taken_over_after_the_lease_and_the_first_worker_writes_nothing(stage: Stage) -> None:
    batches: list[str] = []

    async def second(_work: Work, _job: Job) -> bool:
        batches.append("second")
        return True

    async def first(work: Work, job: Job) -> bool:
        batches.append("first")
        await work.commit()
        assert await run(stage, second) == 0, "the lease runs"
        await stage.sql("update jobs set lease_until = now() - interval '1 second' where id = $1", job.id)
        assert await run(stage, second) == 1
        return False

    job = await stage.job("test")
    await run(stage, first)
    assert batches == ["first", "second"]
    assert (await state(stage, job))["status"] == "done"


# Each way a batch may end is another statement that must ask the fence.
ENDINGS = {
    "goes on": False,
    "done": True,
    "broken": RuntimeError("broken"),
    "refused": Invalid({"file": "Empty."}),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_worker_that_lost_the_job_touches_nothing(stage: Stage, ending: str) -> None:
    claimed_again, first_is_out = asyncio.Event(), asyncio.Event()
    batches: list[str] = []

    async def second(work: Work, _job: Job) -> bool:
        batches.append("second")
        await work.commit()  # between two batches: the row is not locked, only the fence guards it
        claimed_again.set()
        await asyncio.wait_for(first_is_out.wait(), 60)
        return True

    async def first(work: Work, job: Job) -> bool:
        batches.append("first")
        await work.commit()
        await stage.sql("update jobs set lease_until = now() - interval '1 second' where id = $1", job.id)
        others.append(asyncio.create_task(run(stage, second)))
        await asyncio.wait_for(claimed_again.wait(), 60)
        ending_error = ENDINGS[ending]
        if isinstance(ending_error, Exception):
            raise ending_error
        return ending_error is True

    others: list[asyncio.Task[int]] = []
    job = await stage.job("test")
    await run(stage, first)
    left = await state(stage, job)
    first_is_out.set()
    assert await others[0] == 1
    assert batches == ["first", "second"], "no further batch of the one who lost it"
    assert (left["status"], left["fence"], left["error"], left["finished_at"]) == ("running", 2, None, None)
    assert (await state(stage, job))["status"] == "done"


async def test_job_that_kills_its_worker_fails_in_the_end(stage: Stage) -> None:
    job = await stage.job("test")
    await stage.sql(
        "update jobs set status = 'running', attempts = 5, lease_until = now() - interval '1 second' "
        "where id = $1",
        job,
    )

    async def never(_work: Work, _job: Job) -> bool:
        raise AssertionError

    await run(stage, never)
    assert "Stopped in the middle 5 times" in (await state(stage, job))["error"]


async def test_a_cancelled_job_stops(stage: Stage) -> None:
    async def handler(work: Work, job: Job) -> bool:
        job.progress += 1
        await work.commit()
        async with open_work(stage.runtime, stage.account, USER) as other:
            await cancel_job(other, job.id)
        return False

    job = await stage.job("test")
    await run(stage, handler)
    stopped = await state(stage, job)
    assert (stopped["status"], stopped["progress"]) == ("cancelled", 1)


async def test_unknown_task_fails(stage: Stage) -> None:
    job = await stage.job("nonsense")
    await stage.drain()
    assert (await state(stage, job))["error"] == "This version can't run this kind of job (nonsense)."
