"""Compiling a version, and reading stored documents."""

import msgspec
import pytest

from app.engine.core.draft import Draft
from app.engine.core.steps import (
    AddTag,
    AssignOwner,
    Branch,
    CreateTask,
    Exit,
    Goal,
    Notify,
    SendEmail,
    StepConfig,
    UpdateField,
    Webhook,
)
from app.engine.core.triggers import ContactUpdated, FieldChanged, TagAdded
from app.engine.core.types import END
from app.engine.core.version import (
    CompileError,
    canonical,
    compile_version,
    content_hash,
    freeze,
    load_version,
)
from app.workflows.domain.references import names_option, references
from tests.support.engine_kit import (
    ANN,
    COLD,
    FIELDS,
    LATE,
    PLAN,
    SCORE,
    VIP,
    WORKFLOW,
    ask,
    draft,
    every,
    lane,
    program,
)

PLAN_KEY = f"custom.{PLAN}"
CA = ask("state", "is", "CA")
BRANCHED: tuple[StepConfig, dict[str, list[StepConfig]]] = (
    Branch(branches=[lane("b1", CA), lane("b2", CA)]),
    {"b1": [Exit(), Goal(filter=CA)], "else": [Exit()]},
)


def test_version_documents_are_canonical_and_round_trip() -> None:
    version = freeze(draft(BRANCHED, AddTag(tag=VIP)), WORKFLOW, 3)
    assert load_version(canonical(version)) == version
    assert load_version(msgspec.json.decode(canonical(version))) == version
    assert canonical(load_version(canonical(version))) == canonical(version)
    assert content_hash(version) == content_hash(freeze(draft(BRANCHED, AddTag(tag=VIP)), WORKFLOW, 4))
    assert content_hash(version) != content_hash(freeze(draft(BRANCHED, AddTag(tag=COLD)), WORKFLOW, 3))


def test_a_version_does_not_follow_its_draft() -> None:
    new_draft = draft(AddTag(tag=VIP))
    version = freeze(new_draft, WORKFLOW, 1)
    new_draft.steps.clear()
    assert len(version.steps) == 1


def test_lanes_meet_again_after_the_branch() -> None:
    compiled_program = program(BRANCHED, Goal(filter=CA))  # s1 with s2, s3 and s4 inside, then s5
    after = {
        node.key: compiled_program.nodes[node.after].key if node.after != END else None
        for node in compiled_program.nodes
    }
    assert after == {"s1": "s5", "s2": "s3", "s3": "s5", "s4": "s5", "s5": None}
    branch = compiled_program.nodes[compiled_program.by_key["s1"]]
    assert [(key, compiled_program.nodes[start].key) for key, _, start in branch.lanes] == [
        ("b1", "s2"),
        ("b2", "s5"),
        ("else", "s4"),
    ]


def test_goals_ahead_are_those_always_reached() -> None:
    compiled_program = program(Exit(), BRANCHED, Goal(filter=CA), Exit())  # s1; s2 with s3, s4 and s5; s6; s7
    ahead = {
        node.key: [compiled_program.nodes[goal].key for goal in node.goals] for node in compiled_program.nodes
    }
    assert ahead == {
        "s1": ["s6"],
        "s2": ["s6"],
        "s3": ["s4", "s6"],
        "s4": ["s4", "s6"],
        "s5": ["s6"],
        "s6": ["s6"],
        "s7": [],
    }
    assert compiled_program.last_goal is not None
    assert compiled_program.last_goal.key == "s6"


def test_references() -> None:
    compiled_program = program(
        AddTag(tag=VIP),
        AddTag(),
        UpdateField(field="city", value="{{ contact.score }}"),
        SendEmail(subject="{{ contact.first_name }}", body="{{ contact.company }}"),
        Webhook(url="https://x.test/{{ contact.phone }}", body="", headers={"x": "{{ contact.state }}"}),
        Goal(filter=every(ask("tags", "any_of", [str(COLD)]), ask("county", "empty"))),
        triggers=[TagAdded(tag=LATE), ContactUpdated(fields=["website"], filter=ask("county", "empty"))],
        entry=ask("country", "is", "US"),
    )
    used = references(compiled_program.version, FIELDS)
    assert used.tags == {VIP, COLD, LATE}
    assert used.fields == {
        *("city", "first_name", "company", "phone", "state", "tags", "county", "country", "website"),
        f"custom.{SCORE}",
    }


def test_settings_of_unselected_choices_are_not_references() -> None:
    new_draft = draft(
        UpdateField(field="city", value="x", source="county"),
        AssignOwner(mode="nobody", users=[ANN]),
        CreateTask(title="x", assignee="owner", user=ANN),
        Notify(to="owner", users=[ANN], title="x"),
    )
    used = references(new_draft, FIELDS)
    assert used.users == frozenset()
    assert used.fields == {"city"}


@pytest.mark.parametrize(
    "new_draft",
    [
        draft(UpdateField(field="owner", value=f" {str(ANN).upper()} ")),
        Draft(triggers=[FieldChanged(field="owner", before_is="value", before=str(ANN))]),
        Draft(triggers=[FieldChanged(field="owner", after_is="value", after=str(ANN))]),
        draft(AssignOwner(users=[ANN])),
        draft(CreateTask(title="x", assignee="user", user=ANN)),
        draft(Notify(to="users", users=[ANN], title="x")),
        Draft(entry=ask("owner", "is", ANN.hex)),
    ],
)
def test_references_to_members(new_draft: Draft) -> None:
    assert references(new_draft, FIELDS).users == {ANN}


@pytest.mark.parametrize(
    ("new_draft", "named"),
    [
        (draft(Goal(filter=ask(PLAN_KEY, "any_of", ["free", "pro"]))), True),
        (draft(Goal(filter=ask("history", "changed_to", [PLAN_KEY, "PRO", "7 days"]))), True),
        (draft(UpdateField(field=PLAN_KEY, value=" pro ")), True),
        (draft(UpdateField(field=PLAN_KEY, value="PRO")), True),
        (draft(UpdateField(field=PLAN_KEY, value="pro", operation="clear")), False),
        (draft(UpdateField(field="city", value="pro")), False),
        (Draft(triggers=[FieldChanged(field=PLAN_KEY, after_is="value", after="Pro")]), True),
        (Draft(triggers=[FieldChanged(field=PLAN_KEY, before="pro")]), False),
        (Draft(entry=ask(PLAN_KEY, "none_of", ["team"])), False),
    ],
)
def test_references_to_options(new_draft: Draft, named: bool) -> None:
    assert names_option(new_draft, PLAN_KEY, ["pro"]) is named


def test_a_missing_field_names_its_step() -> None:
    version = freeze(draft(Exit(), Goal(filter=ask(f"custom.{SCORE}", "gt", 1))), WORKFLOW, 1)
    with pytest.raises(CompileError, match=r"^Step s2: This custom field no longer exists"):
        compile_version(version, {"city": FIELDS["city"]})
    with pytest.raises(CompileError, match=r"^Step s1: There is no field"):
        compile_version(freeze(draft(SendEmail(subject="{{ contact.scor }}")), WORKFLOW, 1), FIELDS)
