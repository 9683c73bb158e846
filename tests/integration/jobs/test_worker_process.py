"""The worker as a process: killed, started again, and stopped by a signal."""

import asyncio
import signal

import pytest

from app.engine.core.steps import Unit, Wait
from app.settings import Settings
from tests.support.scenario import Stage
from tests.support.worker_process import MAIL, LitestarWorker, count_by, mail_server, tag_contacts, until


@pytest.mark.slow
async def test_killed_worker_resumes_after_restart(stage: Stage, settings: Settings) -> None:
    async with mail_server(stage.account) as mail:
        mail.delay = 0.15
        wait = Wait(amount=2, unit=Unit.SECONDS)
        await tag_contacts(stage, 40, MAIL, wait, MAIL)

        async def some_out() -> bool:
            return len(mail.keys) >= 12

        async def ended() -> bool:
            await stage.sql(  # the lease of the dead, over sooner
                "update effects set lease_until = clock_timestamp() - interval '1 second' "
                "where account_id = $1 and lease_until < clock_timestamp() + interval '52 seconds'",
                stage.account,
            )
            states = await count_by(stage, "coalesce(wait_reason, status)", "enrollments")
            return set(states) <= {"completed", "hold"} and sum(states.values()) == 40

        async with LitestarWorker(settings, mail.port).running() as worker:
            await until(some_out)
            await worker.end(signal.SIGKILL)
            mail.delay = 0.0
            await worker.start()
            await until(ended, 60)
            assert await worker.end(signal.SIGTERM) == 0
    assert set(mail.keys.values()) == {1}, "no message twice"
    effects = await count_by(stage, "status", "effects")
    states = await count_by(stage, "coalesce(wait_reason, status)", "enrollments")
    doubtful = effects.pop("unknown", 0)
    assert set(effects) == {"sent"}
    assert 1 <= doubtful <= 8
    assert states == {"completed": 40 - doubtful, "hold": doubtful}
    assert effects["sent"] + doubtful >= len(mail.keys)


@pytest.mark.slow
async def test_idle_worker_stops_on_sigterm_at_once(stage: Stage, settings: Settings) -> None:
    async with mail_server(stage.account) as mail:
        mail.delay = 1.0
        await tag_contacts(stage, 30, MAIL)

        async def eight_are_sent() -> bool:
            return len(mail.keys) >= 8

        async with LitestarWorker(settings, mail.port).running() as worker:
            await until(eight_are_sent)
            alive = await stage.sql(
                "select pid from workers where last_seen_at > now() - interval '10 seconds'"
            )
            assert worker.process is not None
            assert worker.process.pid in {row["pid"] for row in alive}
            async with asyncio.timeout(6):
                assert await worker.end(signal.SIGTERM) == 0
            alive = await stage.sql("select pid from workers")
            assert worker.process.pid not in {row["pid"] for row in alive}
    out = len(mail.keys)
    assert out < 30
    assert await count_by(stage, "status", "effects") == {"sent": out, "pending": 30 - out}


@pytest.mark.slow
async def test_without_redis_nothing_is_lost(stage: Stage, settings: Settings) -> None:
    async with mail_server(stage.account) as mail:
        await tag_contacts(stage, 5, MAIL)

        async def out() -> bool:
            return len(mail.keys) == 5

        async with LitestarWorker(settings, mail.port, REDIS_URL="redis://127.0.0.1:1/0").running() as worker:
            await until(out)
            assert await worker.end(signal.SIGTERM) == 0
    assert set(mail.keys.values()) == {1}
