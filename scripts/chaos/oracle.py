"""What must be true after a run: invariants I1 to I10 of the design, in SQL and against the sink."""

import asyncio
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec

from scripts.chaos.load import EARLY_WAIT, REPORT_WAIT, WELCOME_WAIT, Tenant
from scripts.chaos.names import ADDRESS, visit
from scripts.chaos.sink import Delivery
from scripts.chaos.site import DATABASE, Site

TRIGGERS = (Path(__file__).parent / "oracle.sql").read_text()
HOLD = ("welcome", "note")  # steps that say: hold when in doubt

# Nothing is due, under way or unread: all that is left are people whom a person has to help.
OPEN = """
select (select count(*) from enrollments e where e.status = 'active' and not exists (
          select from effects f where f.account_id = e.account_id and f.enrollment_id = e.id
             and f.seq = e.seq and f.status = 'unknown')) as moving,
       (select count(*) from effects where status in ('pending', 'claimed', 'retry')) as sending,
       (select count(*) from events where matched_at is null) as unread
"""
EFFECTS = """
select f.id, f.kind, f.status, f.idempotency_key, f.account_id::text as account, f.attempts, f.step_key,
       f.payload ->> 'subject' as subject, f.payload ->> 'url' as url, c.email, f.created_at, f.begun_at,
       f.sent_at, e.entered_at, e.ended_at, e.status as enrollment, e.wait_reason, f.error
  from effects f join contacts c on c.account_id = f.account_id and c.id = f.contact_id
  join enrollments e on e.account_id = f.account_id and e.id = f.enrollment_id
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
 where (status = 'active' and (wait_reason is null
                              or due_at is null and wait_reason not in ('effect', 'hold')))
    or (status <> 'active' and (exit_reason is null or ended_at is null or due_at is not null))
"""
# A hole in the numbers of the visits, or one that ended after the next began.
DISORDER = """
select count(*) from (
  select seq, lag(seq) over w as before, started_at, lag(finished_at) over w as ended
    from enrollment_executions window w as (partition by account_id, enrollment_id order by seq)) x
 where seq <> coalesce(before, 0) + 1 or started_at < ended
"""
# Who comes in enters the first workflow, and whom that has tagged the second one. Some had bought before
# anybody could look, which is a verdict (no entry), or the end before the first step (no tag).
NOT_ENTERED = """
select c.id from contacts c
 cross join lateral (select count(*) as n from enrollments e
                      where e.account_id = c.account_id and e.contact_id = c.id) entered
 where entered.n = 0 and not exists (
         select from trigger_decisions d where d.account_id = c.account_id and d.contact_id = c.id
            and d.verdict = 'goal_already_met')
    or entered.n < 2 and exists (
         select from contact_tags t where t.account_id = c.account_id and t.contact_id = c.id)
"""
PARKED = """
select count(*) from enrollments where status = 'failed' and error like '%stopped the worker%'
"""
UNAUDITED = """
select count(*) from contacts c where not exists (
  select from audit_logs a where a.account_id = c.account_id and a.subject_kind = 'contact'
     and a.subject_id = c.id::text and a.action = 'contact.created')
"""


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
    illegal_states: int = 0
    out_of_order: int = 0
    version_changes: int = 0
    foreign: int = 0
    after_the_end: int = 0
    unaudited: int = 0
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
        "illegal_states", "out_of_order", "version_changes", "foreign", "after_the_end", "unaudited",
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


async def settled(site: Site) -> bool:
    row = (await site.sql(OPEN))[0]
    return not (row["moving"] or row["sending"] or row["unread"])


async def judge(site: Site, tenants: list[Tenant]) -> Verdict:
    """Compare what was acknowledged, what the database says and what the sink has seen."""
    verdict = Verdict()
    effects = await site.sql(EFFECTS)
    await _acknowledged(site, tenants, verdict)
    await _states(site, verdict)
    _deliveries(site.sink.taken, effects, tenants, verdict)
    _lateness(effects, verdict)
    verdict.held = sum(row["status"] == "unknown" for row in effects)
    text = site.log("worker").read_text(errors="replace") if site.log("worker").exists() else ""
    verdict.refused_stale = text.count('"effect.stale"')
    return verdict


async def _acknowledged(site: Site, tenants: list[Tenant], verdict: Verdict) -> None:
    """I9: what got a 2xx is there; and whoever is there has entered, once, and come to an end."""
    rows = await site.sql("select id::text, account_id::text as account, email from contacts")
    there = {(row["account"], row["id"]) for row in rows}
    for tenant in tenants:
        for one in tenant.sent:
            verdict.acknowledged += bool(one.id)
            if one.id and (one.account, one.id) not in there:
                verdict.say("acknowledged_missing", 1, one)
    for row in await site.sql(NOT_ENTERED):
        verdict.say("lost", 1, f"contact {row['id']} did not enter and nothing says why")
    verdict.enrollments = await site.value("select count(*) from enrollments")


async def _states(site: Site, verdict: Verdict) -> None:
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
    verdict.say("lost", failed - verdict.parked, "failed although the sink refuses nothing")


def _deliveries(taken: list[Delivery], effects: list[Any], tenants: list[Tenant], verdict: Verdict) -> None:
    seen: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in taken:
        seen[delivery.visit].append(delivery)
    verdict.deliveries = len(taken)
    accounts = {str(tenant.number): tenant.id for tenant in tenants}
    ledger = {visit(row["email"], step_of(row)): row for row in effects}
    for name, row in ledger.items():
        if row["status"] == "sent" and name not in seen:
            verdict.say("lost", 1, f"{name} is called sent and never arrived")
        if row["begun_at"] and row["ended_at"] and row["begun_at"] > row["ended_at"]:
            verdict.say("after_the_end", 1, name)
    for name, all_of in seen.items():
        step = name.rpartition("/")[2]
        verdict.repeats += len(all_of) - 1
        verdict.say("repeats_without_key", len({one.key for one in all_of}) - 1, f"{name} {all_of}")
        if step in HOLD:
            verdict.say("repeats_on_hold", len(all_of) - 1, f"{name} {all_of}")
        found = ADDRESS.search(name)
        if not found or any(one.account != accounts.get(found[2]) for one in all_of):
            verdict.say("foreign", 1, f"{name} {all_of}")
        known = ledger.get(name)
        if known is None or known["status"] not in ("sent", "unknown"):
            verdict.say("lost", 1, f"{name} arrived and the ledger does not say so: {known}")
        elif all_of[0].at < earliest(known, step):
            verdict.say("early", 1, f"{name} {all_of[0].at} {dict(known)}")


def step_of(row: Any) -> str:
    """The name of the step, as the load has written it into what is sent."""
    return row["subject"] if row["kind"] == "email" else str(row["url"]).split("/")[4]


def earliest(row: Any, step: str) -> float:
    """When, in seconds since the epoch, this may be sent at the soonest."""
    waits = {"welcome": WELCOME_WAIT, "report": WELCOME_WAIT + REPORT_WAIT, "early": 0, "note": EARLY_WAIT}
    return float(row["entered_at"].timestamp()) + waits[step]


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
