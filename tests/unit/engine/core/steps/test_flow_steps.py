"""Waiting for something, lanes, going elsewhere, settling, leaving."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from app.engine.core import interpreter
from app.engine.core.advance import advance
from app.engine.core.draft import WorkflowSettings
from app.engine.core.steps import (
    MET,
    TIMEOUT,
    AddTag,
    ApprovalOption,
    AskApproval,
    Branch,
    Drip,
    Exit,
    Goal,
    GoTo,
    RemoveTag,
    SendSms,
    Split,
    SplitLane,
    StepConfig,
    Unit,
    UpdateField,
    Wait,
    WaitFor,
    Window,
)
from app.engine.core.types import NewApproval, Status, StepContext, WaitReason
from app.engine.core.version import CompileError, Program, compile_version, freeze
from tests.support.engine_kit import (
    COLD,
    FIELDS,
    LATE,
    NEW,
    NOW,
    PARIS,
    SINCE,
    VIP,
    WORKFLOW,
    DrivenEnrollment,
    ask,
    contact_facts,
    draft,
    lane,
    program,
)

BOUGHT = ask("tags", "any_of", [str(VIP)])
DAY = f"custom.{SINCE}"
BOTH: dict[str, list[StepConfig]] = {MET: [AddTag(tag=COLD)], TIMEOUT: [AddTag(tag=LATE)]}


# Waits for a date


@pytest.mark.parametrize(
    ("since", "offset", "clock", "until"),
    [
        ("2026-12-24", -3, "09:00", datetime(2026, 12, 21, 8, tzinfo=UTC)),
        ("2026-12-24", 0, "", datetime(2026, 12, 23, 23, tzinfo=UTC)),
        ("2026-07-01", 365, "12:00", datetime(2027, 7, 1, 10, tzinfo=UTC)),
    ],
)
def test_wait_until_a_date_of_the_contact(since: str, offset: int, clock: str, until: datetime) -> None:
    driven = DrivenEnrollment(
        program(Wait(mode="date_field", field=DAY, offset=offset, at=clock)), contact_facts(since=since)
    )
    assert driven.go().wait_until == until


@pytest.mark.parametrize("since", ["2026-11-01", None])
def test_wait_until_a_past_or_missing_date(since: str | None) -> None:
    def after(wait: Wait) -> DrivenEnrollment:
        driven = DrivenEnrollment(
            program(wait, AddTag(tag=COLD), AddTag(tag=VIP)), contact_facts(since=since)
        )
        driven.go()
        return driven

    wait = Wait(mode="date_field", field=DAY)
    assert [key for _, key, _ in after(wait).path] == ["s1", "s2", "s3"]
    assert [key for _, key, _ in after(replace(wait, past="skip_to", skip_to="s3")).path] == ["s1", "s3"]
    left = after(replace(wait, past="exit"))
    assert (left.decisions[0].status, left.decisions[0].exit_reason) == ("exited", "past_window")


def test_recurring_wait_always_has_a_next_time() -> None:
    driven = DrivenEnrollment(
        program(Wait(mode="recurring", weekdays=[1], at="10:30"), AddTag(tag=VIP)), contact_facts()
    )
    assert driven.go().due_at == NOW + timedelta(days=7)  # it is half past ten on a Tuesday in Paris
    assert driven.go(days=7).status is Status.COMPLETED


# Waits for something


def test_event_wait_by_event_or_timeout() -> None:
    compiled_program = program(
        (WaitFor(mode="event", event="tag.added", about=str(VIP), amount=2), BOTH), AddTag(tag=VIP)
    )
    assert compiled_program.listens == {("tag.added", str(VIP)): (compiled_program.by_key["s1"],)}
    driven = DrivenEnrollment(compiled_program, contact_facts())
    assert (driven.go().wait_reason, driven.state.wait_until) == ("event", NOW + timedelta(days=2))
    assert not driven.go(hours=1).moved
    driven.go(woken=True)
    assert driven.path == [(1, "s1", "taken"), (2, "s2", "done"), (3, "s4", "done")]
    late = DrivenEnrollment(compiled_program, contact_facts())
    late.go()
    closed = late.go(days=2).closed[0]
    assert (closed.outcome, closed.detail) == ("taken", {"branch": TIMEOUT})
    assert late.facts.tags == {LATE, VIP}


def test_condition_wait_met_on_arrival_later_or_never() -> None:
    compiled_program = program((WaitFor(filter=BOUGHT, amount=1), BOTH))
    assert compiled_program.watches
    at_once = DrivenEnrollment(compiled_program, contact_facts(tags={VIP}))
    at_once.go()
    assert at_once.path == [(1, "s1", "taken"), (2, "s2", "done")]
    later = DrivenEnrollment(compiled_program, contact_facts())
    assert later.go().wait_reason == "condition"
    later.facts.tags.add(VIP)
    assert later.go(hours=1).closed[0].detail == {"branch": MET}
    never = DrivenEnrollment(compiled_program, contact_facts())
    never.go()
    assert never.go(days=1).closed[0].detail == {"branch": TIMEOUT}


def test_a_goal_ends_a_wait_for_something_else() -> None:
    compiled_program = program(
        (WaitFor(filter=ask("city", "is", "Rome"), amount=9), BOTH), Goal(filter=BOUGHT)
    )
    driven = DrivenEnrollment(compiled_program, contact_facts())
    driven.go()
    driven.facts.tags.add(VIP)
    assert driven.go(hours=1).exit_reason == "goal_met"
    assert driven.path == [(1, "s1", "skipped"), (2, "s4", "met")]


QUESTION = AskApproval(
    question="Discount for {{ contact.city }}?",
    options=[ApprovalOption("b1", "Yes"), ApprovalOption("b2")],
    users=[UUID(int=501)],
)


def test_approval_by_answer_or_timeout() -> None:
    compiled_program = program(
        (QUESTION, {"b1": [AddTag(tag=VIP)], TIMEOUT: [AddTag(tag=LATE)]}), AddTag(tag=COLD)
    )
    driven = DrivenEnrollment(compiled_program, contact_facts(city="Rome"))
    decision = driven.go()
    due = NOW + timedelta(days=2)
    assert decision.approvals == [
        NewApproval(1, "s1", "Discount for Rome?", [("b1", "Yes"), ("b2", "b2")], [UUID(int=501)], due)
    ]
    assert (decision.wait_reason, decision.due_at) == ("approval", due)
    assert not driven.go(hours=1).moved
    driven.go(answer="b1")
    assert driven.path == [(1, "s1", "taken"), (2, "s2", "done"), (3, "s4", "done")]
    empty_lane = DrivenEnrollment(compiled_program, contact_facts())
    empty_lane.go()
    assert empty_lane.go(answer="b2").closed[0].detail == {"branch": "b2"}
    silent = DrivenEnrollment(compiled_program, contact_facts())
    silent.go()
    silent.go(days=2)
    assert silent.facts.tags == {LATE, COLD}
    odd = DrivenEnrollment(compiled_program, contact_facts())
    odd.go()
    assert "isn't an option" in (odd.go(answer="b9").error or "")


def test_drip_passes_as_many_as_configured() -> None:
    compiled_program, around = (
        program(Drip(count=2, amount=1, unit=Unit.HOURS), AddTag(tag=VIP)),
        StepContext(),
    )
    people = [DrivenEnrollment(compiled_program, contact_facts(), around) for _ in range(5)]
    reasons = [driven.go().wait_reason for driven in people]
    assert reasons == [None, None, *[WaitReason.DRIP_SLOT] * 3]
    assert [driven.state.wait_until for driven in people[2:]] == [NOW + timedelta(hours=n) for n in (1, 1, 2)]
    assert compiled_program.steps_with_state == ["s1"]
    assert people[2].go(hours=1).status is Status.COMPLETED
    assert people[2].path == [(1, "s1", "passed"), (2, "s2", "done")]


def test_drip_slots_missed_in_a_downtime_are_reassigned() -> None:
    compiled_program, around = (
        program(Drip(count=2, amount=1, unit=Unit.HOURS), AddTag(tag=VIP)),
        StepContext(),
    )
    people = [DrivenEnrollment(compiled_program, contact_facts(), around) for _ in range(8)]
    for driven in people:
        driven.go()
    # Slots at 0, 0, 1, 1, 2, 2, 3, 3 hours; the engine comes back after three and a half.
    for driven in people[2:]:
        driven.go(hours=3.5)
    assert [driven.state.wait_reason for driven in people[6:]] == [None, None]
    slots = [driven.state.wait_until for driven in people[2:6]]
    assert slots == [NOW + timedelta(hours=hours) for hours in (4, 4, 5, 5)]
    late = people[2]
    late.go(minutes=30)
    assert late.path == [(1, "s1", "passed"), (2, "s1", "passed"), (3, "s2", "done")]


# Lanes by chance


def shares(*weights: int) -> Split:
    return Split(lanes=[SplitLane(f"b{number}", "", weight) for number, weight in enumerate(weights)])


def test_a_split_is_fair_and_stable_per_contact() -> None:
    compiled_program = program((shares(1, 0, 3), {"b1": [Exit()]}))
    taken: Counter[str] = Counter()
    for number in range(4000):
        newcomer = replace(NEW, contact_id=UUID(int=number))
        decision = advance(compiled_program, newcomer, contact_facts(), NOW)
        taken[str(decision.executions[0].detail["branch"])] += 1
        again = advance(compiled_program, newcomer, contact_facts(), NOW + timedelta(days=1))
        assert again.executions[0].detail == decision.executions[0].detail
    assert taken["b1"] == 0
    assert 900 < taken["b0"] < 1100
    assert advance(program(shares(0, 0)), NEW, contact_facts(), NOW).status is Status.FAILED
    # Two splits in one workflow divide contacts independently.
    two = program(shares(1, 1), shares(1, 1))
    ways = {
        tuple(
            row.detail["branch"]
            for row in advance(two, replace(NEW, contact_id=UUID(int=n)), contact_facts(), NOW).executions
        )
        for n in range(50)
    }
    assert len(ways) == 4


def drawn(running: Program) -> list[str]:
    """The lane of each of a thousand contacts."""
    news = (replace(NEW, contact_id=UUID(int=number)) for number in range(1000))
    return [
        str(advance(running, newcomer, contact_facts(), NOW).executions[0].detail["branch"])
        for newcomer in news
    ]


def test_splits_of_two_workflows_divide_people_independently() -> None:
    first, other = (drawn(program(shares(1, 1), workflow_id=UUID(int=number))) for number in (71, 72))
    together = Counter(zip(first, other, strict=True))
    assert len(together) == 4
    assert all(200 < people < 300 for people in together.values()), (
        "a quarter each, if neither says the other"
    )


def test_a_split_divides_people_alike_in_every_version() -> None:
    new_draft = draft(shares(1, 1))
    first, second = (compile_version(freeze(new_draft, WORKFLOW, number), FIELDS) for number in (1, 2))
    assert drawn(first) == drawn(second)


# Elsewhere


def test_go_to_forward_into_a_lane_and_out_of_it() -> None:
    inside: list[StepConfig] = [AddTag(tag=COLD)]
    branch = Branch(branches=[lane("b1", BOUGHT)])
    driven = DrivenEnrollment(program(GoTo(step="s3"), (branch, {"b1": inside}), Exit()), contact_facts())
    driven.go()
    assert [key for _, key, _ in driven.path] == ["s1", "s3", "s4"]


def test_go_to_backward_across_a_wait() -> None:
    compiled_program = program(
        Wait(amount=1, unit=Unit.HOURS), AddTag(tag=VIP), RemoveTag(tag=VIP), GoTo(step="s1")
    )
    driven = DrivenEnrollment(compiled_program, contact_facts())
    driven.go()
    for _ in range(3):
        assert driven.go(hours=1).wait_reason == "timer"
    assert [key for _, key, _ in driven.path] == [*["s1", "s2", "s3", "s4"] * 3, "s1"]
    driven.state = replace(driven.state, seq=interpreter.MOST_VISITS_IN_A_LIFE)
    ended = driven.go(hours=1)
    assert ended.status is Status.FAILED
    assert "loop" in (ended.error or "")


def test_a_loop_without_a_wait_is_stopped() -> None:
    decision = DrivenEnrollment(program(GoTo(step="s1")), contact_facts()).go()
    assert (decision.status, len(decision.executions)) == ("failed", interpreter.MOST_VISITS)


def test_go_to_a_missing_step_does_not_compile() -> None:
    with pytest.raises(CompileError, match=r"Step s1: .*doesn't exist"):
        program(GoTo(step="s9"))
    with pytest.raises(CompileError, match="s1"):
        program(Wait(mode="until", past="skip_to"))


def test_goals_ahead_after_go_to() -> None:
    compiled_program = program(GoTo(step="s4"), Goal(filter=BOUGHT), Exit(), AddTag(tag=VIP), Wait())
    driven = DrivenEnrollment(compiled_program, contact_facts())
    driven.go()
    assert [key for _, key, _ in driven.path] == ["s1", "s4", "s5"]  # the goal lies behind


# Settling and leaving

IN_ROME = ask("city", "is", "Rome")


def test_entry_condition_is_checked_again_after_the_settle_time() -> None:
    compiled_program = program(AddTag(tag=VIP), entry=IN_ROME, settings=WorkflowSettings(settle_seconds=60))
    assert DrivenEnrollment(compiled_program, contact_facts(city="Rome")).go().status is Status.COMPLETED
    decision = DrivenEnrollment(compiled_program, contact_facts(city="Oslo")).go()
    assert (decision.status, decision.exit_reason, decision.executions) == ("exited", "no_longer_matches", [])
    # Without it the entry condition has been asked once, when they came.
    assert (
        DrivenEnrollment(program(AddTag(tag=VIP), entry=IN_ROME), contact_facts()).go().status
        is Status.COMPLETED
    )


def test_a_contact_who_no_longer_matches_exits() -> None:
    settings = WorkflowSettings(leave_when_unmatched=True)
    compiled_program = program(
        Wait(amount=1), AddTag(tag=COLD), Goal(filter=BOUGHT), entry=IN_ROME, settings=settings
    )
    assert compiled_program.watches
    driven = DrivenEnrollment(compiled_program, contact_facts(city="Rome"))
    driven.go()
    assert not driven.go(hours=1).moved
    driven.facts.values["city"] = "Oslo"
    gone = driven.go(hours=1)
    assert (gone.status, gone.exit_reason) == ("exited", "no_longer_matches")
    assert (gone.closed[0].outcome, gone.closed[0].detail) == ("left", {"reason": "no_longer_matches"})
    # By a step of its own; and a goal comes before.
    own = program(UpdateField(field="city", value="Oslo"), Exit(), entry=IN_ROME, settings=settings)
    assert DrivenEnrollment(own, contact_facts(city="Rome")).go().exit_reason == "no_longer_matches"
    bought = DrivenEnrollment(compiled_program, contact_facts(city="Rome"))
    bought.go()
    bought.facts.values["city"] = "Oslo"
    bought.facts.tags.add(VIP)
    assert bought.go().exit_reason == "goal_met"


def test_goals_are_checked_when_a_window_opens() -> None:
    window = Window(start="18:00", end="20:00")
    driven = DrivenEnrollment(
        program(SendSms(body="x", window=window), Goal(filter=BOUGHT)), contact_facts(phone="+12025550123")
    )
    driven.go()
    driven.facts.tags.add(VIP)
    opened = driven.go(hours=8)
    assert (opened.effects, opened.exit_reason) == ([], "goal_met")
    assert driven.facts.zone == PARIS
