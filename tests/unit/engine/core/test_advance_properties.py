"""Whatever the workflow, whatever happens to the contact meanwhile: the laws of moving hold."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from app.engine.core.draft import Draft, walk
from app.engine.core.steps import (
    MAIN,
    AddNote,
    AddTag,
    AddToWorkflow,
    ApprovalOption,
    AskApproval,
    AssignOwner,
    Branch,
    Chat,
    CreateTask,
    DeleteContact,
    Drip,
    Exit,
    Goal,
    Notify,
    RemoveFromWorkflow,
    RemoveTag,
    SendEmail,
    SendSms,
    SetConsent,
    Split,
    SplitLane,
    StepConfig,
    Unit,
    UpdateField,
    Wait,
    WaitFor,
    Webhook,
    Window,
    lane_keys,
)
from app.engine.core.types import (
    Decision,
    EffectState,
    EnrollmentState,
    ExitReason,
    Outcome,
    Status,
    WaitReason,
)
from app.engine.core.version import compile_version, freeze
from app.workflows.domain.draft_edits import insert
from tests.support.engine_kit import (
    COLD,
    FIELDS,
    NEW,
    PARIS,
    SCORE,
    SINCE,
    VIP,
    WORKFLOW,
    DrivenEnrollment,
    ask,
    contact_facts,
    lane,
)

IN_FLIGHT = (WaitReason.EFFECT, WaitReason.RETRY, WaitReason.IN_DOUBT)

filters = st.sampled_from(
    [
        ask("tags", "any_of", [str(VIP)]),
        ask("tags", "none_of", [str(COLD)]),
        ask("city", "is", "Rome"),
        ask(f"custom.{SCORE}", "gt", 3),
        ask("created_at", "more_than_ago", "1 days"),
    ]
)
tags = st.sampled_from([VIP, COLD])
amounts = st.integers(1, 3)
TEAM = [UUID(int=number) for number in (501, 502, 503)]
windows = st.none() | st.builds(
    Window,
    days=st.lists(st.integers(0, 6), max_size=2),
    start=st.sampled_from(["09:00", "22:00"]),
    end=st.just("11:00"),
)
configs: st.SearchStrategy[StepConfig] = st.one_of(
    st.builds(AddTag, tag=tags),
    st.builds(RemoveTag, tag=tags),
    st.builds(UpdateField, field=st.just("city"), value=st.sampled_from(["Rome", "Paris", ""])),
    st.builds(
        UpdateField, field=st.just(f"custom.{SCORE}"), value=st.sampled_from(["1", "9", "{{ contact.city }}"])
    ),
    st.just(SendEmail(subject="{{ contact.city }}", body="x")),
    st.just(Webhook(url="https://x.test")),
    st.builds(Wait, amount=amounts, unit=st.sampled_from([Unit.HOURS, Unit.DAYS])),
    st.builds(
        Wait, mode=st.just("until"), until=st.just("2026-11-25"), past=st.sampled_from(["continue", "exit"])
    ),
    st.builds(
        Branch,
        branches=st.lists(filters, max_size=2).map(
            lambda parts: [lane(f"b{i}", f) for i, f in enumerate(parts)]
        ),
    ),
    st.builds(Goal, filter=filters, on_unmet=st.sampled_from(["wait", "continue", "end"]), amount=amounts),
    st.just(Exit()),
    st.builds(UpdateField, field=st.just(f"custom.{SCORE}"), operation=st.just("add"), value=st.just("2")),
    st.builds(UpdateField, field=st.just("state"), operation=st.just("copy"), source=st.just("city")),
    st.builds(
        AssignOwner,
        mode=st.sampled_from(["user", "round_robin", "least_busy", "nobody"]),
        users=st.lists(st.sampled_from(TEAM), min_size=1, max_size=3),
        only_if_unassigned=st.booleans(),
    ),
    st.just(AddNote(text="{{ contact.city }}")),
    st.just(CreateTask(title="Call", body="{{ contact.city }}")),
    st.builds(
        SetConsent, channel=st.sampled_from(["email", "sms"]), state=st.sampled_from(["granted", "denied"])
    ),
    st.just(DeleteContact()),
    st.builds(SendSms, body=st.just("x"), window=windows),
    st.builds(
        SendEmail, subject=st.just("x"), body=st.just("x"), transactional=st.booleans(), window=windows
    ),
    st.builds(Chat, channel=st.just("c"), text=st.just("{{ event.x }}"), window=windows),
    st.builds(Notify, to=st.sampled_from(["owner", "everyone"]), title=st.just("x"), email=st.booleans()),
    st.just(Webhook(url="https://x.test", save_as="crm", body='{"was": "{{ response.crm.id }}"}')),
    st.builds(Wait, mode=st.just("recurring"), weekdays=st.just([1, 5]), at=st.sampled_from(["", "02:30"])),
    st.builds(Wait, mode=st.just("date_field"), field=st.just(f"custom.{SINCE}"), offset=st.integers(-1, 2)),
    st.builds(WaitFor, filter=filters, amount=amounts),
    st.builds(WaitFor, mode=st.just("event"), event=st.just("note.added"), amount=amounts),
    st.builds(
        Split,
        lanes=st.lists(st.integers(0, 3), min_size=2, max_size=3)
        .filter(any)
        .map(lambda parts: [SplitLane(f"b{i}", "", weight) for i, weight in enumerate(parts)]),
    ),
    st.builds(Drip, count=amounts, amount=amounts),
    st.just(AskApproval(question="?", options=[ApprovalOption("b1", "Yes"), ApprovalOption("b2", "No")])),
    st.just(AddToWorkflow(workflow=WORKFLOW)),
    st.just(RemoveFromWorkflow()),
)


@st.composite
def drafts(draw: st.DrawFn) -> Draft:
    new_draft, lists = Draft(), [MAIN]
    for config in draw(st.lists(configs, min_size=1, max_size=12)):
        key = f"s{new_draft.next_key}"
        new_draft = insert(new_draft, draw(st.sampled_from(lists)), draw(st.integers(0, 9)), config)
        lists += [f"{key}.{name}" for name in lane_keys(config)]
    return new_draft


happenings = st.lists(
    st.sampled_from(
        [
            "nudge",
            "hour",
            "day",
            "vip",
            "cold",
            "rome",
            "points",
            "sent",
            "retry",
            "unknown",
            "failed",
            "heard",
            "answer",
            "since",
        ]
    ),
    max_size=25,
)


def happen(driven: DrivenEnrollment, what: str) -> EffectState | None:
    """Changes clock or contact; the answer of the ledger, when it is one and an effect is under way."""
    driven.now += {"hour": timedelta(hours=1), "day": timedelta(days=1)}.get(what, timedelta(minutes=1))
    driven.facts.tags ^= {"vip": {VIP}, "cold": {COLD}}.get(what, set())
    changes: dict[str, dict[str, Any]] = {
        "rome": {"city": "Rome"},
        "points": {f"custom.{SCORE}": 7},
        "since": {f"custom.{SINCE}": "2026-11-25"},
    }
    driven.facts.values.update(changes.get(what, {}))
    if driven.state.wait_reason not in IN_FLIGHT:
        return None
    answers = {
        "sent": EffectState("sent"),
        "retry": EffectState("retry", driven.now + timedelta(minutes=5)),
        "unknown": EffectState("unknown"),
        "failed": EffectState("failed_permanent", error="no"),
    }
    return answers.get(what)


def check_wait_or_end(decision: Decision, before: EnrollmentState, visit_open: bool, now: datetime) -> None:
    """An active enrollment waits for exactly one thing, with a time of its next check; an ended one has a
    reason."""
    # A wake-up for nothing writes nothing and forgets nothing.
    if not decision.moved:
        assert (decision.executions, decision.closed, decision.changes) == ([], [], [])
        assert (decision.wait_until, decision.wait_reason) == (before.wait_until, before.wait_reason)
    # A member is asked once, and only while the enrollment waits for them.
    assert bool(decision.approvals) == (decision.wait_reason is WaitReason.APPROVAL and visit_open)
    if decision.delete:
        assert decision.exit_reason is ExitReason.SUBJECT_DELETED
    if decision.status is Status.ACTIVE:
        assert decision.wait_reason is not None
        assert (decision.due_at is None) == (decision.wait_reason in IN_FLIGHT)
        assert decision.due_at is None or decision.due_at > now
        assert decision.exit_reason is None
    else:
        assert decision.exit_reason is not None
        assert decision.wait_reason is None or decision.wait_until is None


@settings(max_examples=300, deadline=None)
@given(drafts(), happenings, st.booleans())
def test_invariants_of_advancing(new_draft: Draft, story_line: list[str], mail: bool) -> None:
    driven = DrivenEnrollment(
        compile_version(freeze(new_draft, WORKFLOW, 1), FIELDS),
        contact_facts(email="a@x.test" if mail else None, phone="+12025550123" if mail else None),
    )
    driven.facts.zone = PARIS
    driven.around.members = list(TEAM)
    order = {step.key: place for place, (_, _, step) in enumerate(walk(new_draft.steps))}
    kinds = {step.key: step.kind for _, _, step in walk(new_draft.steps)}
    sent: set[str] = set()
    open_seq: int | None = None
    for what in ["start", *story_line]:
        if driven.decisions and driven.decisions[-1].status is not Status.ACTIVE:
            break
        before, facts_before = driven.state, (dict(driven.facts.values), set(driven.facts.tags))
        effect = happen(driven, what)
        facts_before = (dict(driven.facts.values), set(driven.facts.tags))
        decision = driven.go(
            effect,
            woken=what == "heard" and before.wait_reason is WaitReason.EVENT,
            answer="b1" if what == "answer" and before.wait_reason is WaitReason.APPROVAL else None,
        )

        # One number per visit, growing without a gap; the open visit is the last one and is closed once.
        assert [row.seq for row in decision.executions] == list(range(before.seq + 1, decision.seq + 1))
        assert [closed.seq for closed in decision.closed] in ([], [open_seq])
        still_open = [row.seq for row in decision.executions if row.finished is None]
        assert still_open in ([], [decision.seq])
        if still_open:
            open_seq = decision.seq
        elif decision.closed or decision.executions:
            open_seq = None
        assert (open_seq is not None) == (
            decision.wait_reason is not None and decision.status is Status.ACTIVE
        )

        # Never backwards: steps come in the order of the tree, each once (a closed window is a visit too).
        opened = {
            execution.seq
            for past in driven.decisions
            for execution in past.executions
            if "window" in execution.detail
        }
        path = [order[key] for seq, key, _ in driven.path if seq not in opened or seq == driven.path[-1][0]]
        assert path == sorted(set(path))

        # An effect is asked for once per visit, with its own key, and nothing else ever has that key.
        for intent in decision.effects:
            assert intent.idempotency_key == f"{NEW.id}:{intent.seq}"
            assert intent.idempotency_key not in sent
            assert kinds[intent.step_key] in ("send_email", "send_sms", "chat", "notify", "webhook")
            sent.add(intent.idempotency_key)
        assert bool(decision.effects) == (decision.wait_reason is WaitReason.EFFECT and bool(still_open))
        if before.wait_reason in IN_FLIGHT and effect is None:
            assert not decision.moved

        check_wait_or_end(decision, before, bool(still_open), driven.now)

        # The net change of the contact is what the facts became.
        assert facts_before[0] | decision.fields == driven.facts.values
        assert (facts_before[1] | decision.tags_added) - decision.tags_removed == driven.facts.tags
    if driven.decisions[-1].status is Status.FAILED:
        assert driven.decisions[-1].error
    assert Outcome.LEFT.value not in {outcome for _, _, outcome in driven.path}
