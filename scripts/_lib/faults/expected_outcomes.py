"""What must have happened to each contact of the load, worked out from the contact and not from the ledger.

`missing_outcomes` is the entry point. A contact who met no goal and isn't held, paused or parked was written
to at every step, tagged and updated.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from scripts._lib.faults.load_accounts import OfferedContact
from scripts._lib.faults.visit_names import FIELD_VALUE, GOAL_CITY, HOLDING_STEPS

SENDING_STEPS = {"journey": ("welcome", "report"), "follower": ("early", "note")}
CALIFORNIA = "CA"
SLACK = 1.0  # seconds between an acknowledgment and the end of an enrollment that must have known of it

ENROLLMENTS = """
select e.id, w.name as workflow, e.version, e.status, e.exit_reason, e.goal_key, e.paused_at, e.ended_at,
       c.id::text as contact, c.email, c.state, c.city, c.company, c.email_consent,
       exists (select from contact_tags t where t.account_id = c.account_id and t.contact_id = c.id) as tagged
  from enrollments e
  join contacts c on c.account_id = e.account_id and c.id = e.contact_id
  join workflows w on w.account_id = e.account_id and w.id = e.workflow_id
"""


def missing_outcomes(
    enrollments: Sequence[Any], effects: Sequence[Any], offered: dict[str, OfferedContact]
) -> Iterator[str]:
    """A sentence for each thing that should be there and isn't. `offered` is by contact ID."""
    ledger: dict[Any, dict[str, Any]] = defaultdict(dict)
    for effect in effects:
        ledger[effect["enrollment_id"]][effect["step"]] = effect
    for enrollment in enrollments:
        name = f"{enrollment['email']} in {enrollment['workflow']}"
        problems = goal_problems(enrollment, offered.get(enrollment["contact"]))
        if not problems and enrollment["goal_key"] is None and enrollment["status"] != "failed":
            problems = [
                *visit_problems(enrollment, ledger[enrollment["id"]]),
                *change_problems(enrollment),
            ]
        yield from (f"{name}: {problem}" for problem in problems)


def goal_problems(enrollment: Any, contact: OfferedContact | None) -> list[str]:
    """The goal is reached by contacts who bought, and by no others."""
    if enrollment["goal_key"] is not None and enrollment["city"] != GOAL_CITY:
        return ["left for a goal that was not met"]
    at_the_end = enrollment["workflow"] == "journey" and enrollment["status"] in ("completed", "incomplete")
    if at_the_end and enrollment["goal_key"] is None and contact is not None and contact.bought:
        missed = enrollment["ended_at"].timestamp() > contact.bought + SLACK
        return ["the goal was met and missed"] if missed else []
    return []


def visit_problems(enrollment: Any, ledger: dict[str, Any]) -> Iterator[str]:
    """Each sending step has sent, up to the one that is held. Paused enrollments have none."""
    if enrollment["paused_at"] is not None:
        return
    if enrollment["status"] not in ("active", "completed", "incomplete"):
        yield f"is {enrollment['status']} ({enrollment['exit_reason']})"
    for step in SENDING_STEPS[enrollment["workflow"]]:
        effect = ledger.get(step)
        if effect is None:
            # A step that skips its email for lack of consent writes no effect.
            if not (step in HOLDING_STEPS and enrollment["email_consent"] == "denied"):
                yield f"{step} has no effect"
        elif effect["status"] == "unknown":
            return
        elif effect["status"] != "sent" and not is_rightly_canceled(enrollment, effect):
            yield f"{step} is {effect['status']}: {effect['error']}"


def is_rightly_canceled(enrollment: Any, effect: Any) -> bool:
    """Whether it is an email that was canceled because the contact has unsubscribed."""
    return bool(
        effect["status"] == "cancelled"
        and effect["error_class"] == "unwanted"
        and effect["kind"] == "email"
        and enrollment["email_consent"] == "denied"
    )


def change_problems(enrollment: Any) -> Iterator[str]:
    """The tag, and the field that the branch sets in California; both come before the first email."""
    if enrollment["workflow"] != "journey" or enrollment["paused_at"] is not None:
        return
    if not enrollment["tagged"]:
        yield "has no tag"
    if (enrollment["company"] == FIELD_VALUE) is not (enrollment["state"] == CALIFORNIA):
        yield f"company is {enrollment['company']} in {enrollment['state']}"
