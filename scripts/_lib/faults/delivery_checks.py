"""What the sink has seen, beside what the ledger says of it."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from scripts._lib.faults.receiver import Delivery
from scripts._lib.faults.tenants import EARLY_WAIT, REPORT_WAIT, WELCOME_WAIT, Tenant
from scripts._lib.faults.visit_names import ADDRESS, HOLD, subject_of, visit

WAITS = {"welcome": WELCOME_WAIT, "report": WELCOME_WAIT + REPORT_WAIT, "early": 0, "note": EARLY_WAIT}
Say = Callable[[str, int, object], None]

EFFECTS = """
select f.id, f.kind, f.status, f.idempotency_key, f.account_id::text as account, f.attempts, f.step_key,
       f.enrollment_id, f.contact_id::text as contact, f.error_class,
       case when f.kind = 'email' then split_part(f.payload ->> 'subject', ' ', 1)
            else split_part(f.payload ->> 'url', '/', 5) end as step,
       c.email, f.created_at, f.begun_at, f.sent_at, e.entered_at, e.ended_at, e.status as enrollment,
       e.wait_reason, e.goal_key, e.paused_at, e.version, f.error,
       (select count(*) from chaos.claims k where k.id = f.id and k.begun) as begun,
       (select count(*) from chaos.doubts d where d.id = f.id) as doubts
  from effects f join contacts c on c.account_id = f.account_id and c.id = f.contact_id
  join enrollments e on e.account_id = f.account_id and e.id = f.enrollment_id
"""


def compare(taken: Sequence[Delivery], effects: Sequence[Any], tenants: Sequence[Tenant], say: Say) -> None:
    """Says what does not fit, by the name of what is counted."""
    accounts = {str(tenant.number): tenant.id for tenant in tenants}
    asked = {one.id: one for tenant in tenants for one in tenant.sent if one.id}
    seen: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in taken:
        seen[delivery.visit].append(delivery)
    ledger = {visit(row["email"], row["step"]): row for row in effects}
    for name, row in ledger.items():
        if row["status"] == "sent" and name not in seen:
            say("lost", 1, f"{name} is called sent and never arrived")
        say("after_the_end", len(begun_after(row, asked.get(row["contact"]))), name)
        say("repeats_unexplained", unexplained(row, len(seen.get(name, []))), f"{name} {dict(row)}")
    for name, all_of in seen.items():
        found = ADDRESS.search(name)
        if not found or any(one.account != accounts.get(found[2]) for one in all_of):
            say("foreign", 1, f"{name} {all_of}")
        _visit(name, all_of, ledger.get(name), say)


def _visit(name: str, all_of: list[Delivery], row: Any, say: Say) -> None:
    """All deliveries of one visit, beside its row of the ledger."""
    step = name.rpartition("/")[2]
    say("repeats_without_key", len({one.key for one in all_of}) - 1, f"{name} {all_of}")
    if step in HOLD:
        say("repeats_on_hold", len(all_of) - 1, f"{name} {all_of}")
    if row is None or not may_have_arrived(row):
        say("lost", 1, f"{name} arrived and the ledger does not say so: {row}")
        return
    bare = [one for one in all_of if not one.carries(row["idempotency_key"])]
    say("repeats_without_key", len(bare), f"{name} without its key {row['idempotency_key']}: {bare}")
    other = [one for one in all_of if one.subject and one.subject != subject_of(step, row["version"])]
    say("version_changes", len(other), f"{name} of version {row['version']}: {other}")
    if all_of[0].at < earliest(row):
        say("early", 1, f"{name} {all_of[0].at} {dict(row)}")


def begun_after(row: Any, asked: Any) -> list[float]:
    """The moments, if any, after which this call must not have begun, and did: the end of its enrollment, and
    what a person wanted and was told is so. All clocks are this machine's."""
    if row["begun_at"] is None:
        return []
    stops = [row["ended_at"].timestamp()] if row["ended_at"] else []
    if asked is not None:
        stops += [asked.unsubscribed] if asked.unsubscribed and row["kind"] == "email" else []
        stops += [asked.paused[1]] if asked.paused and asked.paused[0] == str(row["enrollment_id"]) else []
    return [stop for stop in stops if row["begun_at"].timestamp() > stop]


def may_have_arrived(row: Any) -> bool:
    """Sent or in doubt; or the doubt is still open because its enrollment was paused meanwhile, or was called
    off by a goal before it was tried again."""
    if row["status"] == "claimed":
        return row["begun_at"] is not None and row["paused_at"] is not None
    if row["status"] in ("retry", "pending"):
        return bool(row["doubts"]) and row["paused_at"] is not None
    if row["status"] == "cancelled":
        return bool(row["doubts"]) and row["goal_key"] is not None
    return row["status"] in ("sent", "unknown")


def unexplained(row: Any, arrived: int) -> int:
    """How many of these deliveries nothing explains: each needs a call that had begun; each but the first,
    and a hold too, one whose outcome nobody could write."""
    held = row["status"] == "unknown"
    return int(max(0, arrived - row["begun"], max(0, arrived - 1) + held - row["doubts"]))


def earliest(row: Any) -> float:
    """When, in seconds since the epoch, this may be sent at the soonest."""
    return float(row["entered_at"].timestamp()) + WAITS[row["step"]]
