"""Every trigger kind, every re-entry policy, caps and consent: the verdicts."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from app.engine.core.draft import Audience, Reentry, WorkflowSettings
from app.engine.core.entry_rules import History, Verdict, at_path, decide_entry, entry_key
from app.engine.core.events import EngineEvent, Source, stored_event_data
from app.engine.core.steps import AddTag, Exit, SendEmail, SendSms, Wait
from app.engine.core.trigger_index import TriggerIndex, required_consents
from app.engine.core.triggers import (
    TRIGGERS,
    ContactDeleted,
    ContactUpdated,
    DateReached,
    EmailEvent,
    FieldChanged,
    InboundWebhook,
    Manual,
    NoteAdded,
    Schedule,
    SegmentEntered,
    SegmentLeft,
    TagRemoved,
    TaskAdded,
    TaskCompleted,
    TaskOverdue,
    Trigger,
    WorkflowEnded,
)
from tests.support.engine_kit import CONTACT, NOW, VIP, WORKFLOW, contact_facts, program

OTHER, SEGMENT = UUID(int=101), UUID(int=102)
MINE = f"{WORKFLOW}:t1"


def event(kind: str, source: str = "user", **data: Any) -> EngineEvent:
    return EngineEvent(UUID(int=1), kind, Source(source), CONTACT, data)


def plan(before: Any, after: Any) -> EngineEvent:
    return event("contact.updated", changes={"city": [before, after]})


ADMITTED: list[tuple[Trigger, EngineEvent, bool]] = [
    (FieldChanged(field="city"), plan("Rome", "Oslo"), True),
    (FieldChanged(field="state"), plan("Rome", "Oslo"), False),
    (FieldChanged(field="city", after_is="value", after="oslo "), plan("Rome", "Oslo"), True),
    (FieldChanged(field="city", after_is="value", after="Rome"), plan("Rome", "Oslo"), False),
    (FieldChanged(field="city", after_is="empty"), plan("Rome", None), True),
    (FieldChanged(field="city", after_is="empty"), plan("Rome", "Oslo"), False),
    (FieldChanged(field="city", after_is="value", after="5"), plan(None, 5.0), True),
    (FieldChanged(field="city", after_is="value", after="true"), plan(None, True), True),
    (ContactDeleted(), event("contact.deleted"), True),
    (TagRemoved(tag=VIP), event("tag.removed", tag_id=str(VIP)), True),
    (TagRemoved(tag=VIP), event("tag.added", tag_id=str(VIP)), False),
    (NoteAdded(), event("note.added", note_id="n"), True),
    (TaskAdded(), event("task.added", task_id="t"), True),
    (TaskCompleted(), event("task.completed", task_id="t"), True),
    (TaskOverdue(), event("task.overdue", "system", task_id="t"), True),
    (SegmentEntered(segment=SEGMENT), event("segment.entered", segment_id=str(SEGMENT)), True),
    (SegmentEntered(segment=OTHER), event("segment.entered", segment_id=str(SEGMENT)), False),
    (SegmentLeft(segment=SEGMENT), event("segment.left", segment_id=str(SEGMENT)), True),
    (InboundWebhook(key="t1"), event("webhook.received", "api", trigger=MINE, body={}), True),
    (InboundWebhook(key="t2"), event("webhook.received", "api", trigger=MINE, body={}), False),
    (EmailEvent(event="bounced"), event("email.bounced", "system"), True),
    (EmailEvent(event="delivered"), event("email.bounced", "system"), False),
    (DateReached(key="t1"), event("date.reached", "system", trigger=MINE, day="2026-11-24"), True),
    (Schedule(key="t1"), event("schedule.fired", "system", trigger=MINE, at="x"), True),
    (Schedule(key="t1"), event("schedule.fired", "system", trigger=f"{OTHER}:t1"), False),
    (WorkflowEnded(workflow=OTHER), event("enrollment.ended", "workflow", workflow_id=str(OTHER)), True),
    (WorkflowEnded(workflow=OTHER), event("enrollment.ended", "workflow", workflow_id=str(WORKFLOW)), False),
    (
        WorkflowEnded(workflow=OTHER, statuses=["completed", "failed"]),
        event("enrollment.ended", "workflow", workflow_id=str(OTHER), status="failed"),
        True,
    ),
    (
        WorkflowEnded(workflow=OTHER, statuses=["completed"]),
        event("enrollment.ended", "workflow", workflow_id=str(OTHER), status="failed"),
        False,
    ),
]


@pytest.mark.parametrize(("trigger", "happened", "expected"), ADMITTED)
def test_trigger_kinds_admit_their_events(trigger: Trigger, happened: EngineEvent, expected: bool) -> None:
    index = TriggerIndex([program(Exit(), triggers=[trigger])])
    assert bool(index.candidates(happened)) is expected


def test_every_trigger_kind_is_covered() -> None:
    beside = {"contact_created", "contact_updated", "tag_added", "manual"}
    here = {str(trigger.__struct_config__.tag) for trigger, _, _ in ADMITTED}
    assert here | beside == set(TRIGGERS)


def decide(
    trigger: Trigger, happened: EngineEvent, history: History | None = None,
    settings: WorkflowSettings | None = None, steps: tuple[Any, ...] = (Exit(),), cap: int = 0, **person: Any,
) -> Any:  # fmt: skip
    compiled_program = program(*steps, triggers=[trigger], settings=settings)
    [candidate] = TriggerIndex([compiled_program]).candidates(happened)
    return decide_entry(
        candidate, happened, history or History(), contact_facts(**person), NOW, entries_last_day=cap
    )


def test_a_change_from_another_value_is_filter_false() -> None:
    trigger = FieldChanged(key="t1", field="city", before_is="value", before="ROME")
    assert decide(trigger, plan("Rome", "Oslo")).verdict is Verdict.ENROLLED
    refused = decide(trigger, plan("Bonn", "Oslo"))
    assert refused.verdict is Verdict.FILTER_FALSE
    assert refused.detail["values"] == {"changes": {"city": ["Bonn", "Oslo"]}}
    unset = FieldChanged(key="t1", field="city", before_is="empty")
    assert decide(unset, plan(None, "Oslo")).verdict is Verdict.ENROLLED
    assert decide(unset, plan("Rome", "Oslo")).verdict is Verdict.FILTER_FALSE


LIVE = History(frozenset({""}), True)
ENDED = History(frozenset(), True, NOW - timedelta(hours=1))
HOURS: Any = "hours"
AGAIN = WorkflowSettings(reentry=Reentry.AFTER_EXIT, cooldown=2, cooldown_unit=HOURS)
ANY_TRIGGER = [(trigger, happened) for trigger, happened, admitted in ADMITTED if admitted]


@pytest.mark.parametrize(("trigger", "happened"), ANY_TRIGGER)
@pytest.mark.parametrize(
    ("reentry", "past", "expected"),
    [
        (WorkflowSettings(), LIVE, Verdict.ALREADY_ACTIVE),
        (WorkflowSettings(), ENDED, Verdict.REENTRY_ONCE),
        (AGAIN, LIVE, Verdict.ALREADY_ACTIVE),
        (AGAIN, ENDED, Verdict.REENTRY_COOLDOWN),
        (
            WorkflowSettings(reentry=Reentry.CONCURRENT_PER_KEY, key_field="state"),
            LIVE,
            Verdict.ALREADY_ACTIVE,
        ),
        (WorkflowSettings(reentry=Reentry.CONCURRENT_PER_KEY, key_field="state"), ENDED, Verdict.ENROLLED),
        (WorkflowSettings(reentry=Reentry.RESTART), LIVE, Verdict.ENROLLED),
        (WorkflowSettings(reentry=Reentry.RESTART), ENDED, Verdict.ENROLLED),
    ],
)
def test_no_trigger_bypasses_reentry(
    trigger: Trigger, happened: EngineEvent, reentry: WorkflowSettings, past: History, expected: Verdict
) -> None:
    decided = decide(trigger, happened, past, reentry)
    assert decided.verdict is expected
    assert decided.supersedes is (reentry.reentry is Reentry.RESTART and past is LIVE)


def test_audience_entries_follow_the_same_rules() -> None:
    requested = event("enrollment.requested", "user", workflow_id=str(WORKFLOW), audience=True)
    compiled_program = program(Exit(), triggers=[ContactUpdated(key="t1")])
    [candidate] = TriggerIndex([compiled_program]).candidates(requested)
    assert candidate.audience
    assert candidate.triggers == []
    entered = decide_entry(candidate, requested, History(), contact_facts(), NOW)
    assert entered.verdict is Verdict.ENROLLED
    assert entered.detail["audience"] is True
    assert decide_entry(candidate, requested, LIVE, contact_facts(), NOW).verdict is Verdict.ALREADY_ACTIVE
    assert (
        TriggerIndex([compiled_program]).candidates(event("enrollment.requested", workflow_id=str(WORKFLOW)))
        == []
    )


def test_current_only_audience_ignores_later_events_except_manual() -> None:
    alone = WorkflowSettings(audience=Audience.CURRENT_ONLY)
    compiled_program = program(Exit(), triggers=[ContactUpdated(key="t1"), Manual(key="t2")], settings=alone)
    index = TriggerIndex([compiled_program])
    assert index.candidates(plan("a", "b")) == []
    assert len(index.candidates(event("enrollment.requested", workflow_id=str(WORKFLOW)))) == 1


def test_one_live_entry_per_key() -> None:
    settings = WorkflowSettings(reentry=Reentry.CONCURRENT_PER_KEY, key_field="event.order.lines.1.id")
    order = event("webhook.received", "api", trigger=MINE, body={"order": {"lines": [{}, {"id": 77}]}})
    first = decide(InboundWebhook(key="t1"), order, None, settings)
    assert (first.verdict, first.entry_key) == (Verdict.ENROLLED, "77")
    again = decide(InboundWebhook(key="t1"), order, History(frozenset({"77"}), True), settings)
    assert (again.verdict, again.detail["entry_key"]) == (Verdict.ALREADY_ACTIVE, "77")
    other = decide(InboundWebhook(key="t1"), order, History(frozenset({"78", ""}), True), settings)
    assert other.verdict is Verdict.ENROLLED


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"k": "  a "}, "a"),
        ({"k": None}, ""),
        ({}, ""),
        ({"k": True}, "true"),
        ({"k": {"b": 1, "a": 2}}, '{"a":2,"b":1}'),
    ],
)
def test_entry_keys(body: Any, key: str) -> None:
    settings = WorkflowSettings(reentry=Reentry.CONCURRENT_PER_KEY, key_field="event.k")
    compiled_program = program(Exit(), triggers=[InboundWebhook(key="t1")], settings=settings)
    assert (
        entry_key(compiled_program, event("webhook.received", trigger=MINE, body=body), contact_facts())
        == key
    )


def test_an_overlong_entry_key_stays_distinct() -> None:
    settings = WorkflowSettings(reentry=Reentry.CONCURRENT_PER_KEY, key_field="city")
    compiled_program = program(Exit(), triggers=[ContactUpdated(key="t1")], settings=settings)
    keys = {entry_key(compiled_program, plan("a", "b"), contact_facts(city="x" * 300 + end)) for end in "ab"}
    assert len(keys) == 2
    assert max(map(len, keys)) <= 200


MAIL, SMS = SendEmail(subject="Hi", body="Hi"), SendSms(body="Hi")


@pytest.mark.parametrize(
    ("steps", "person", "expected"),
    [
        ((MAIL, Wait()), {"email_consent": "denied"}, Verdict.SUPPRESSED),
        ((MAIL, Wait()), {"email_consent": "unknown"}, Verdict.ENROLLED),
        ((MAIL, SMS), {"email_consent": "denied"}, Verdict.ENROLLED),
        ((MAIL, SMS), {"email_consent": "denied", "sms_consent": "denied"}, Verdict.SUPPRESSED),
        ((MAIL, AddTag(tag=VIP)), {"email_consent": "denied"}, Verdict.ENROLLED),
        (
            (SendEmail(subject="Hi", body="Hi", transactional=True),),
            {"email_consent": "denied"},
            Verdict.ENROLLED,
        ),
        ((Wait(),), {"email_consent": "denied", "sms_consent": "denied"}, Verdict.ENROLLED),
    ],
)
def test_contacts_who_denied_every_channel_do_not_enter(
    steps: tuple[Any, ...], person: dict[str, str], expected: Verdict
) -> None:
    compiled_program = program(*steps, triggers=[ContactUpdated(key="t1")])
    [candidate] = TriggerIndex([compiled_program]).candidates(plan("a", "b"))
    facts = contact_facts()
    facts.values.update(person)
    assert decide_entry(candidate, plan("a", "b"), History(), facts, NOW).verdict is expected


def test_required_consents_names_the_consents_that_are_needed() -> None:
    assert required_consents(program(MAIL, SMS).version) == {"email_consent", "sms_consent"}


def test_the_cap_of_a_day() -> None:
    settings = WorkflowSettings(entry_cap=3)
    trigger = ContactUpdated(key="t1")
    assert decide(trigger, plan("a", "b"), settings=settings, cap=2).verdict is Verdict.ENROLLED
    refused = decide(trigger, plan("a", "b"), settings=settings, cap=3)
    assert (refused.verdict, refused.detail["limit"]) == (Verdict.ENTRY_CAP, 3)


def test_a_deleted_contact_enters_nothing() -> None:
    compiled_program = program(Exit(), triggers=[ContactUpdated(key="t1")])
    [candidate] = TriggerIndex([compiled_program]).candidates(plan("a", "b"))
    decided = decide_entry(candidate, plan("a", "b"), History(), None, NOW)
    assert (decided.verdict, decided.detail["contact"]) == (Verdict.SUPPRESSED, "deleted")


def test_what_an_enrollment_carries() -> None:
    assert stored_event_data(event("webhook.received", trigger=MINE, body={"a": 1})) == {"a": 1}
    assert stored_event_data(event("webhook.received", trigger=MINE, body=[1])) == {"body": [1]}
    assert stored_event_data(event("date.reached", trigger=MINE, day="2026-01-01")) == {"day": "2026-01-01"}
    assert stored_event_data(event("task.overdue", task_id="t")) == {"task_id": "t"}
    assert stored_event_data(plan("a", "b")) == {}


@pytest.mark.parametrize(
    ("path", "value"),
    [("a.0.b", 1), ("a.1.b", None), ("a.b", None), ("a.0.b.c", None), ("", None), ("c", "x")],
)
def test_paths(path: str, value: object) -> None:
    assert at_path({"a": [{"b": 1}], "c": "x"}, path) == value
