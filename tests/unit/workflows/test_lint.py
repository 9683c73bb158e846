"""The problems of a draft: unreachable steps, missing texts, loops."""

import dataclasses
from typing import Any

import pytest
from msgspec.structs import replace

from app.engine.core.draft import Draft, Reentry, WorkflowSettings
from app.engine.core.steps import (
    _BY_CONFIG,
    AddNote,
    AddTag,
    Branch,
    Exit,
    Goal,
    SendEmail,
    StepConfig,
    UpdateField,
    Wait,
    Webhook,
    kind_of,
)
from app.engine.core.triggers import ContactCreated, ContactUpdated, Manual, TagAdded, Trigger
from app.workflows.domain.lint import blocking, lint
from tests.support.engine_kit import FIELDS, NAMES, SCORE, VIP, WORKFLOW, ask, draft, every, lane, program

GOOD: list[Any] = [
    AddTag(tag=VIP),
    UpdateField(field="city", value="{{ contact.state }}"),
    UpdateField(field="city", operation="clear"),
    UpdateField(field=f"custom.{SCORE}", value="12"),
    SendEmail(subject="Hi {{ contact.first_name }}", body="x", reply_to="a@x.test"),
    Webhook(url="https://x.test:8443/a?b={{ contact.email }}", headers={"X-Key": "1"}),
    Webhook(url="http://127.0.0.1:9/", method="GET", body=""),
    Wait(),
    Wait(mode="until", until="2026-12-01T09:00"),
    Wait(past="skip_to"),  # left over from another mode; a duration is never over on arrival
    Branch(branches=[lane("b1", ask("state", "is", "CA"))]),
    Goal(filter=ask("tags", "any_of", [str(VIP)])),
    Exit(),
]


def problems(*steps: StepConfig) -> list[str]:
    return [
        f"{problem.key} {problem.field}: {problem.message}" for problem in lint(draft(*steps), FIELDS, NAMES)
    ]


def test_a_good_draft_may_go_live() -> None:
    assert problems(*GOOD) == []
    assert program(*GOOD).version.workflow_id == WORKFLOW


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (AddTag(), "tag"),
        (AddTag(tag=WORKFLOW), "tag"),
        (UpdateField(), "field"),
        (UpdateField(field="citty", value="x"), "field"),
        (UpdateField(field="email", value="x"), "field"),
        (UpdateField(field="tags", value="x"), "field"),
        (UpdateField(field="city"), "value"),
        (UpdateField(field="city", value="{{ contact.citty }}"), "value"),
        (UpdateField(field=f"custom.{SCORE}", value="many"), "value"),
        (UpdateField(field="owner", value=str(WORKFLOW)), "value"),
        (UpdateField(field="time_zone", value="Mars/Base"), "value"),
        (SendEmail(body="x"), "subject"),
        (SendEmail(subject="x"), "body"),
        (SendEmail(subject="a\nb", body="x"), "subject"),
        (SendEmail(subject="{{ x }}", body="x"), "subject"),
        (SendEmail(subject="x", body="{{ contact.first_nam }}"), "body"),
        (SendEmail(subject="x", body="x", reply_to="nobody"), "reply_to"),
        (SendEmail(subject="x", body="x", reply_to="help@example"), "reply_to"),
        (SendEmail(subject="x", body="x", reply_to="a@x.test, b@x.test"), "reply_to"),
        (SendEmail(subject="x", body="x", from_name="a\r\nBcc: b"), "from_name"),
        (Webhook(), "url"),
        (Webhook(url="ftp://x.test"), "url"),
        (Webhook(url="javascript:alert(1)"), "url"),
        (Webhook(url="https://"), "url"),
        (Webhook(url="https://{{ contact.website }}/"), "url"),
        (Webhook(url="https://me:secret@x.test/"), "url"),
        (Webhook(url="https://x.test/a b"), "url"),
        (Webhook(url="https://x.test:99999/"), "url"),
        (Webhook(url="http://[::1/"), "url"),
        (Webhook(url="https://x.test", headers={"Bad name": "1"}), "headers"),
        (Webhook(url="https://x.test", headers={"Host": "1"}), "headers"),
        (Webhook(url="https://x.test", headers={"X": "a\r\nb"}), "headers"),
        (Webhook(url="https://x.test", body="{"), "body"),
        (Webhook(url="https://x.test", body="[" * 40_000), "body"),
        (Webhook(url="https://x.test", body='{"n": {{ contact.score }}}'), "body"),
        (Wait(amount=0), "amount"),
        (Wait(mode="until"), "until"),
        (Wait(mode="until", until="tomorrow"), "until"),
        (Branch(), "branches"),
        (Branch(branches=[lane("b1", None)]), "branches.0.filter"),
        (Branch(branches=[lane("b1", every())]), "branches.0.filter"),
        (Branch(branches=[lane("b1", every(ask("citty", "is", "x")))]), "branches.0.filter.items.0.field"),
        (Goal(), "filter"),
        (Goal(filter=ask("city", "empty"), on_unmet="wait", amount=0), "amount"),
    ],
)
def test_problems_of_steps(config: StepConfig, field: str) -> None:
    messages = problems(config)
    assert len(messages) == 1
    assert messages[0].startswith(f"s1 {field}: ")


@pytest.mark.parametrize(
    ("trigger", "field"),
    [
        (TagAdded(key="t1"), "tag"),
        (ContactUpdated(key="t1", fields=["citty"]), "fields"),
        (Manual(key="t1", sources=[]), "sources"),
        (ContactCreated(key="t1", filter=every()), "filter"),
        (ContactCreated(key="t1", filter=every(ask("city", "is"))), "filter.items.0.value"),
    ],
)
def test_problems_of_triggers(trigger: Trigger, field: str) -> None:
    problem_list = lint(replace(draft(Exit()), triggers=[trigger]), FIELDS, NAMES)
    assert [(problem.where, problem.key, problem.field) for problem in problem_list] == [
        ("trigger", "t1", field)
    ]


def test_problems_of_the_whole() -> None:
    assert [problem.where for problem in lint(Draft(), FIELDS, NAMES)] == ["workflow", "workflow"]
    odd = replace(draft(Exit()), entry=every(), settings=WorkflowSettings(reentry=Reentry.CONCURRENT_PER_KEY))
    assert [(problem.where, problem.field) for problem in lint(odd, FIELDS, NAMES)] == [
        ("entry", "entry"),
        ("settings", "key_field"),
    ]


def test_compile_errors_block_publishing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new_draft = draft(AddNote(text="{{ contact.scor }}"))
    unchecked = dataclasses.replace(kind_of(AddNote()), validate=lambda *_: iter(()))
    monkeypatch.setitem(_BY_CONFIG, AddNote, unchecked)
    assert lint(new_draft, FIELDS, NAMES) == []
    [problem] = blocking(new_draft, FIELDS, NAMES)
    assert (problem.where, problem.message.startswith("Step s1: There is no field")) == ("workflow", True)
    assert blocking(draft(*GOOD), FIELDS, NAMES) == []
