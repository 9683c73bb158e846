"""What a decision keeps of the values it saw, and how that reads."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from app.enrollments.decision_values import ValueNames, decision_values
from app.filters.ast import Filter
from app.filters.explain import explain
from app.filters.facts import ContactWorkflows, Facts, Happened
from tests.support.engine_kit import (
    ANN,
    FIELDS,
    GONE,
    MEMBER,
    NOW,
    RENEWAL,
    TAGS,
    TEXANS,
    VIP,
    WARM,
    WELCOME,
    ask,
    contact_facts,
    every,
)

NAMES = ValueNames(FIELDS, TAGS, NOW, "Europe/Paris")


def recorded_values(condition: Filter, facts: Facts) -> Any:
    """As it comes back from the database."""
    return msgspec.json.decode(msgspec.json.encode(explain(condition, facts, FIELDS, NOW)))


def labeled_values(recorded: Any) -> list[tuple[str, str]]:
    return [(value.label, value.words) for value in decision_values({"values": recorded}, NAMES)]


def test_segments_are_shown_by_name() -> None:
    condition = ask("segments", "any_of", [str(TEXANS), str(WARM), str(GONE)])
    recorded = recorded_values(condition, contact_facts({VIP}, state="CA"))
    assert recorded == {"segments": {"in": [str(TEXANS), str(WARM)], "not_in": [str(GONE)]}}
    [seen_value] = decision_values({"values": recorded}, NAMES)
    assert (seen_value.value, seen_value.words) == (recorded["segments"], "in Texans, Warm · not in Gone")
    assert seen_value.names == {str(TEXANS): "Texans", str(WARM): "Warm", str(GONE): "Gone"}


def test_workflows_are_shown_by_name_with_the_contacts_status() -> None:
    person = contact_facts()
    person.workflows = ContactWorkflows({WELCOME}, {WELCOME, RENEWAL}, set())
    condition = every(
        ask("workflows", "never_in", [str(WELCOME)]),
        ask("workflows", "completed", [str(RENEWAL), str(UUID(int=9))]),
    )
    recorded = recorded_values(condition, person)
    assert recorded["workflows"]["past"] == [str(RENEWAL)]
    assert labeled_values(recorded) == [
        ("Workflows", "now in Welcome · was in Renewal · never in a deleted workflow")
    ]


def test_history_shows_what_was_counted() -> None:
    person, day = contact_facts(), timedelta(days=1)
    person.history = [
        Happened("tag.added", NOW - day),
        Happened("contact.updated", NOW - day, {"city": ["Rome", "Oslo"]}),
        Happened("contact.updated", NOW - day, {"owner": [None, str(ANN)]}),
        Happened("tag.added", NOW - 40 * day),
    ]
    condition = every(
        ask("history", "happened", ["tag.added", 3, "30 days"]),
        ask("history", "changed_to", ["city", "Paris", "1 week"]),
        ask("history", "changed", ["owner", "2 days"]),
        ask("history", "changed", ["state", "2 days"]),
    )
    [(label, words)] = labeled_values(recorded_values(condition, person))
    assert (label, words.split(" · ")) == (
        "History",
        [
            "Tag added once in the last 30 days",
            "City changed once in the last 1 week (Rome → Oslo)",
            "Owner changed once in the last 2 days (empty → Ann)",
            "State changed 0 times in the last 2 days",
        ],
    )


def test_members_tags_times_and_empty_values_are_shown_as_text() -> None:
    condition = every(
        ask("owner", "is", str(UUID(int=9))),
        ask("tags", "any_of", [*TAGS]),
        ask("created_at", "today"),
        ask(f"custom.{MEMBER}", "true"),
        ask("city", "is", "Rome"),
    )
    person = contact_facts({VIP}, owner=str(ANN), created_at=NOW, member=False)
    assert labeled_values(recorded_values(condition, person)) == [
        ("Owner", "Ann"),
        ("Tags", "vip"),
        ("Created", "10:30"),
        ("Member", "no"),
        ("City", "empty"),
    ]
    assert labeled_values(recorded_values(condition, contact_facts()))[:2] == [
        ("Owner", "no one"),
        ("Tags", "none"),
    ]


def test_values_recorded_by_an_earlier_release_are_readable() -> None:
    old = {"segments": None, "history": None, "custom.x": "y", "changes": {"owner": [str(ANN), None]}}
    assert labeled_values(old) == [
        ("Segments", "not stored"),
        ("History", "not stored"),
        ("A deleted field", "y"),
        ("Changed", "Owner: Ann → empty"),
    ]
    assert labeled_values(None) == []
