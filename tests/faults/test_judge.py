"""The judge of `scripts/faults` counts each kind of error: one at a time is put into a correct run."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from scripts._lib.dev.postgres import Postgres
from scripts._lib.faults import chaos_run
from scripts._lib.faults.fault_plan import make_plan
from scripts._lib.faults.judge import WRITE_OBSERVERS, RunVerdict, judge
from scripts._lib.faults.minimum_counts import missed_minimums
from scripts._lib.faults.receiver import parse_email
from tests.faults.clean_run import ACCOUNT, EMAIL, FOLLOWER, JOURNEY, CleanRun, fill
from tests.faults.servers import migrate

DATABASE = "judged"
HALF_AN_HOUR = 1800.0  # seconds ago: before any call began, after the contact entered


@pytest.fixture(scope="module")
def judged_url(postgres: Postgres) -> str:
    """A database with the correct run, and the triggers of the judge."""
    migrate(postgres, DATABASE)
    url = postgres.superuser_url(DATABASE)

    async def fill_database() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(WRITE_OBSERVERS)
        await connection.close()
        await fill(url)

    asyncio.run(fill_database())
    return url


@pytest.fixture
async def clean_run(judged_url: str, tmp_path: Path) -> AsyncIterator[CleanRun]:
    """The correct run, in a transaction that is rolled back after the test."""
    connection = await asyncpg.connect(judged_url)
    transaction = connection.transaction()
    await transaction.start()
    yield CleanRun.create(connection, tmp_path)
    await transaction.rollback()
    await connection.close()


def changed(step: str, **values: Any) -> Callable[[CleanRun], None]:
    def change(clean_run: CleanRun) -> None:
        at = clean_run.delivery(step)
        clean_run.receiver.deliveries[at] = replace(clean_run.receiver.deliveries[at], **values)

    return change


def repeated(step: str, **values: Any) -> Callable[[CleanRun], None]:
    def repeat(clean_run: CleanRun) -> None:
        clean_run.receiver.deliveries.append(
            replace(clean_run.receiver.deliveries[clean_run.delivery(step)], **values)
        )

    return repeat


def dropped(step: str) -> Callable[[CleanRun], None]:
    def leave_out(clean_run: CleanRun) -> None:
        clean_run.receiver.deliveries.pop(clean_run.delivery(step))

    return leave_out


def change_sent(**values: Any) -> Callable[[CleanRun], None]:
    def change(clean_run: CleanRun) -> None:
        clean_run.accounts[0].offered[0] = replace(clean_run.contact, **values)

    return change


def unchanged(_: CleanRun) -> None:
    """For an error that is in the rows."""


UNSENT = "update effects set status = '{0}', started_at = null, sent_at = null where step_key = '{1}'"
ERRORS: dict[str, tuple[str, str, Callable[[CleanRun], None]]] = {
    "an email is canceled without a reason": (
        "lost", UNSENT.format("cancelled", "note"), dropped("note")),
    "a webhook is given up": ("lost", UNSENT.format("failed_permanent", "early"), dropped("early")),
    "an effect has no row": ("lost", "delete from effects where step_key = 'welcome'", dropped("welcome")),
    "a sent effect never arrived": ("lost", "", dropped("report")),
    "a delivery has no row": ("lost", "", repeated("note", visit="c1@a0.example/other")),
    "a counter does not count what was deleted": ("miscounted", "delete from contact_tags", unchanged),
    "the tag is missing": ("lost", "delete from contact_tags", unchanged),
    "the field is not set": ("lost", "update contacts set company = null", unchanged),
    "the field is set as in the other lane": ("lost", "update contacts set state = 'NY'", unchanged),
    "a goal was recorded and not met": (
        "lost", "update enrollments set goal_key = 'g1' where id = '{JOURNEY}'", unchanged),
    "a goal was met and not recorded": (
        "lost", "update contacts set city = 'Goal'", change_sent(bought=time.time() - HALF_AN_HOUR)),
    "an enrollment exited without a reason": (
        "lost", "update enrollments set status = 'exited' where id = '{FOLLOWER}'", unchanged),
    "no contact entered": (
        "lost", "delete from effects; delete from enrollments", lambda run: run.receiver.deliveries.clear()),
    "a contact was kept out by a goal that it never met": (
        "lost", ("delete from effects; delete from enrollments; "
        "insert into trigger_decisions (account_id, event_id, workflow_id, version, contact_id, verdict, "
        "decided_at) select c.account_id, c.id, w.id, 1, c.id, 'goal_already_met', now() "
        "from contacts c, workflows w"), lambda run: run.receiver.deliveries.clear()),
    "an enrollment was parked without crashes": (
        "lost", ("update enrollments set status = 'failed', exit_reason = 'failed_permanent', "
        "error = 'This step stopped the worker 3 times.'"), unchanged),
    "an enrollment is still active": (
        "lost", "update enrollments set status = 'active', wait_reason = 'effect' where id = '{FOLLOWER}'",
        unchanged),
    "an acknowledged contact is missing": ("acknowledged_missing", "", change_sent(id=ACCOUNT)),
    "an acknowledged purchase is missing": (
        "acknowledged_missing", "", change_sent(bought=time.time() + 60)),
    "an acknowledged unsubscription is missing": (
        "acknowledged_missing", "", change_sent(unsubscribed=time.time() + 60)),
    "an email was delivered before its time": (
        "early", "", changed("welcome", at=time.time() - 7200)),
    "a wait ended before its time": (
        "early", "update enrollment_executions set detail = jsonb_build_object('until', now())", unchanged),
    "a webhook was called without its key": ("repeats_without_key", "", changed("report", key="")),
    "a webhook was called with another key": ("repeats_without_key", "", changed("report", key="key/other")),
    "an email was sent without its key": ("repeats_without_key", "", changed("note", key="")),
    "an email has another Message-ID": (
        "repeats_without_key", "", changed("note", message_id="<other@receiver>")),
    "an effect has no key": ("repeats_without_key", "update effects set idempotency_key = ''", unchanged),
    "an email with the policy hold was delivered twice": ("repeats_on_hold", "", repeated("welcome")),
    "a webhook was called twice without doubt": ("repeats_unexplained", "", repeated("report")),
    "an effect is in doubt without a reason": (
        "repeats_unexplained", "update effects set status = 'unknown' where step_key = 'report'", unchanged),
    "an enrollment waits for nothing": (
        "illegal_states", "update enrollments set status = 'active', wait_reason = null", unchanged),
    "an enrollment is paused without a request": (
        "illegal_states", "update enrollments set paused_at = now()", unchanged),
    "a visit is missing": ("out_of_order", "delete from enrollment_executions where seq = 2", unchanged),
    "an email of another version": ("version_changes", "", changed("welcome", subject="welcome 2")),
    "an email of another account": ("foreign", "", changed("welcome", account=FOLLOWER)),
    "a call after the end": (
        "after_the_end", "update enrollments set ended_at = now() - interval '30 minutes'", unchanged),
    "an email after the unsubscription": (
        "after_the_end", "update contacts set email_consent = 'denied'",
        change_sent(unsubscribed=time.time() - HALF_AN_HOUR)),
    "a call after the pause": (
        "after_the_end", "update enrollments set paused_at = now() where id = '{JOURNEY}'",
        change_sent(pause_requested=JOURNEY, paused=(JOURNEY, time.time() - HALF_AN_HOUR))),
    "a contact without its audit row": ("unaudited", "delete from audit_logs", unchanged),
    "a 500 answer": ("unexpected_answers", "", change_sent(later_statuses=[500])),
}  # fmt: skip
# Errors that the judge's triggers in PostgreSQL detect when they are written.
WRITE_ERRORS: dict[str, tuple[str, str]] = {
    "an outcome of another worker": (
        "stale_writes", ("{CLAIM} set application_name = 'other'; "
        "update effects set status = 'sent' where step_key = 'early'")),
    "the fence goes back": ("stale_writes", "update effects set fence = 0 where step_key = 'early'"),
    "a sent effect is written again": (
        "stale_writes", "update effects set sent_at = now() where step_key = 'early'"),
    "a sent effect is claimed again": ("stale_writes", "{CLAIM}"),
    "an effect is claimed before its time": (
        "early", "update effects set status = 'retry', due_at = now() + interval '1 hour'; {CLAIM}"),
    "an enrollment changes its version": (
        "version_changes", "update enrollments set version = 2 where id = '{FOLLOWER}'"),
}  # fmt: skip


async def test_a_clean_run_has_no_findings(clean_run: CleanRun) -> None:
    verdict = await judge(clean_run, clean_run.accounts)
    assert verdict.why == []
    assert verdict.holds
    assert (verdict.acknowledged, verdict.enrollments, verdict.deliveries) == (1, 2, 4)


@pytest.mark.parametrize("error", ERRORS)
async def test_wrong_outcomes_are_counted(clean_run: CleanRun, error: str) -> None:
    name, script, change = ERRORS[error]
    if script:
        await clean_run.do(script)
    change(clean_run)
    verdict = await judge(clean_run, clean_run.accounts)
    assert getattr(verdict, name) > 0, verdict
    assert not verdict.holds


@pytest.mark.parametrize("error", WRITE_ERRORS)
async def test_wrong_writes_are_counted(clean_run: CleanRun, error: str) -> None:
    name, script = WRITE_ERRORS[error]
    await clean_run.do(script, with_triggers=True)
    assert getattr(await judge(clean_run, clean_run.accounts), name) > 0


async def test_a_repeat_is_explained_by_a_worker_that_died(clean_run: CleanRun) -> None:
    """Its call had begun, another worker took it over, and it went out with the same key."""
    await clean_run.do(
        "update effects set status = 'pending' where step_key = 'report';"  # a row that was not sent yet
    )
    await clean_run.do(
        "update effects set status = 'claimed', fence = 2, started_at = null, lease_until = now() "
        "where step_key = 'report';"
        "update effects set started_at = clock_timestamp() where step_key = 'report';"
        "update effects set fence = 3, lease_until = now(), started_at = null where step_key = 'report';",
        with_triggers=True,
    )
    assert await clean_run.value("select count(*) from chaos.doubts") == 1
    await clean_run.do("update effects set status = 'sent', started_at = sent_at where step_key = 'report'")
    repeated("report")(clean_run)
    verdict = await judge(clean_run, clean_run.accounts)
    assert (verdict.repeats, verdict.repeats_unexplained, verdict.repeats_without_key) == (1, 0, 0)


async def test_a_contact_parked_after_three_crashes_is_not_lost(clean_run: CleanRun) -> None:
    await clean_run.do(
        "update enrollments set status = 'failed', exit_reason = 'failed_permanent', "
        "error = 'This step stopped the worker 3 times.'"
    )
    columns = "inflight_batches (account_id, id, ids, crashes, started_at)"
    crash = f"insert into {columns} select account_id, gen_random_uuid(), "
    for _ in range(3):
        await clean_run.do(crash + "array[id], 1, now() from enrollments", with_triggers=True)
    verdict = await judge(clean_run, clean_run.accounts)
    assert (verdict.lost, verdict.parked) == (0, 2)


async def test_legal_outcomes_have_no_findings(clean_run: CleanRun) -> None:
    """An email that an unsubscribed contact did not get; a purchase that ends the enrollment."""
    await clean_run.do(
        "update contacts set email_consent = 'denied';"
        "update effects set status = 'cancelled', error_class = 'unwanted', started_at = null, "
        "sent_at = null where step_key = 'note'"
    )
    dropped("note")(clean_run)
    assert (await judge(clean_run, clean_run.accounts)).why == []
    await clean_run.do(
        "update enrollments set goal_key = 'g1' where id = '{JOURNEY}'; update contacts set city = 'Goal';"
        "update effects set status = 'cancelled', started_at = null, sent_at = null where step_key = 'report'"
    )
    dropped("report")(clean_run)
    assert (await judge(clean_run, clean_run.accounts)).why == []


def test_every_count_has_an_error() -> None:
    counted = {name for name, _, _ in ERRORS.values()} | {name for name, _ in WRITE_ERRORS.values()}
    assert counted == set(RunVerdict.MUST_BE_ZERO) - {"worker_exits", "too_little"}
    assert not RunVerdict(worker_exits=1).holds
    assert not RunVerdict(too_little=1).holds


def test_an_empty_run_proves_nothing() -> None:
    plan = make_plan(1, 24, 2.0)
    done = Counter({"kill_worker": 23, "dead_already": 1, "kill_postgres": 1})
    full = RunVerdict(acknowledged=80, deliveries=200)
    second = [parse_email(f"To: {EMAIL}\r\nSubject: welcome 2\r\n\r\nHi".encode())]
    assert list(missed_minimums(full, plan, done, 100, second)) == []
    assert list(missed_minimums(full, plan, done, 0, second))
    assert list(missed_minimums(full, plan, done, 100, []))
    assert list(missed_minimums(RunVerdict(acknowledged=20, deliveries=200), plan, done, 100, second))
    assert list(missed_minimums(RunVerdict(acknowledged=80, deliveries=70), plan, done, 100, second))
    assert list(missed_minimums(full, plan, done - Counter(kill_worker=1), 100, second))
    assert list(
        missed_minimums(full, plan, Counter(kill_worker=20, dead_already=4, kill_postgres=1), 100, second)
    )


async def test_a_failing_harness_reports_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """No servers are started: the first thing that a run does fails."""

    class Broken:
        @staticmethod
        def running(**_: Any) -> Any:
            raise OSError("no room")

    monkeypatch.setattr(chaos_run, "Deployment", Broken)
    report = await chaos_run.run_chaos(7, 24)
    assert report["holds"] is False
    assert report["seed"] == 7
    assert "no room" in report["why"][0]
    assert report["worker_kills"] == 0
