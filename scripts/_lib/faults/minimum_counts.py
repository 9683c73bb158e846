"""Whether a run has proved anything: a run without load, deliveries or kills loses nothing either.

`missed_minimums` is the entry point.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from scripts._lib.faults.fault_plan import FaultPlan
from scripts._lib.faults.judge import RunVerdict
from scripts._lib.faults.receiver import ReceivedDelivery
from scripts._lib.faults.visit_names import subject_of

MIN_ACKNOWLEDGED_SHARE = 0.3  # of the offered contacts
MIN_DELIVERIES_PER_CONTACT = 1.0  # most get four; those who buy early get one or two
KILL_FAULTS = ("kill_worker", "kill_postgres")


def missed_minimums(
    verdict: RunVerdict,
    plan: FaultPlan,
    counts: Counter[str],
    offered: int,
    deliveries: Sequence[ReceivedDelivery],
) -> Iterator[str]:
    """A sentence for each minimum that wasn't reached. `counts` are those of the injector.

    A worker that was dead already could not be killed, and isn't missed.
    """
    if not offered or verdict.acknowledged < MIN_ACKNOWLEDGED_SHARE * offered:
        yield f"only {verdict.acknowledged} of {offered} contacts were acknowledged"
    if verdict.deliveries < MIN_DELIVERIES_PER_CONTACT * verdict.acknowledged:
        yield f"only {verdict.deliveries} deliveries for {verdict.acknowledged} contacts"
    for kind in KILL_FAULTS:
        planned, dead = plan.count(kind), counts["dead_already"] if kind == "kill_worker" else 0
        if counts[kind] + dead != planned:
            yield f"{kind}: {counts[kind]} of {planned} were carried out"
    if counts["dead_already"] * 10 > plan.count("kill_worker"):
        yield f"{counts['dead_already']} workers were dead before they could be killed"
    if not any(delivery.subject == subject_of("welcome", 2) for delivery in deliveries):
        yield "no contact got the email of the second version"
