"""Whatever the workflow, whatever happens to the contact meanwhile: the laws of moving hold."""

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.workflows.domain.draft import Draft, insert, walk
from app.workflows.domain.outcomes import EffectOutcome, Outcome, Status, WaitReason
from app.workflows.domain.steps import (
    MAIN,
    AddTag,
    Branch,
    Exit,
    Goal,
    RemoveTag,
    SendEmail,
    StepConfig,
    Unit,
    UpdateField,
    Wait,
    Webhook,
    lane_keys,
)
from app.workflows.domain.version import compile_version, freeze
from tests.domain.stories import COLD, FIELDS, NEW, PARIS, SCORE, VIP, WORKFLOW, Story, ask, lane, someone

IN_FLIGHT = (WaitReason.EFFECT, WaitReason.RETRY, WaitReason.HOLD)

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
            lambda found: [lane(f"b{i}", f) for i, f in enumerate(found)]
        ),
    ),
    st.builds(Goal, filter=filters, on_unmet=st.sampled_from(["wait", "continue", "end"]), amount=amounts),
    st.just(Exit()),
)


@st.composite
def drafts(draw: st.DrawFn) -> Draft:
    made, lists = Draft(), [MAIN]
    for config in draw(st.lists(configs, min_size=1, max_size=12)):
        key = f"s{made.next_key}"
        made = insert(made, draw(st.sampled_from(lists)), draw(st.integers(0, 9)), config)
        lists += [f"{key}.{name}" for name in lane_keys(config)]
    return made


happenings = st.lists(
    st.sampled_from(
        ["nudge", "hour", "day", "vip", "cold", "rome", "points", "sent", "retry", "unknown", "failed"]
    ),
    max_size=25,
)


def happen(story: Story, what: str) -> EffectOutcome | None:
    """Changes clock or contact; the answer of the ledger, when it is one and an effect is under way."""
    story.now += {"hour": timedelta(hours=1), "day": timedelta(days=1)}.get(what, timedelta(minutes=1))
    story.facts.tags ^= {"vip": {VIP}, "cold": {COLD}}.get(what, set())
    changes: dict[str, dict[str, Any]] = {"rome": {"city": "Rome"}, "points": {f"custom.{SCORE}": 7}}
    story.facts.values.update(changes.get(what, {}))
    if story.state.wait_reason not in IN_FLIGHT:
        return None
    answers = {
        "sent": EffectOutcome("sent"),
        "retry": EffectOutcome("retry", story.now + timedelta(minutes=5)),
        "unknown": EffectOutcome("unknown"),
        "failed": EffectOutcome("failed_permanent", error="no"),
    }
    return answers.get(what)


@settings(max_examples=300, deadline=None)
@given(drafts(), happenings, st.booleans())
def test_the_laws_of_moving(made: Draft, story_line: list[str], mail: bool) -> None:
    story = Story(
        compile_version(freeze(made, WORKFLOW, 1), FIELDS), someone(email="a@x.test" if mail else None)
    )
    story.facts.zone = PARIS
    order = {step.key: place for place, (_, _, step) in enumerate(walk(made.steps))}
    kinds = {step.key: step.kind for _, _, step in walk(made.steps)}
    sent: set[str] = set()
    open_seq: int | None = None
    for what in ["start", *story_line]:
        if story.decisions and story.decisions[-1].status is not Status.ACTIVE:
            break
        before, facts_before = story.state, (dict(story.facts.values), set(story.facts.tags))
        effect = happen(story, what)
        facts_before = (dict(story.facts.values), set(story.facts.tags))
        decision = story.go(effect)

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

        # Never backwards: steps come in the order of the tree.
        path = [order[key] for _, key, _ in story.path]
        assert path == sorted(set(path))

        # An effect is asked for once per visit, with its own key, and nothing else ever has that key.
        for intent in decision.effects:
            assert intent.idempotency_key == f"{NEW.id}:{intent.seq}"
            assert intent.idempotency_key not in sent
            assert kinds[intent.step_key] in ("send_email", "webhook")
            sent.add(intent.idempotency_key)
        assert bool(decision.effects) == (decision.wait_reason is WaitReason.EFFECT and bool(still_open))
        if before.wait_reason in IN_FLIGHT and effect is None:
            assert not decision.moved

        # A wake-up for nothing writes nothing and forgets nothing.
        if not decision.moved:
            assert (decision.executions, decision.closed, decision.changes) == ([], [], [])
            assert (decision.wait_until, decision.wait_reason) == (before.wait_until, before.wait_reason)
        if decision.status is Status.ACTIVE:
            assert decision.wait_reason is not None
            assert (decision.due_at is None) == (decision.wait_reason in IN_FLIGHT)
            assert decision.due_at is None or decision.due_at > story.now
            assert decision.exit_reason is None
        else:
            assert decision.exit_reason is not None
            assert decision.wait_reason is None or decision.wait_until is None

        # The net change of the contact is what the facts became.
        assert facts_before[0] | decision.fields == story.facts.values
        assert (facts_before[1] | decision.tags_added) - decision.tags_removed == story.facts.tags
    if story.decisions[-1].status is Status.FAILED:
        assert story.decisions[-1].error
    assert Outcome.LEFT.value not in {outcome for _, _, outcome in story.path}
