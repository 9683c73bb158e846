"""Compares what the receiver recorded with what the ledger (the table `effects`) says.

`check_deliveries` is the entry point.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from scripts._lib.faults.load_accounts import (
    EARLY_WAIT,
    REPORT_WAIT,
    WELCOME_WAIT,
    LoadAccount,
    OfferedContact,
)
from scripts._lib.faults.receiver import ReceivedDelivery
from scripts._lib.faults.visit_names import ADDRESS, HOLDING_STEPS, subject_of, visit_name

SECONDS_BEFORE_SEND = {
    "welcome": WELCOME_WAIT,
    "report": WELCOME_WAIT + REPORT_WAIT,
    "early": 0,
    "note": EARLY_WAIT,
}
Count = Callable[[str, int, object], None]  # the name of a count of the verdict, how many, an example

EFFECTS = """
select f.id, f.kind, f.status, f.idempotency_key, f.account_id::text as account, f.attempts, f.step_key,
       f.enrollment_id, f.contact_id::text as contact, f.error_class,
       case when f.kind = 'email' then split_part(f.payload ->> 'subject', ' ', 1)
            else split_part(f.payload ->> 'url', '/', 5) end as step,
       c.email, f.created_at, f.started_at, f.sent_at, e.entered_at, e.ended_at, e.status as enrollment,
       e.wait_reason, e.goal_key, e.paused_at, e.version, f.error,
       (select count(*) from chaos.claims k where k.id = f.id and k.begun) as begun,
       (select count(*) from chaos.doubts d where d.id = f.id) as doubts
  from effects f join contacts c on c.account_id = f.account_id and c.id = f.contact_id
  join enrollments e on e.account_id = f.account_id and e.id = f.enrollment_id
"""


def check_deliveries(
    deliveries: Sequence[ReceivedDelivery],
    effects: Sequence[Any],
    accounts: Sequence[LoadAccount],
    count: Count,
) -> None:
    """Count what doesn't fit."""
    account_ids = {str(account.number): account.id for account in accounts}
    offered = {contact.id: contact for account in accounts for contact in account.offered if contact.id}
    received: dict[str, list[ReceivedDelivery]] = defaultdict(list)
    for delivery in deliveries:
        received[delivery.visit].append(delivery)
    ledger = {visit_name(effect["email"], effect["step"]): effect for effect in effects}
    for visit, effect in ledger.items():
        if effect["status"] == "sent" and visit not in received:
            count("lost", 1, f"{visit} has the status sent and never arrived")
        count("after_the_end", len(stops_before_call(effect, offered.get(effect["contact"]))), visit)
        unexplained = count_unexplained(effect, len(received.get(visit, [])))
        count("repeats_unexplained", unexplained, f"{visit} {dict(effect)}")
    for visit, of_visit in received.items():
        address = ADDRESS.search(visit)
        if not address or any(delivery.account != account_ids.get(address[2]) for delivery in of_visit):
            count("foreign", 1, f"{visit} {of_visit}")
        _check_visit(visit, of_visit, ledger.get(visit), count)


def _check_visit(visit: str, deliveries: list[ReceivedDelivery], effect: Any, count: Count) -> None:
    """Compare all deliveries of one visit with its row of the ledger."""
    step = visit.rpartition("/")[2]
    keys = {delivery.key for delivery in deliveries}
    count("repeats_without_key", len(keys) - 1, f"{visit} {deliveries}")
    if step in HOLDING_STEPS:
        count("repeats_on_hold", len(deliveries) - 1, f"{visit} {deliveries}")
    if effect is None or not may_have_arrived(effect):
        count("lost", 1, f"{visit} arrived and the ledger doesn't say so: {effect}")
        return
    key = effect["idempotency_key"]
    without_key = [delivery for delivery in deliveries if not delivery.carries(key)]
    count("repeats_without_key", len(without_key), f"{visit} without its key {key}: {without_key}")
    subject = subject_of(step, effect["version"])
    other_version = [delivery for delivery in deliveries if delivery.subject not in ("", subject)]
    count("version_changes", len(other_version), f"{visit} of version {effect['version']}: {other_version}")
    if deliveries[0].at < earliest_send(effect):
        count("early", 1, f"{visit} {deliveries[0].at} {dict(effect)}")


def stops_before_call(effect: Any, contact: OfferedContact | None) -> list[float]:
    """The times before this call began at which something had ruled it out; empty when all is well.

    That is the end of its enrollment, or a pause or unsubscription that was acknowledged. All times are of
    this machine's clock, in seconds since the epoch.
    """
    if effect["started_at"] is None:
        return []
    stops = [effect["ended_at"].timestamp()] if effect["ended_at"] else []
    if contact is not None:
        if contact.unsubscribed and effect["kind"] == "email":
            stops.append(contact.unsubscribed)
        if contact.paused and contact.paused[0] == str(effect["enrollment_id"]):
            stops.append(contact.paused[1])
    return [stop for stop in stops if effect["started_at"].timestamp() > stop]


def may_have_arrived(effect: Any) -> bool:
    """Whether a delivery fits the status: sent, in doubt, or in doubt and then paused or canceled."""
    if effect["status"] == "claimed":
        return effect["started_at"] is not None and effect["paused_at"] is not None
    if effect["status"] in ("retry", "pending"):
        return bool(effect["doubts"]) and effect["paused_at"] is not None
    if effect["status"] == "cancelled":
        return bool(effect["doubts"]) and effect["goal_key"] is not None
    return effect["status"] in ("sent", "unknown")


def count_unexplained(effect: Any, arrived: int) -> int:
    """How many deliveries of a visit nothing explains.

    Each needs a call that had begun. Each but the first, and a hold too, needs a call whose outcome couldn't
    be stored.
    """
    held = effect["status"] == "unknown"
    return int(max(0, arrived - effect["begun"], max(0, arrived - 1) + held - effect["doubts"]))


def earliest_send(effect: Any) -> float:
    """The earliest time at which this may be sent, in seconds since the epoch."""
    return float(effect["entered_at"].timestamp()) + SECONDS_BEFORE_SEND[effect["step"]]
