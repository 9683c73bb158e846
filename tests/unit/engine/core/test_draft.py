"""Edits of a draft: the tree of steps and its rows."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.engine.core.draft import Draft, DraftError, WorkflowSettings, find, lane_label, lists, locate, walk
from app.engine.core.steps import KINDS, AddTag, Branch, BranchLane, Exit, Goal, Wait, blank, lane_keys
from app.engine.core.triggers import ContactCreated, Manual, TagAdded
from app.workflows.domain.draft_edits import (
    add_trigger,
    delete,
    delete_trigger,
    insert,
    move,
    nudge,
    set_entry,
    update,
    update_trigger,
)
from app.workflows.domain.draft_rows import draft_of, rows_of
from tests.support.engine_kit import VIP, ask, draft, every, keys, lane


def test_insert_names_steps_once_and_leaves_the_old_draft_alone() -> None:
    empty = Draft()
    first = insert(empty, "main", 0, Wait())
    two = insert(first, "main", 0, Exit())
    assert (keys(empty.steps), keys(first.steps), keys(two.steps)) == ([], ["s1"], ["s2", "s1"])
    again = insert(delete(two, "s2"), "main", 99, Exit())
    assert keys(again.steps) == ["s1", "s3"]


def test_lanes_are_lists() -> None:
    new_draft = draft((Branch(branches=[lane("b1", None)]), {"b1": [Wait()], "else": [Exit(), Exit()]}))
    assert {name: keys(steps) for name, steps in lists(new_draft).items()} == {
        "main": ["s1"],
        "s1.b1": ["s2"],
        "s1.else": ["s3", "s4"],
    }
    assert locate(new_draft, "s4")[:2] == ("s1.else", 1)
    assert [key for _, _, step in walk(delete(new_draft, "s1").steps) for key in step.key] == []
    assert lane_label(find(new_draft, "s1"), "else") == "Else"


def test_move_counts_positions_before_the_move() -> None:
    new_draft = draft(Exit(), Exit(), Exit(), Exit())
    assert keys(move(new_draft, "s1", "main", 2).steps) == ["s2", "s1", "s3", "s4"]
    assert keys(move(new_draft, "s1", "main", 1).steps) == ["s1", "s2", "s3", "s4"]
    assert keys(move(new_draft, "s4", "main", 0).steps) == ["s4", "s1", "s2", "s3"]
    assert keys(nudge(new_draft, "s2", "up").steps) == ["s2", "s1", "s3", "s4"]
    assert keys(nudge(new_draft, "s2", "down").steps) == ["s1", "s3", "s2", "s4"]
    assert (
        keys(nudge(new_draft, "s4", "down").steps)
        == keys(nudge(new_draft, "s1", "up").steps)
        == keys(new_draft.steps)
    )


def test_a_branch_does_not_move_into_itself() -> None:
    new_draft = draft((Branch(branches=[lane("b1", None)]), {"b1": [Branch()]}), Exit())
    for target in ("s1.b1", "s1.else", "s2.else"):
        with pytest.raises(DraftError, match="own lanes"):
            move(new_draft, "s1", target, 0)
    assert keys(find(move(new_draft, "s3", "s2.else", 0), "s2").lanes["else"]) == ["s3"]


def test_update_keeps_kind_and_never_drops_steps() -> None:
    new_draft = draft((Branch(branches=[lane("b1", None)]), {"b1": [Exit()]}))
    with pytest.raises(DraftError, match="can't change its type"):
        update(new_draft, "s1", Exit())
    with pytest.raises(DraftError, match="still has steps"):
        update(new_draft, "s1", Branch())
    with pytest.raises(DraftError, match="same key"):
        update(new_draft, "s1", Branch(branches=[lane("b1", None), lane("b1", None)]))
    wider = update(
        new_draft, "s1", Branch(branches=[lane("b2", None), lane("b1", None)]), name="Where?", note="n"
    )
    assert (wider.steps[0].name, list(wider.steps[0].lanes)) == ("Where?", ["b2", "b1", "else"])


@pytest.mark.parametrize(
    "edit",
    [
        lambda draft_: find(draft_, "s9"),
        lambda draft_: insert(draft_, "s1.b1", 0, Exit()),
        lambda draft_: insert(draft_, "nowhere", 0, Exit()),
        lambda draft_: move(draft_, "s9", "main", 0),
        lambda draft_: move(draft_, "s1", "s1.zz", 0),
        lambda draft_: delete(draft_, "s9"),
        lambda draft_: update(draft_, "s9", Exit()),
        lambda draft_: update_trigger(draft_, "t9", Manual()),
        lambda draft_: delete_trigger(draft_, "t9"),
    ],
)
def test_unknown_steps_and_lists_are_refused(edit: Callable[[Draft], Any]) -> None:
    with pytest.raises(DraftError) as caught:
        edit(draft(Exit()))
    assert caught.value.missing


def test_triggers() -> None:
    new_draft = add_trigger(add_trigger(Draft(), ContactCreated()), TagAdded(tag=VIP))
    assert [trigger.key for trigger in new_draft.triggers] == ["t1", "t2"]
    new_draft = update_trigger(new_draft, "t1", Manual())
    assert new_draft.triggers[0] == Manual(key="t1")
    assert [trigger.key for trigger in delete_trigger(new_draft, "t1").triggers] == ["t2"]


def test_limits() -> None:
    nested, at = Draft(), "main"
    for _ in range(20):
        nested = insert(nested, at, 0, Branch())
        at = f"s{nested.next_key - 1}.else"
    with pytest.raises(DraftError, match="deep"):
        insert(nested, at, 0, Branch())
    new_draft = Draft()
    for _ in range(20):
        new_draft = add_trigger(new_draft, Manual())
    with pytest.raises(DraftError, match="at most 20 triggers"):
        add_trigger(new_draft, Manual())


@pytest.mark.parametrize("kind", KINDS)
def test_a_blank_config_survives_json(kind: str) -> None:
    config = blank(kind)
    assert msgspec.json.decode(msgspec.json.encode(config), type=type(config)) == config
    assert msgspec.to_builtins(config)["kind"] == kind


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": "wait", "amount": 0},
        {"kind": "wait", "amount": -1},
        {"kind": "wait", "unit": "fortnights"},
        {"kind": "add_tag", "tag": "vip"},
        {"kind": "exit", "surprise": 1},
        {"kind": "branch", "branches": [{"key": "B 1"}]},
        {"kind": "nothing"},
    ],
)
def test_a_config_of_another_kind_is_refused(bad: dict[str, Any]) -> None:
    union: Any = msgspec.json.Decoder(KINDS[bad["kind"]].config if bad["kind"] in KINDS else Exit)
    with pytest.raises(msgspec.ValidationError):
        union.decode(msgspec.json.encode(bad))


class Editing(RuleBasedStateMachine):
    """Whatever is edited in whatever order: the tree stays well-formed and rows give it back."""

    def __init__(self) -> None:
        super().__init__()
        self.draft = Draft()
        self.used_keys: set[str] = set()

    def some(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from([step.key for _, _, step in walk(self.draft.steps)]))

    @rule(data=st.data(), kind=st.sampled_from(sorted(KINDS)), position=st.integers(-2, 6))
    def insert(self, data: st.DataObject, kind: str, position: int) -> None:
        key = f"s{self.draft.next_key}"
        assert key not in self.used_keys
        self.used_keys.add(key)
        list_id = data.draw(st.sampled_from(sorted(lists(self.draft))))
        self.draft = insert(
            self.draft, list_id, position, blank(kind), name="n", note=data.draw(st.text(max_size=3))
        )
        assert find(self.draft, key).kind == kind

    @precondition(lambda self: self.draft.steps)
    @rule(data=st.data(), position=st.integers(0, 6))
    def move(self, data: st.DataObject, position: int) -> None:
        key, list_id = self.some(data), data.draw(st.sampled_from(sorted(lists(self.draft))))
        before = sorted(step.key for _, _, step in walk(self.draft.steps))
        inside = {step.key for _, _, step in walk([find(self.draft, key)])}
        if list_id.partition(".")[0] in inside:
            with pytest.raises(DraftError, match="own lanes"):
                move(self.draft, key, list_id, position)
        else:
            self.draft = move(self.draft, key, list_id, position)
            assert locate(self.draft, key)[0] == list_id
        assert sorted(step.key for _, _, step in walk(self.draft.steps)) == before

    @precondition(lambda self: self.draft.steps)
    @rule(data=st.data(), direction=st.sampled_from(["up", "down"]))
    def nudge(self, data: st.DataObject, direction: Any) -> None:
        self.draft = nudge(self.draft, self.some(data), direction)

    @precondition(lambda self: self.draft.steps)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        key = self.some(data)
        inside = {step.key for _, _, step in walk([find(self.draft, key)])}
        before = {step.key for _, _, step in walk(self.draft.steps)}
        self.draft = delete(self.draft, key)
        assert {step.key for _, _, step in walk(self.draft.steps)} == before - inside

    @precondition(lambda self: self.draft.steps)
    @rule(data=st.data())
    def widen(self, data: st.DataObject) -> None:
        step = find(self.draft, self.some(data))
        if isinstance(step.config, Branch):
            more = [*step.config.branches, BranchLane(f"b{len(step.config.branches) + 100}", "more", every())]
            self.draft = update(self.draft, step.key, Branch(branches=more))

    @rule(tag=st.sampled_from([None, VIP]))
    def trigger(self, tag: UUID | None) -> None:
        if len(self.draft.triggers) < 20:
            self.draft = add_trigger(self.draft, TagAdded(tag=tag))
        self.draft = set_entry(self.draft, ask("city", "is", "Rome") if tag else None)

    @invariant()
    def is_well_formed(self) -> None:
        step_keys = [step.key for _, _, step in walk(self.draft.steps)]
        assert len(step_keys) == len(set(step_keys))
        for _, _, step in walk(self.draft.steps):
            assert list(step.lanes) == lane_keys(step.config)

    @invariant()
    def comes_back_from_rows_and_json(self) -> None:
        actions, conditions, goals = rows_of(self.draft)
        back = draft_of(reversed(actions), reversed(conditions), goals, {}, self.draft.next_key)
        assert back == self.draft
        assert msgspec.json.decode(msgspec.json.encode(self.draft), type=Draft) == self.draft


TestEditing = Editing.TestCase
TestEditing.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


def test_rows_hold_goals_apart_and_notes_in_the_config() -> None:
    new_draft = draft(Goal(name="Bought", filter=ask("tags", "any_of", [str(VIP)])), AddTag(tag=VIP))
    new_draft = update(new_draft, "s2", AddTag(tag=VIP), note="why")
    actions, conditions, goals = rows_of(new_draft)
    assert actions[0].config == {"kind": "goal"}
    assert (goals[0].step_key, goals[0].name, goals[0].config["on_unmet"]) == ("s1", "Bought", "end")
    assert actions[1].config == {"kind": "add_tag", "tag": str(VIP), "note": "why"}
    assert conditions[0].role == "trigger"
    assert draft_of(actions, conditions, goals, msgspec.to_builtins(WorkflowSettings()), 3) == new_draft
