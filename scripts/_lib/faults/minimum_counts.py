"""Whether a run has shown anything: what nobody was hurt by, because nobody was there, does not count."""

from collections import Counter
from collections.abc import Iterator, Sequence

from scripts._lib.faults.fault_plan import Plan
from scripts._lib.faults.judge import Verdict
from scripts._lib.faults.receiver import Delivery
from scripts._lib.faults.visit_names import subject_of

TAKEN = 0.3  # share of those offered who must have been acknowledged
EACH = 1.0  # deliveries for each of those: four for most, one or two for whoever buys early
KILLS = ("kill_worker", "kill_postgres")


def too_little(
    verdict: Verdict, plan: Plan, done: Counter[str], offered: int, taken: Sequence[Delivery]
) -> Iterator[str]:
    """A sentence for each floor that was not reached. A worker that was dead already could not be killed."""
    if not offered or verdict.acknowledged < TAKEN * offered:
        yield f"only {verdict.acknowledged} of {offered} were acknowledged"
    if verdict.deliveries < EACH * verdict.acknowledged:
        yield f"only {verdict.deliveries} deliveries for {verdict.acknowledged} people"
    for what in KILLS:
        planned, missed = plan.count(what), done["dead_already"] if what == "kill_worker" else 0
        if done[what] + missed != planned:
            yield f"{what}: {done[what]} of {planned}"
    if done["dead_already"] * 10 > plan.count("kill_worker"):
        yield f"{done['dead_already']} workers were dead before they could be killed"
    if not any(one.subject == subject_of("welcome", 2) for one in taken):
        yield "nobody got the letter of the second version"
