"""Publishing a step that could not send: untried effects are rendered from the version to which enrollments
move, attempted ones keep request and key, and the breaker closes by the new request."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from app.engine.core.steps import OnDoubt, SendEmail, StepConfig, Unit, Wait, Webhook, Window
from app.engine.effects.dispatcher import begin_effect
from app.enrollments.use_cases.progress import pause_enrollment, resume_enrollment
from app.integrations.http import OutboundHttpClient
from app.work import SYSTEM, open_work
from app.workflows.schemas.publication import MoveChoice
from app.workflows.use_cases.plan import groups_of
from app.workflows.use_cases.read import open_workflow
from db.queries.effect_claims import claim_effects
from jobs.turns import match_and_advance
from tests.support.publication_kit import Flow, draft_of
from tests.support.scenario import USER, Stage

MANY = 27
TEN = Wait(amount=10, unit=Unit.DAYS)


class WebhookServer:
    """A web server: `/old` answers as `old` says ("" hangs up), everything else takes what comes."""

    def __init__(self) -> None:
        self.old = "503 Dead"
        self.calls: list[tuple[str, str]] = []  # path, key
        self.base = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        path = head[0].split()[1]
        self.calls.append((path, next(line for line in head if line.startswith("idempotency-key"))))
        status = self.old if path == "/old" else "200 Fine"
        if status:
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
        writer.close()

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.calls]

    def keys(self, path: str) -> list[str]:
        return [key for called, key in self.calls if called == path]


@pytest.fixture
async def there(stage: Stage) -> AsyncIterator[WebhookServer]:
    server = WebhookServer()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.base = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    stage.runtime = replace(stage.runtime, caller=OutboundHttpClient(allow_loopback=True))
    yield server
    listener.close()


def old(there: WebhookServer) -> Webhook:
    return Webhook(url=f"{there.base}/old")


def new(there: WebhookServer) -> Webhook:
    return Webhook(url=f"{there.base}/new")


async def came_in(stage: Stage, count: int = 1) -> list[UUID]:
    """Their first step has an effect that no worker has claimed."""
    people = await stage.contacts(count)
    for person in people:
        await stage.emit("contact.created", person)
    while await match_and_advance(stage.runtime, stage.account):
        pass
    return people


async def plan(stage: Stage, flow: Flow) -> Any:
    async with open_work(stage.runtime, stage.account, USER) as work:
        [group] = await groups_of(work, await open_workflow(work, flow.id))
        return group


async def enrolled(stage: Stage, *steps: StepConfig, count: int = 1) -> tuple[Flow, list[UUID]]:
    """A published workflow with these steps, and enrollments at the first."""
    flow = await Flow.create(stage)
    await flow.save(draft_of(*steps))
    await flow.publish()
    return flow, await came_in(stage, count)


def along(count: int = 1, version: int = 1) -> MoveChoice:
    return MoveChoice(version=version, to="s1", enrollments=count, step="s1")


async def test_fixed_step_closes_its_breaker(stage: Stage, there: WebhookServer) -> None:
    flow, _ = await enrolled(stage, old(there), count=MANY)
    await stage.drain()
    await stage.drain(minutes=2)  # a probe, too
    tried = set(there.keys("/old"))
    assert 5 <= len(tried) < MANY, "the breaker kept the others from it"
    await flow.save(draft_of(new(there)))
    group = await plan(stage, flow)
    assert (group.enrollments, group.renewed, group.unchanged) == (MANY, MANY - len(tried), len(tried))
    done = await flow.publish(along(MANY))
    assert (done.moved, done.renewed, done.under_way) == (MANY, MANY - len(tried), 0)
    before = len(there.calls)
    await stage.drain()
    assert there.paths[before] == "/new", "the probe is tried at once, and with the new request"
    await stage.drain(seconds=30)
    fresh = there.keys("/new")
    assert len(fresh) == len(set(fresh)) == MANY - len(tried)
    assert not tried & set(fresh), "a key that was used says one thing"
    rows = await stage.sql("select status, count(*) as n from enrollments where account_id = $1 group by 1"
                           " order by 1", stage.account)  # fmt: skip
    assert [tuple(row) for row in rows] == [("active", len(tried)), ("completed", MANY - len(tried))]
    there.calls.clear()
    there.old = "200 Alive"
    for _ in range(20):
        await stage.drain(minutes=30)
    assert sorted(there.calls) == [("/old", key) for key in sorted(tried)], "what was tried keeps its request"
    assert not await stage.sql("select 1 from circuit_breakers where account_id = $1", stage.account)


async def test_claimed_effect_that_has_not_begun_is_rerendered(stage: Stage, there: WebhookServer) -> None:
    flow, [ann] = await enrolled(stage, old(there))
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        [claimed] = await claim_effects(work.session, work.now, 10, 60)
        await work.session.commit()
    await flow.save(draft_of(new(there)))
    assert (await plan(stage, flow)).renewed == 1
    assert (await flow.publish(along())).renewed == 1
    assert await begin_effect(stage.runtime, stage.account, claimed) is None, "its fence is gone"
    await stage.drain()
    assert there.paths == ["/new"]
    assert (await stage.enrollment(ann))["status"] == "completed"


@pytest.mark.parametrize("answer", ["503 Dead", ""])
async def test_attempted_effect_keeps_its_request_and_key(
    stage: Stage, there: WebhookServer, answer: str
) -> None:
    there.old = answer
    flow, _ = await enrolled(stage, old(there))
    await stage.drain()
    await flow.save(draft_of(new(there)))
    group = await plan(stage, flow)
    assert (group.renewed, group.unchanged, group.under_way) == (0, 1, 0)
    assert (await flow.publish(along())).renewed == 0
    await stage.drain(minutes=1)
    assert there.paths == ["/old", "/old"]
    assert len(set(there.calls)) == 1, "with the same key"


async def test_effect_in_doubt_is_not_rerendered(stage: Stage, there: WebhookServer) -> None:
    there.old = ""
    flow, [ann] = await enrolled(stage, Webhook(url=f"{there.base}/old", on_doubt=OnDoubt.ASK_MEMBER))
    await stage.drain()
    await flow.save(draft_of(new(there)))
    assert (await plan(stage, flow)).under_way == 1
    done = await flow.publish(along())
    assert (done.moved, done.renewed, done.under_way) == (0, 0, 1)
    await stage.drain(hours=2)
    assert (there.paths, (await stage.enrollment(ann))["version"]) == (["/old"], 1)


async def test_effect_of_a_probe_that_died_is_not_rerendered(stage: Stage, there: WebhookServer) -> None:
    """A probe costs no attempt, and its claim is taken over: still the effect counts as begun."""
    flow, _ = await enrolled(stage, old(there), count=12)
    await stage.drain()
    [probed] = await stage.sql(
        "update effects set status = 'claimed', attempted_at = now(), started_at = now(), fence = fence + 1,"
        " lease_until = now() - interval '1 second' where id = (select id from effects"
        " where account_id = $1 and attempts = 0 limit 1) returning id", stage.account,
    )  # fmt: skip
    await stage.drain(minutes=10)
    row = await stage.row("select attempts, attempted_at from effects where id = $1", probed["id"])
    assert (row["attempts"], row["attempted_at"] is not None) == (0, True)
    await flow.save(draft_of(new(there)))
    tried = await stage.row(
        "select count(*) as n from effects where account_id = $1 and attempted_at is not null", stage.account
    )
    assert (await flow.publish(along(12))).renewed == 12 - tried["n"]
    row = await stage.row("select status from effects where id = $1", probed["id"])
    assert row["status"] != "cancelled"


async def test_new_version_checks_consent_again(stage: Stage) -> None:
    """Also when the step is now of another kind, has a window, or the contact denied consent since."""
    flow, [ann, bob] = await enrolled(stage, SendEmail(subject="Old", body="b", transactional=True), count=2)
    await stage.sql("update contacts set email_consent = 'denied' where id = $1", bob)
    await flow.save(draft_of(SendEmail(subject="New", body="b")))
    assert (await flow.publish(along(2))).renewed == 2
    await stage.drain()
    assert [letter.subject for letter in stage.outside.letters] == ["New"]
    assert await stage.path(ann) == [("send_email", "left"), ("send_email", "sent")]
    assert await stage.path(bob) == [("send_email", "left"), ("send_email", "skipped")]


async def test_new_sending_window_applies(stage: Stage, there: WebhookServer) -> None:
    flow, _ = await enrolled(stage, old(there))
    hour = (await stage.now()).hour
    later = Window(start=f"{(hour + 2) % 24:02}:00", end=f"{(hour + 5) % 24:02}:00")
    await flow.save(draft_of(Webhook(url=f"{there.base}/old", window=later)))
    assert (await flow.publish(along())).renewed == 1
    await stage.drain()
    assert there.calls == []
    await stage.drain(hours=3)
    assert there.paths == ["/old"]


async def test_unchanged_step_keeps_its_rendered_effect(stage: Stage, there: WebhookServer) -> None:
    flow, [ann] = await enrolled(stage, old(there))
    before = await stage.effect(ann)
    await flow.save(draft_of(old(there), TEN))
    assert (await plan(stage, flow)).renewed == 0
    assert (await flow.publish(along())).renewed == 0
    after = await stage.effect(ann)
    assert (after["id"], after["status"], after["fence"]) == (before["id"], "pending", before["fence"])


async def test_paused_or_held_enrollment_sends_the_rerendered_effect_on_resume(
    stage: Stage, there: WebhookServer
) -> None:
    flow, [ann, _] = await enrolled(stage, old(there), count=2)
    row = await stage.enrollment(ann)
    async with open_work(stage.runtime, stage.account, USER) as work:
        await pause_enrollment(work, row["id"])
    await flow.hold(True)
    await flow.save(draft_of(new(there)))
    assert (await flow.publish(along(2))).renewed == 2
    await stage.drain()
    assert there.calls == []
    await flow.hold(False)
    await stage.drain()
    assert there.paths == ["/new"]
    async with open_work(stage.runtime, stage.account, USER) as work:
        await resume_enrollment(work, row["id"])
    await stage.drain()
    assert there.paths == ["/new", "/new"]


async def test_job_rerenders_many_effects(
    stage: Stage, there: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.workflows.use_cases.publication.AT_ONCE", 1)
    flow, _ = await enrolled(stage, old(there), count=12)
    await flow.hold(True)
    await flow.save(draft_of(new(there)))
    done = await flow.publish(along(12))
    await stage.drain()
    job = await stage.row("select progress, result->>'renewed' as n from jobs where id = $1", done.job)
    assert tuple(job) == (12, "12"), "each of them is counted once"
