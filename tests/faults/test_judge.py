"""The judge of scripts/faults can see: each thing that must be zero rises when just that is wrong."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from scripts.chaos import run
from scripts.chaos.floors import too_little
from scripts.chaos.oracle import TRIGGERS, Verdict, judge
from scripts.chaos.plan import make_plan
from scripts.chaos.sink import letter
from scripts.local.postgres import Postgres
from tests.faults.clean_run import ACCOUNT, EMAIL, FOLLOWER, JOURNEY, Honest, fill
from tests.faults.servers import migrate

DATABASE = "judged"
LONG = 1800.0  # seconds: before anything was begun, after everybody had entered


@pytest.fixture(scope="module")
def judged(postgres: Postgres) -> str:
    """A database with the honest run, and the triggers of the harness."""
    migrate(postgres, DATABASE)
    url = postgres.superuser_url(DATABASE)

    async def make() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(TRIGGERS)
        await connection.close()
        await fill(url)

    asyncio.run(make())
    return url


@pytest.fixture
async def honest(judged: str, tmp_path: Path) -> AsyncIterator[Honest]:
    connection = await asyncpg.connect(judged)
    around = connection.transaction()
    await around.start()
    yield Honest.create(connection, tmp_path)
    await around.rollback()
    await connection.close()


def changed(step: str, **values: Any) -> Callable[[Honest], None]:
    def change(honest: Honest) -> None:
        at = honest.delivery(step)
        honest.sink.taken[at] = replace(honest.sink.taken[at], **values)

    return change


def again(step: str, **values: Any) -> Callable[[Honest], None]:
    def repeat(honest: Honest) -> None:
        honest.sink.taken.append(replace(honest.sink.taken[honest.delivery(step)], **values))

    return repeat


def never(step: str) -> Callable[[Honest], None]:
    def leave_out(honest: Honest) -> None:
        honest.sink.taken.pop(honest.delivery(step))

    return leave_out


def change_sent(**values: Any) -> Callable[[Honest], None]:
    def change(honest: Honest) -> None:
        honest.tenants[0].sent[0] = replace(honest.sent_email, **values)

    return change


def nothing(_: Honest) -> None:
    """The rows are what is wrong."""


UNSENT = "update effects set status = '{0}', begun_at = null, sent_at = null where step_key = '{1}'"
WRONG: dict[str, tuple[str, str, Callable[[Honest], None]]] = {
    "a letter is called off and nobody wanted that": (
        "lost", UNSENT.format("cancelled", "note"), never("note")),
    "a hook was given up": ("lost", UNSENT.format("failed_permanent", "early"), never("early")),
    "a step has no row": ("lost", "delete from effects where step_key = 'welcome'", never("welcome")),
    "what is called sent never arrived": ("lost", "", never("report")),
    "what arrived has no row": ("lost", "", again("note", visit="c1@a0.example/other")),
    "the tag is gone": ("lost", "delete from contact_tags", nothing),
    "the field is not set": ("lost", "update contacts set company = null", nothing),
    "the field is set in the other lane": ("lost", "update contacts set state = 'NY'", nothing),
    "a goal that was not met": (
        "lost", "update enrollments set goal_key = 'g1' where id = '{JOURNEY}'", nothing),
    "a goal that was met and not seen": (
        "lost", "update contacts set city = 'Goal'", change_sent(bought=time.time() - LONG)),
    "somebody left": ("lost", "update enrollments set status = 'exited' where id = '{FOLLOWER}'", nothing),
    "nobody entered": (
        "lost", "delete from effects; delete from enrollments", lambda honest: honest.sink.taken.clear()),
    "somebody had bought who never did": (
        "lost", ("delete from effects; delete from enrollments; "
        "insert into trigger_decisions (account_id, event_id, workflow_id, version, contact_id, verdict, "
        "decided_at) select c.account_id, c.id, w.id, 1, c.id, 'goal_already_met', now() "
        "from contacts c, workflows w"), lambda honest: honest.sink.taken.clear()),
    "parked after a crash that nobody saw": (
        "lost", ("update enrollments set status = 'failed', exit_reason = 'failed_permanent', "
        "error = 'This step stopped the worker 3 times.'"), nothing),
    "somebody still moves": (
        "lost", "update enrollments set status = 'active', wait_reason = 'effect' where id = '{FOLLOWER}'",
        nothing),
    "an acknowledged contact is not there": ("acknowledged_missing", "", change_sent(id=ACCOUNT)),
    "an acknowledged purchase is not there": (
        "acknowledged_missing", "", change_sent(bought=time.time() + 60)),
    "an acknowledged unsubscription is not there": (
        "acknowledged_missing", "", change_sent(unsubscribed=time.time() + 60)),
    "a letter came before its time": (
        "early", "", changed("welcome", at=time.time() - 7200)),
    "a wait ended before its time": (
        "early", "update enrollment_executions set detail = jsonb_build_object('until', now())", nothing),
    "a hook went out without its key": ("repeats_without_key", "", changed("report", key="")),
    "a hook went out with another key": ("repeats_without_key", "", changed("report", key="key/other")),
    "a letter went out without its key": ("repeats_without_key", "", changed("note", key="")),
    "a letter has another id": ("repeats_without_key", "", changed("note", message_id="<other@sink>")),
    "the ledger has no key": ("repeats_without_key", "update effects set idempotency_key = ''", nothing),
    "a held letter came twice": ("repeats_on_hold", "", again("welcome")),
    "a hook came twice and nobody was in doubt": ("repeats_unexplained", "", again("report")),
    "a doubt without a reason": (
        "repeats_unexplained", "update effects set status = 'unknown' where step_key = 'report'", nothing),
    "somebody waits for nothing": (
        "illegal_states", "update enrollments set status = 'active', wait_reason = null", nothing),
    "somebody is paused and nobody asked": (
        "illegal_states", "update enrollments set paused_at = now()", nothing),
    "a visit is missing": ("out_of_order", "delete from enrollment_executions where seq = 2", nothing),
    "a letter of another version": ("version_changes", "", changed("welcome", subject="welcome 2")),
    "a letter of another account": ("foreign", "", changed("welcome", account=FOLLOWER)),
    "a call after the end": (
        "after_the_end", "update enrollments set ended_at = now() - interval '30 minutes'", nothing),
    "a letter after the unsubscription": (
        "after_the_end", "update contacts set email_consent = 'denied'",
        change_sent(unsubscribed=time.time() - LONG)),
    "a call after the pause": (
        "after_the_end", "update enrollments set paused_at = now() where id = '{JOURNEY}'",
        change_sent(asked_to_pause=JOURNEY, paused=(JOURNEY, time.time() - LONG))),
    "a contact without its audit row": ("unaudited", "delete from audit_logs", nothing),
    "an answer that says that we are broken": ("unexpected_answers", "", change_sent(later=[500])),
}  # fmt: skip
# What PostgreSQL sees by itself when it is written.
WRITTEN: dict[str, tuple[str, str]] = {
    "an outcome of somebody else": (
        "stale_writes", ("{CLAIM} set application_name = 'other'; "
        "update effects set status = 'sent' where step_key = 'early'")),
    "the fence goes back": ("stale_writes", "update effects set fence = 0 where step_key = 'early'"),
    "what was sent is written again": (
        "stale_writes", "update effects set sent_at = now() where step_key = 'early'"),
    "what was sent is claimed again": ("stale_writes", "{CLAIM}"),
    "claimed before its time": (
        "early", "update effects set status = 'retry', due_at = now() + interval '1 hour'; {CLAIM}"),
    "the version is another": (
        "version_changes", "update enrollments set version = 2 where id = '{FOLLOWER}'"),
}  # fmt: skip


async def test_a_clean_run_has_no_findings(honest: Honest) -> None:
    verdict = await judge(honest, honest.tenants)
    assert verdict.why == []
    assert verdict.holds
    assert (verdict.acknowledged, verdict.enrollments, verdict.deliveries) == (1, 2, 4)


@pytest.mark.parametrize("what", WRONG)
async def test_wrong_outcomes_are_counted(honest: Honest, what: str) -> None:
    name, script, change = WRONG[what]
    if script:
        await honest.do(script)
    change(honest)
    verdict = await judge(honest, honest.tenants)
    assert getattr(verdict, name) > 0, verdict
    assert not verdict.holds


@pytest.mark.parametrize("what", WRITTEN)
async def test_wrong_rows_are_detected(honest: Honest, what: str) -> None:
    name, script = WRITTEN[what]
    await honest.do(script, with_triggers=True)
    assert getattr(await judge(honest, honest.tenants), name) > 0


async def test_a_repeat_is_explained_by_a_worker_that_died(honest: Honest) -> None:
    """Its call had begun, somebody else took it over, and it went out with the same key."""
    await honest.do(
        "update effects set status = 'pending' where step_key = 'report';"  # a row that was not sent yet
    )
    await honest.do(
        "update effects set status = 'claimed', fence = 2, begun_at = null, lease_until = now() "
        "where step_key = 'report';"
        "update effects set begun_at = clock_timestamp() where step_key = 'report';"
        "update effects set fence = 3, lease_until = now(), begun_at = null where step_key = 'report';",
        with_triggers=True,
    )
    assert await honest.value("select count(*) from chaos.doubts") == 1
    await honest.do("update effects set status = 'sent', begun_at = sent_at where step_key = 'report'")
    again("report")(honest)
    verdict = await judge(honest, honest.tenants)
    assert (verdict.repeats, verdict.repeats_unexplained, verdict.repeats_without_key) == (1, 0, 0)


async def test_a_contact_parked_after_three_crashes_is_not_lost(honest: Honest) -> None:
    await honest.do(
        "update enrollments set status = 'failed', exit_reason = 'failed_permanent', "
        "error = 'This step stopped the worker 3 times.'"
    )
    crash = (
        "insert into batches (account_id, id, ids, crashes, begun_at) select account_id, gen_random_uuid(), "
    )
    for _ in range(3):
        await honest.do(crash + "array[id], 1, now() from enrollments", with_triggers=True)
    verdict = await judge(honest, honest.tenants)
    assert (verdict.lost, verdict.parked) == (0, 2)


async def test_legal_outcomes_have_no_findings(honest: Honest) -> None:
    """A letter that an unsubscribed person did not get; a purchase that ends the way."""
    await honest.do(
        "update contacts set email_consent = 'denied';"
        "update effects set status = 'cancelled', error_class = 'unwanted', begun_at = null, sent_at = null "
        "where step_key = 'note'"
    )
    never("note")(honest)
    assert (await judge(honest, honest.tenants)).why == []
    await honest.do(
        "update enrollments set goal_key = 'g1' where id = '{JOURNEY}'; update contacts set city = 'Goal';"
        "update effects set status = 'cancelled', begun_at = null, sent_at = null where step_key = 'report'"
    )
    never("report")(honest)
    assert (await judge(honest, honest.tenants)).why == []


def test_every_zero_is_shown_to_rise() -> None:
    shown = {name for name, _, _ in WRONG.values()} | {name for name, _ in WRITTEN.values()}
    assert shown == set(Verdict.ZEROS) - {"worker_exits", "too_little"}
    assert not Verdict(worker_exits=1).holds
    assert not Verdict(too_little=1).holds


def test_an_empty_run_proves_nothing() -> None:
    plan = make_plan(1, 24, 2.0)
    done = Counter({"kill_worker": 23, "dead_already": 1, "kill_postgres": 1})
    full = Verdict(acknowledged=80, deliveries=200)
    second = [letter(f"To: {EMAIL}\r\nSubject: welcome 2\r\n\r\nHi".encode())]
    assert list(too_little(full, plan, done, 100, second)) == []
    assert list(too_little(full, plan, done, 0, second))
    assert list(too_little(full, plan, done, 100, []))
    assert list(too_little(Verdict(acknowledged=20, deliveries=200), plan, done, 100, second))
    assert list(too_little(Verdict(acknowledged=80, deliveries=70), plan, done, 100, second))
    assert list(too_little(full, plan, done - Counter(kill_worker=1), 100, second))
    assert list(too_little(full, plan, Counter(kill_worker=20, dead_already=4, kill_postgres=1), 100, second))


async def test_a_failing_harness_reports_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """No servers are started: the first thing that a run does fails."""

    class Broken:
        @staticmethod
        def running(**_: Any) -> Any:
            raise OSError("no room")

    monkeypatch.setattr(run, "Site", Broken)
    report = await run.chaos(7, 24)
    assert report["holds"] is False
    assert report["seed"] == 7
    assert "no room" in report["why"][0]
    assert report["worker_kills"] == 0
