"""Circuit breakers with real sending: an endpoint that fails for every contact, and recovers."""

from dataclasses import replace
from itertools import pairwise

import pytest
from msgspec.structs import replace as replace_struct

from app.engine.core.steps import SendEmail, Webhook
from app.engine.core.triggers import ContactCreated
from app.engine.effects import circuit_breakers
from app.engine.effects.channels import send_by_channel
from app.engine.effects.dispatcher import update_after
from app.integrations.http import OutboundHttpClient
from app.integrations.smtp import SmtpMailer
from app.ports import CallOutcome, Email, Refused, Sent, Unknown
from app.work import open_work
from app.workflows.use_cases.read import counted
from jobs.turns import drain
from tests.support.breaker_kit import MANY, open_endpoint, run_many, statuses
from tests.support.pending_effects import claimed_effect
from tests.support.scenario import USER, Stage


async def test_dead_endpoint_is_called_rarely_and_no_enrollment_is_lost(stage: Stage) -> None:
    async with open_endpoint() as (endpoint, url):
        runtime = replace(stage.runtime, caller=OutboundHttpClient(allow_loopback=True))
        await run_many(stage, Webhook(url=url))
        await drain(runtime, stage.account)
        first = endpoint.tried.total()
        assert first <= 20, "everybody else was kept from it"
        assert (await statuses(stage))["active", "breaker_open"] >= MANY - first
        row = await stage.row("select * from circuit_breakers where account_id = $1", stage.account)
        assert (row["state"], row["error_class"]) == ("open", "http_503")
        waiting = await stage.row(
            "select min(wait_until) as first, max(wait_until) as last, count(*) from enrollments "
            "where account_id = $1 and wait_reason = 'breaker_open'", stage.account,
        )  # fmt: skip
        assert waiting["first"] == waiting["last"] == row["until"]
        for _ in range(6):  # an hour of probes
            stage.clock.forward(minutes=10)
            await drain(runtime, stage.account)
        assert endpoint.tried.total() <= first + 6
        spent = await stage.row(
            "select max(attempts) as most from effects where account_id = $1", stage.account
        )
        assert spent["most"] <= 1, "a probe costs no attempt"
        endpoint.status = "200 Alive"
        for _ in range(20):
            stage.clock.forward(minutes=1)
            await drain(runtime, stage.account)
        assert await statuses(stage) == {("completed", None): MANY}
        assert len(endpoint.taken) == MANY
        assert set(endpoint.taken.values()) == {1}, "exactly once each"
        assert not await stage.sql("select 1 from circuit_breakers where account_id = $1", stage.account)


async def test_delayed_effects_are_released_one_after_the_other(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuit_breakers, "RELEASED_PER_SECOND", 1)
    stage.outside.answers = [Refused("dead", permanent=False, error_class="unreachable")] * 12
    await run_many(stage, SendEmail(subject="a", body="b"), 40)
    await stage.drain()
    stage.outside.answers.clear()
    await stage.drain(minutes=11)
    rows = await stage.sql(
        "select due_at from effects where account_id = $1 and status <> 'sent' order by due_at", stage.account
    )
    due = [row["due_at"].timestamp() for row in rows]
    assert len(due) > 10
    assert all(0.9 <= later - sooner <= 1.1 for sooner, later in pairwise(due))
    await stage.drain(minutes=1)
    assert (await statuses(stage))["completed", None] == 40


async def test_refused_address_does_not_count_for_others(stage: Stage) -> None:
    stage.outside.answers = [Refused("550 no such user", permanent=True, error_class="address")] * 30
    await run_many(stage, SendEmail(subject="a", body="b"))
    await stage.drain()
    assert await statuses(stage) == {("failed", None): 30, ("completed", None): 70}
    assert not await stage.sql("select 1 from circuit_breakers where account_id = $1", stage.account)


async def test_other_steps_and_accounts_continue(stage: Stage) -> None:
    stage.outside.answers = [Refused("dead", permanent=False, error_class="http_500")] * 12
    await run_many(stage, Webhook(url="http://dead.example/"))
    await stage.drain()
    assert (await statuses(stage))["active", "breaker_open"]
    sent = len(stage.outside.calls)
    stage.outside.answers.clear()
    await stage.workflow([SendEmail(subject="a", body="b")], ContactCreated(key="t1"))
    person = await stage.contact()
    await stage.emit("contact.created", person)
    await stage.drain()
    assert len(stage.outside.letters) == 1
    assert len(stage.outside.calls) == sent


async def test_permanent_refusal_of_all_fails_few_enrollments(stage: Stage) -> None:
    async with open_endpoint() as (endpoint, url):
        endpoint.status = "404 Not here"
        runtime = replace(stage.runtime, caller=OutboundHttpClient(allow_loopback=True))
        await run_many(stage, Webhook(url=url))
        await drain(runtime, stage.account)
        for _ in range(3):
            stage.clock.forward(minutes=10)
            await drain(runtime, stage.account)
        breakers = await statuses(stage)
        assert breakers["failed", None] <= 15
        assert (
            breakers["active", "breaker_open"] + breakers["active", "retry"] + breakers["failed", None]
            == MANY
        )


@pytest.mark.parametrize("outcome", [Refused("404", permanent=True, error_class="http_404"),
                                     Refused("503", permanent=False, error_class="http_503")])  # fmt: skip
def test_failed_probe_fails_no_enrollment(outcome: Refused) -> None:
    assert update_after(outcome, 100, "hold", probe=True).status == "retry"
    assert update_after(outcome, 100, "hold").status == "failed_permanent"
    own = Refused("550", permanent=True, error_class="address")
    assert update_after(own, 0, "hold", probe=True).status == "failed_permanent"
    assert update_after(Sent(), 0, "hold", probe=True).status == "sent"


async def test_effect_of_a_dead_worker_becomes_the_probe(stage: Stage) -> None:
    stage.outside.answers = [Refused("dead", permanent=False, error_class="http_503")] * 12
    await run_many(stage, Webhook(url="http://dead.example/"), 12)
    await stage.drain()
    stage.outside.answers.clear()
    assert await stage.sql("select 1 from circuit_breakers where account_id = $1", stage.account)
    await stage.sql(
        "update effects set status = 'claimed', started_at = null, "
        "lease_until = clock_timestamp() - interval '1 second' where account_id = $1", stage.account,
    )  # fmt: skip
    for _ in range(5):
        await stage.drain(minutes=11)
    assert await statuses(stage) == {("completed", None): 12}


async def tried_with(stage: Stage, outcome: CallOutcome) -> str:
    """What an open breaker is after its probe ended so; "" when it is gone."""
    stage.outside.answers = [Refused("dead", permanent=False, error_class="unreachable")] * 12
    await run_many(stage, SendEmail(subject="a", body="b"), 12)
    await stage.drain()
    stage.outside.answers = [outcome]
    await stage.drain(seconds=45)
    rows = await stage.sql("select state from circuit_breakers where account_id = $1", stage.account)
    return "".join(row["state"] for row in rows)


@pytest.mark.parametrize(
    "outcome",
    [
        Refused("a line break", permanent=True, error_class="letter", answered=False),
        Refused("non-ASCII characters", permanent=True, error_class="address", answered=False),
        Sent({"answer": "None of the recipients is a member anymore."}, answered=False),
        Unknown("KeyError: 'to'"),
    ],
)
async def test_probe_that_was_never_sent_does_not_close_the_breaker(
    stage: Stage, outcome: CallOutcome
) -> None:
    assert await tried_with(stage, outcome) == "half_open"


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Sent(), ""),
        (Refused("550 no such user", permanent=True, error_class="address"), ""),
        (Refused("503", permanent=False, error_class="smtp_421"), "open"),
        (Unknown("cut", error_class="no_answer"), "open"),
    ],
)
async def test_answered_probe_decides(stage: Stage, outcome: CallOutcome, state: str) -> None:
    assert (await tried_with(stage, outcome)).replace("closed", "") == state


async def test_outcomes_without_a_server_are_not_answered(stage: Stage) -> None:
    mailer = SmtpMailer("smtp://127.0.0.1:9", "Switchyard <a@example.com>")  # no server listens there
    letter = Email(recipient="ann@x.example", subject="a", body="b", key="k", account_id="1")
    for failure in (
        replace_struct(letter, recipient="ann@" + "\u00e4" * 64 + ".example"),  # no such domain can exist
        replace_struct(letter, subject="a\nb"),
    ):
        outcome = await mailer.send(failure)
        assert isinstance(outcome, Refused)
        assert not outcome.answered
    effect = claimed_effect(payload={"internal": True, "users": []})
    assert await send_by_channel(stage.runtime, stage.account, effect) == Sent(
        {"answer": "None of the recipients is a member anymore."}, answered=False
    )


async def test_breaker_does_not_wait_for_ended_enrollments(stage: Stage) -> None:
    stage.outside.answers = [Refused("dead", permanent=False, error_class="http_503")] * 12
    await run_many(stage, Webhook(url="http://dead.example/"), 12)
    await stage.drain()
    await stage.sql("update enrollments set status = 'exited' where account_id = $1", stage.account)
    await stage.drain(minutes=11)
    assert not await stage.sql("select 1 from circuit_breakers where account_id = $1", stage.account)


async def test_jobs_page_shows_the_breaker_and_tries_at_once(stage: Stage) -> None:
    stage.outside.answers = [
        Refused("The other side answered 503.", permanent=False, error_class="http_503")
    ] * 12
    workflow = await run_many(stage, Webhook(url="http://dead.example/"), 40)
    await stage.drain()
    stage.outside.answers.clear()
    world = stage.world
    owner = await world.person("owner", stage.account)
    async with world.script(owner) as client:
        board = (await client.get("/jobs")).json()
        [line] = board["circuit_breakers"]
        assert (line["step_key"], line["error_class"], line["state"]) == ("s1", "http_503", "open")
        assert line["waiting"] > 20
        path = f"/breakers/{workflow}/s1/trial"
        assert path in {action["href"] for action in board["actions"]}
        person = await stage.row(
            "select id from enrollments where account_id = $1 and wait_reason = 'breaker_open'", stage.account
        )
        shown = (await client.get(f"/enrollments/{person['id']}")).json()
        assert shown["wait_reason"] == "breaker_open"
        assert "Next try:" in shown["waits_for"]
    async with open_work(stage.runtime, stage.account, USER) as work:
        assert (await counted(work, workflow))[0]["s1"].stopped
    async with world.browser(owner) as client:
        assert "Stopped steps" in (await client.get("/jobs")).text
        answer = await client.post(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/jobs")
    async with world.script(await world.person("viewer", stage.account)) as client:
        assert (await client.post(path)).status_code == 403
        assert (await client.get("/jobs")).json()["actions"] == []
    async with world.script(await world.person()) as client:
        assert (await client.post(path)).status_code == 404
    await stage.drain()
    await stage.drain(minutes=1)
    assert (await statuses(stage))["completed", None] == 40
    async with world.script(owner) as client:
        assert (await client.get("/jobs")).json()["circuit_breakers"] == []
        assert (await client.post(path)).status_code == 404
    audit = await stage.sql(
        "select 1 from audit_logs where action = 'circuit_breaker.probed' and account_id = $1", stage.account
    )
    assert len(audit) == 1
