"""What must be true after a run: invariants I1 to I10 of the design, in SQL and against the sink."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from scripts._lib.faults.delivery_checks import EFFECTS, compare
from scripts._lib.faults.deployment import DATABASE, Site
from scripts._lib.faults.expected_outcomes import PEOPLE, missed
from scripts._lib.faults.receiver import Sink
from scripts._lib.faults.tenants import Sent, Tenant
from scripts._lib.faults.visit_names import GOAL_CITY

AWAY = 503
TRIGGERS = (Path(__file__).parent / "write_observers.sql").read_text()

# Nothing is due, under way or unread: all that is left are people whom a person has to help, or has paused.
OPEN = """
select (select count(*) from enrollments e where e.status = 'active' and e.paused_at is null and not exists (
          select from effects f where f.account_id = e.account_id and f.enrollment_id = e.id
             and f.seq = e.seq and f.status = 'unknown')) as moving,
       (select count(*) from effects f
          join enrollments e on e.account_id = f.account_id and e.id = f.enrollment_id
         where f.status in ('pending', 'claimed', 'retry') and e.paused_at is null) as sending,
       (select count(*) from events where matched_at is null) as unread
"""
# An open visit that ended as if its time had come, before it had come.
EARLY_WAITS = """
select count(*) from enrollment_executions
 where kind = 'wait' and outcome = 'passed' and finished_at < cast(detail ->> 'until' as timestamptz)
"""
TWICE = """
select count(*) from (select 1 from enrollments group by account_id, workflow_id, contact_id
                       having count(*) > 1) x
"""
ILLEGAL = """
select count(*) from enrollments
 where (status = 'active' and paused_at is null
        and (wait_reason is null or due_at is null and wait_reason not in ('effect', 'hold')))
    or (status <> 'active' and (exit_reason is null or ended_at is null or due_at is not null))
"""
# A hole in the numbers of the visits, or one that ended after the next began.
DISORDER = """
select count(*) from (
  select seq, lag(seq) over w as before, started_at, lag(finished_at) over w as ended
    from enrollment_executions window w as (partition by account_id, enrollment_id order by seq)) x
 where seq <> coalesce(before, 0) + 1 or started_at < ended
"""
# Who comes in enters the first workflow, and whom that has tagged the second one. Some had bought, or did not
# want letters, before anybody could look: a verdict (no entry), or the end before the first step (no tag).
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
# They were there when their worker died, three times; PostgreSQL has counted, not the one who says so.
PARKED = """
select count(*) from enrollments e where e.status = 'failed' and e.error like '%stopped the worker%'
   and (select count(*) from chaos.crashes c where c.id = e.id) >= 3
"""
UNAUDITED = """
select count(*) from contacts c where not exists (
  select from audit_logs a where a.account_id = c.account_id and a.subject_kind = 'contact'
     and a.subject_id = c.id::text and a.action = 'contact.created')
"""


class Judged(Protocol):
    """What the judge needs of a site."""

    sink: Sink

    async def sql(self, statement: str, *values: Any) -> list[Any]: ...

    async def value(self, statement: str, *values: Any) -> Any: ...

    def log(self, what: str) -> Path: ...


class Verdict(msgspec.Struct):
    """Everything that has to be zero, and what may be more. `held` are people whom a person has to help:
    nobody knows whether their message went out, which is said and is no loss; `parked` those who
    were there when their worker was killed three times."""

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

    ZEROS = (
        "lost", "acknowledged_missing", "early", "stale_writes", "repeats_without_key", "repeats_on_hold",
        "repeats_unexplained", "illegal_states", "out_of_order", "version_changes", "foreign",
        "after_the_end", "unaudited", "unexpected_answers", "worker_exits", "too_little",
    )  # fmt: skip

    def say(self, name: str, count: int, what: object) -> None:
        """Count something that should not be, with an example."""
        if count:
            setattr(self, name, getattr(self, name) + count)
            if len(self.why) < 60:
                self.why.append(f"{name}: {what}")

    @property
    def holds(self) -> bool:
        return all(getattr(self, name) == 0 for name in self.ZEROS)


async def install(site: Site) -> None:
    """The triggers by which PostgreSQL itself sees who writes what."""
    await asyncio.to_thread(site.postgres.psql, TRIGGERS, DATABASE)


async def settled(site: Judged) -> bool:
    row = (await site.sql(OPEN))[0]
    return not (row["moving"] or row["sending"] or row["unread"])


async def judge(site: Judged, tenants: list[Tenant]) -> Verdict:
    """Compare what was acknowledged, what the database says and what the sink has seen."""
    verdict = Verdict()
    effects = await site.sql(EFFECTS)
    people = await site.sql(PEOPLE)
    asked = {one.id: one for tenant in tenants for one in tenant.sent if one.id}
    await _acknowledged(site, tenants, verdict)
    await _states(site, verdict)
    compare(site.sink.taken, effects, tenants, verdict.say)
    for sentence in missed(people, effects, asked):
        verdict.say("lost", 1, sentence)
    _lateness(effects, verdict)
    verdict.enrollments, verdict.deliveries = len(people), len(site.sink.taken)
    verdict.repeats = len(site.sink.taken) - len({one.visit for one in site.sink.taken})
    verdict.held = sum(row["status"] == "unknown" for row in effects)
    text = site.log("worker").read_text(errors="replace") if site.log("worker").exists() else ""
    verdict.refused_stale = text.count('"effect.stale"')
    return verdict


async def _acknowledged(site: Judged, tenants: list[Tenant], verdict: Verdict) -> None:
    """I9: what got a 2xx is there; and whoever is there has entered."""
    rows = await site.sql("""
        select c.id::text, c.account_id::text as account, c.city, c.email_consent,
               coalesce((select array_agg(e.id::text) from enrollments e where e.account_id = c.account_id
                  and e.contact_id = c.id and e.paused_at is not null), '{}') as paused from contacts c""")
    there = {(row["account"], row["id"]): row for row in rows}
    for tenant in tenants:
        for one in tenant.sent:
            verdict.acknowledged += bool(one.id)
            for what in _gone(one, there.get((one.account, one.id))) if one.id else ():
                verdict.say("acknowledged_missing", 1, f"{what} {one}")
            wrong = [status for status in (one.status, *one.later) if status >= 500 and status != AWAY]
            verdict.say("unexpected_answers", len(wrong), f"{wrong} {one}")
    for row in await site.sql(NOT_ENTERED):
        verdict.say("lost", 1, f"contact {row['id']} did not enter and nothing says why")
    wanted = {one.asked_to_pause for tenant in tenants for one in tenant.sent}
    paused = [name for row in rows for name in row["paused"]]
    verdict.say("illegal_states", sum(name not in wanted for name in paused), "paused by nobody")


def _gone(one: Sent, row: Any) -> Sequence[str]:
    """Which of the things that were acknowledged are not there."""
    if row is None:
        return ["contact"]
    pairs = (
        ("purchase", one.bought, row["city"] == GOAL_CITY),
        ("unsubscription", one.unsubscribed, row["email_consent"] == "denied"),
        ("pause", one.paused, one.paused and one.paused[0] in row["paused"]),
    )
    return [what for what, acknowledged, is_so in pairs if acknowledged and not is_so]


async def _states(site: Judged, verdict: Verdict) -> None:
    row = (await site.sql(OPEN))[0]
    for name in ("moving", "sending", "unread"):
        verdict.say("lost", row[name], f"{row[name]} still {name}")
    for name, query in (
        ("illegal_states", ILLEGAL), ("out_of_order", DISORDER), ("early", EARLY_WAITS), ("lost", TWICE),
        ("unaudited", UNAUDITED),
    ):  # fmt: skip
        verdict.say(name, await site.value(query), query.strip().splitlines()[0])
    for note in await site.sql("select what, id, said from chaos.notes order by at"):
        known = {"early": "early", "version_changed": "version_changes"}
        verdict.say(known.get(note["what"], "stale_writes"), 1, f"{note['what']} {note['said']}")
    # Whoever was there at three crashes is parked for a person, who is told so: held, not lost.
    verdict.parked = await site.value(PARKED)
    failed = await site.value("select count(*) from enrollments where status = 'failed'")
    verdict.say(
        "lost", failed - verdict.parked, "failed although the sink refuses nothing and nobody crashed it"
    )


def _lateness(effects: list[Any], verdict: Verdict) -> None:
    sent = [
        ((row["sent_at"] - row["created_at"]).total_seconds(), row["attempts"], row["kind"])
        for row in effects
        if row["sent_at"] is not None
    ]
    late = sorted(seconds for seconds, _, _ in sent)
    verdict.slowest = [
        f"{seconds:.1f} s, {tries} tries, {kind}" for seconds, tries, kind in sorted(sent)[-5:]
    ]
    if late:
        verdict.late_p50 = round(late[len(late) // 2], 3)
        verdict.late_p99 = round(late[int(len(late) * 0.99)], 3)
