"""The judge: what must be true after a run, in SQL and against the receiver.

`judge` is the entry point. `install_observers` comes before the run: triggers by which PostgreSQL itself
records who writes what. `is_settled` says when a run is over.
"""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import msgspec

from scripts._lib.faults.counter_check import WRONG_COUNTS
from scripts._lib.faults.delivery_checks import EFFECTS, check_deliveries
from scripts._lib.faults.deployment import DATABASE, Deployment
from scripts._lib.faults.expected_outcomes import ENROLLMENTS, missing_outcomes
from scripts._lib.faults.load_accounts import LoadAccount, OfferedContact
from scripts._lib.faults.receiver import Receiver
from scripts._lib.faults.visit_names import GOAL_CITY

SERVICE_UNAVAILABLE = 503
WRITE_OBSERVERS = (Path(__file__).parent / "write_observers.sql").read_text()

# What is due, running or unmatched. Enrollments that are held for a member or paused don't count.
UNFINISHED = """
select (select count(*) from enrollments e where e.status = 'active' and e.paused_at is null and not exists (
          select from effects f where f.account_id = e.account_id and f.enrollment_id = e.id
             and f.seq = e.seq and f.status = 'unknown')) as moving,
       (select count(*) from effects f
          join enrollments e on e.account_id = f.account_id and e.id = f.enrollment_id
         where f.status in ('pending', 'claimed', 'retry') and e.paused_at is null) as sending,
       (select count(*) from events where matched_at is null) as unread
"""
# Waits that ended before their time.
EARLY_WAITS = """
select count(*) from enrollment_executions
 where kind = 'wait' and outcome = 'passed' and finished_at < cast(detail ->> 'until' as timestamptz)
"""
DOUBLE_ENROLLMENTS = """
select count(*) from (select 1 from enrollments group by account_id, workflow_id, contact_id
                       having count(*) > 1) x
"""
ILLEGAL_STATES = """
select count(*) from enrollments
 where (status = 'active' and paused_at is null
        and (wait_reason is null or due_at is null and wait_reason not in ('effect', 'hold')))
    or (status <> 'active' and (exit_reason is null or ended_at is null or due_at is not null))
"""
# A gap in the numbers of the visits, or a visit that ended after the next began.
OUT_OF_ORDER = """
select count(*) from (
  select seq, lag(seq) over w as before, started_at, lag(finished_at) over w as ended
    from enrollment_executions window w as (partition by account_id, enrollment_id order by seq)) x
 where seq <> coalesce(before, 0) + 1 or started_at < ended
"""
# Each contact enters the first workflow, and once that has tagged it, the second one. Some had bought or
# unsubscribed before they were matched: a decision says so, or the enrollment ended before the first step (no
# tag).
NOT_ENTERED = """
select c.id from contacts c
 cross join lateral (select count(*) as n from enrollments e
                      where e.account_id = c.account_id and e.contact_id = c.id) entered
 where (entered.n = 0 or entered.n < 2 and exists (
         select from contact_tags t where t.account_id = c.account_id and t.contact_id = c.id))
   and not exists (
         select from trigger_decisions d where d.account_id = c.account_id and d.contact_id = c.id
            and (d.verdict = 'goal_already_met' and c.city = 'Goal'
                 or d.verdict = 'suppressed' and c.email_consent = 'denied'))
"""
# In the batch at three crashes of its worker, as PostgreSQL counted them.
PARKED = """
select count(*) from enrollments e where e.status = 'failed' and e.error like '%stopped the worker%'
   and (select count(*) from chaos.crashes c where c.id = e.id) >= 3
"""
UNAUDITED = """
select count(*) from contacts c where not exists (
  select from audit_logs a where a.account_id = c.account_id and a.subject_kind = 'contact'
     and a.subject_id = c.id::text and a.action = 'contact.created')
"""


class JudgedRun(Protocol):
    """What the judge needs of a deployment."""

    receiver: Receiver

    async def sql(self, statement: str, *values: Any) -> list[Any]: ...

    async def value(self, statement: str, *values: Any) -> Any: ...

    def log(self, name: str) -> Path: ...


class RunVerdict(msgspec.Struct):
    """The counts of a run; those in `MUST_BE_ZERO` decide whether it holds.

    `held` are effects in doubt that a member has to decide. `parked` are enrollments that were in the batch
    at three crashes of its worker. `late_p50` and `late_p99` are in seconds.
    """

    lost: int = 0
    acknowledged_missing: int = 0
    early: int = 0
    stale_writes: int = 0
    repeats_without_key: int = 0
    repeats_on_hold: int = 0
    repeats_unexplained: int = 0
    illegal_states: int = 0
    out_of_order: int = 0
    version_changes: int = 0
    foreign: int = 0
    after_the_end: int = 0
    unaudited: int = 0
    miscounted: int = 0
    unexpected_answers: int = 0
    worker_exits: int = 0
    too_little: int = 0
    repeats: int = 0
    acknowledged: int = 0
    enrollments: int = 0
    deliveries: int = 0
    held: int = 0
    refused_stale: int = 0
    late_p50: float = 0.0
    late_p99: float = 0.0
    parked: int = 0
    slowest: list[str] = []
    why: list[str] = []

    MUST_BE_ZERO = (
        "lost", "acknowledged_missing", "early", "stale_writes", "repeats_without_key", "repeats_on_hold",
        "repeats_unexplained", "illegal_states", "out_of_order", "version_changes", "foreign",
        "after_the_end", "unaudited", "miscounted", "unexpected_answers", "worker_exits", "too_little",
    )  # fmt: skip

    def add(self, name: str, count: int, example: object) -> None:
        """Add to one of the counts, with an example for `why`."""
        if count:
            setattr(self, name, getattr(self, name) + count)
            if len(self.why) < 60:
                self.why.append(f"{name}: {example}")

    @property
    def holds(self) -> bool:
        return all(getattr(self, name) == 0 for name in self.MUST_BE_ZERO)


async def install_observers(deployment: Deployment) -> None:
    """Install the triggers by which PostgreSQL records who writes what."""
    await asyncio.to_thread(deployment.postgres.psql, WRITE_OBSERVERS, DATABASE)


async def is_settled(run: JudgedRun) -> bool:
    """Whether nothing is due, running or unmatched."""
    row = (await run.sql(UNFINISHED))[0]
    return not (row["moving"] or row["sending"] or row["unread"])


async def judge(run: JudgedRun, accounts: list[LoadAccount]) -> RunVerdict:
    """Compare what was acknowledged, what the database says and what was received."""
    verdict = RunVerdict()
    effects = await run.sql(EFFECTS)
    enrollments = await run.sql(ENROLLMENTS)
    deliveries = run.receiver.deliveries
    offered = {contact.id: contact for account in accounts for contact in account.offered if contact.id}
    await _check_acknowledged(run, accounts, verdict)
    await _check_states(run, verdict)
    for account in accounts:
        wrong = await run.sql(WRONG_COUNTS, UUID(account.id))
        verdict.add("miscounted", len(wrong), wrong[:1])
    check_deliveries(deliveries, effects, accounts, verdict.add)
    for sentence in missing_outcomes(enrollments, effects, offered):
        verdict.add("lost", 1, sentence)
    _measure_lateness(effects, verdict)
    verdict.enrollments, verdict.deliveries = len(enrollments), len(deliveries)
    verdict.repeats = len(deliveries) - len({delivery.visit for delivery in deliveries})
    verdict.held = sum(effect["status"] == "unknown" for effect in effects)
    log = run.log("worker")
    text = log.read_text(errors="replace") if log.exists() else ""
    verdict.refused_stale = text.count('"effect.stale"')
    return verdict


async def _check_acknowledged(run: JudgedRun, accounts: list[LoadAccount], verdict: RunVerdict) -> None:
    """What was answered with 2xx is there, each contact has entered, and only requested pauses exist."""
    rows = await run.sql("""
        select c.id::text, c.account_id::text as account, c.city, c.email_consent,
               coalesce((select array_agg(e.id::text) from enrollments e where e.account_id = c.account_id
                  and e.contact_id = c.id and e.paused_at is not null), '{}') as paused from contacts c""")
    stored = {(row["account"], row["id"]): row for row in rows}
    offered = [contact for account in accounts for contact in account.offered]
    for contact in offered:
        verdict.acknowledged += bool(contact.id)
        if contact.id:
            for part in _missing_parts(contact, stored.get((contact.account, contact.id))):
                verdict.add("acknowledged_missing", 1, f"{part} {contact}")
        statuses = (contact.status, *contact.later_statuses)
        errors = [status for status in statuses if status >= 500 and status != SERVICE_UNAVAILABLE]
        verdict.add("unexpected_answers", len(errors), f"{errors} {contact}")
    for row in await run.sql(NOT_ENTERED):
        verdict.add("lost", 1, f"contact {row['id']} did not enter and no decision says why")
    requested = {contact.pause_requested for contact in offered}
    paused = [enrollment for row in rows for enrollment in row["paused"]]
    not_requested = sum(enrollment not in requested for enrollment in paused)
    verdict.add("illegal_states", not_requested, "paused without a request")


def _missing_parts(contact: OfferedContact, row: Any) -> Iterator[str]:
    """Which of the things that were acknowledged are not in the database."""
    if row is None:
        yield "contact"
        return
    if contact.bought and row["city"] != GOAL_CITY:
        yield "purchase"
    if contact.unsubscribed and row["email_consent"] != "denied":
        yield "unsubscription"
    if contact.paused and contact.paused[0] not in row["paused"]:
        yield "pause"


async def _check_states(run: JudgedRun, verdict: RunVerdict) -> None:
    """Check the rows of the engine, and what the observers noted."""
    row = (await run.sql(UNFINISHED))[0]
    for state in ("moving", "sending", "unread"):
        verdict.add("lost", row[state], f"{row[state]} still {state}")
    for name, query in (
        ("illegal_states", ILLEGAL_STATES),
        ("out_of_order", OUT_OF_ORDER),
        ("early", EARLY_WAITS),
        ("lost", DOUBLE_ENROLLMENTS),
        ("unaudited", UNAUDITED),
    ):
        verdict.add(name, await run.value(query), query.strip().splitlines()[0])
    counts_of_notes = {"early": "early", "version_changed": "version_changes"}
    for note in await run.sql("select what, id, said from chaos.notes order by at"):
        name = counts_of_notes.get(note["what"], "stale_writes")
        verdict.add(name, 1, f"{note['what']} {note['said']}")
    # After three crashes an item is parked for a member, who is told so: held, not lost.
    verdict.parked = await run.value(PARKED)
    failed = await run.value("select count(*) from enrollments where status = 'failed'")
    verdict.add(
        "lost", failed - verdict.parked, "failed although the receiver refuses nothing and no worker crashed"
    )


def _measure_lateness(effects: Sequence[Any], verdict: RunVerdict) -> None:
    """Seconds from the creation of each effect to its sending."""
    sent = [
        ((effect["sent_at"] - effect["created_at"]).total_seconds(), effect["attempts"], effect["kind"])
        for effect in effects
        if effect["sent_at"] is not None
    ]
    late = sorted(seconds for seconds, _, _ in sent)
    verdict.slowest = [
        f"{seconds:.1f} s, {attempts} attempts, {kind}" for seconds, attempts, kind in sorted(sent)[-5:]
    ]
    if late:
        verdict.late_p50 = round(late[len(late) // 2], 3)
        verdict.late_p99 = round(late[int(len(late) * 0.99)], 3)
