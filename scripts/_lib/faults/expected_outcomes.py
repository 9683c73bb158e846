"""What should have happened to each contact of the load, worked out from what it is, not from the ledger: who
met no goal, is not held, paused or parked has been written to at every step, tagged, and changed."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from scripts._lib.faults.tenants import Sent
from scripts._lib.faults.visit_names import FIELD_VALUE, GOAL_CITY, HOLD

VISITS = {"journey": ("welcome", "report"), "follower": ("early", "note")}
CALIFORNIA = "CA"
SLACK = 1.0  # seconds between an answer and the end of an enrollment that must have known of it

PEOPLE = """
select e.id, w.name as workflow, e.version, e.status, e.exit_reason, e.goal_key, e.paused_at, e.ended_at,
       c.id::text as contact, c.email, c.state, c.city, c.company, c.email_consent,
       exists (select from contact_tags t where t.account_id = c.account_id and t.contact_id = c.id) as tagged
  from enrollments e
  join contacts c on c.account_id = e.account_id and c.id = e.contact_id
  join workflows w on w.account_id = e.account_id and w.id = e.workflow_id
"""


def missed(people: Sequence[Any], effects: Sequence[Any], asked: dict[str, Sent]) -> Iterator[str]:
    """A sentence for each thing that should be and is not. `asked` is what people did, by contact."""
    ledger: dict[Any, dict[str, Any]] = defaultdict(dict)
    for row in effects:
        ledger[row["enrollment_id"]][row["step"]] = row
    for one in people:
        name = f"{one['email']} in {one['workflow']}"
        what = of_goal(one, asked.get(one["contact"]))
        if not what and one["goal_key"] is None and one["status"] != "failed":
            what = [*of_visits(one, ledger[one["id"]]), *of_changes(one)]
        yield from (f"{name}: {sentence}" for sentence in what)


def of_goal(one: Any, asked: Sent | None) -> list[str]:
    """A goal is met by those who bought, and by everybody who had bought when they came to the end."""
    if one["goal_key"] is not None and one["city"] != GOAL_CITY:
        return ["left for a goal that was not met"]
    at_the_end = one["workflow"] == "journey" and one["status"] in ("completed", "incomplete")
    if at_the_end and one["goal_key"] is None and asked is not None and asked.bought:
        late = one["ended_at"].timestamp() > asked.bought + SLACK
        return ["the goal was met and not seen"] if late else []
    return []


def of_visits(one: Any, ledger: dict[str, Any]) -> Iterator[str]:
    """Each step that sends, until the one that is held; nothing of whoever is paused."""
    if one["paused_at"] is not None:
        return
    if one["status"] not in ("active", "completed", "incomplete"):
        yield f"is {one['status']} ({one['exit_reason']})"
    for step in VISITS[one["workflow"]]:
        row = ledger.get(step)
        if row is None:
            if not (step in HOLD and one["email_consent"] == "denied"):  # a letter that is skipped has none
                yield f"{step} has no row"
        elif row["status"] == "unknown":
            return
        elif row["status"] != "sent" and not unwanted(one, row):
            yield f"{step} is {row['status']}: {row['error']}"


def unwanted(one: Any, row: Any) -> bool:
    """Not sent, and rightly: a letter to whoever has unsubscribed."""
    return bool(
        row["status"] == "cancelled"
        and row["error_class"] == "unwanted"
        and row["kind"] == "email"
        and one["email_consent"] == "denied"
    )


def of_changes(one: Any) -> Iterator[str]:
    """The tag, and the field where the branch sets it; both are set before the first letter."""
    if one["workflow"] != "journey" or one["paused_at"] is not None:
        return
    if not one["tagged"]:
        yield "has no tag"
    if (one["company"] == FIELD_VALUE) is not (one["state"] == CALIFORNIA):
        yield f"company is {one['company']} in {one['state']}"
