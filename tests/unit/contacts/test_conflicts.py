"""Which fields of a form on an older revision are written, left alone, and disputed."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from app.contacts.domain import LaterEdit, compare, edits_since

AT = datetime(2026, 11, 30, 9, tzinfo=UTC)


class RevisionEntry(msgspec.Struct, frozen=True):
    rev: int
    changes: dict[str, Any]
    actor_name: str = "Bob"
    occurred_at: datetime = AT


def test_edits_since_a_revision_keep_the_first_value_and_the_last_actor() -> None:
    entries = [
        RevisionEntry(2, {"city": ["Oslo", "Bergen"]}),
        RevisionEntry(3, {"tag": [None, "vip"]}),
        RevisionEntry(3, {"city": ["Bergen", "Moss"], "phone": [None, "+1"]}, "Cai"),
    ]
    edits = edits_since(entries, 1, 3)
    assert edits is not None
    assert edits["city"] == LaterEdit("Oslo", "Cai", AT)
    assert edits["phone"].before is None


@pytest.mark.parametrize("revs", [[], [3], [2, 3, 4]])
def test_edits_are_unknown_when_a_revision_has_no_entry(revs: list[int]) -> None:
    assert edits_since([RevisionEntry(rev, {}) for rev in revs], 1, 3) is None
    assert edits_since([], 4, 3) is None, "a revision that doesn't exist yet"


@pytest.mark.parametrize(
    ("sent", "stored", "verdict"),
    [
        ("Moss", "Bergen", "disputed"),
        ("Oslo", "Bergen", "untouched"),  # as it was in the form's revision
        ("Bergen", "Bergen", "own"),  # both typed the same
        ("Moss", "Oslo", "own"),  # changed, and changed back
    ],
)
def test_a_field_that_was_changed_meanwhile(sent: str, stored: str, verdict: str) -> None:
    edits = {"city": LaterEdit("Oslo", "Bob", AT)}
    compared = compare({"city": [sent], "phone": ["+1"]}, {"city": [stored], "phone": [None]}, edits)
    assert "city" in getattr(compared, verdict)
    assert "phone" in compared.own


def test_spellings_of_a_value_count_as_the_same() -> None:
    """The audit log names the owner, and a form sends "" for what is empty."""
    edits = {"owner": LaterEdit("Ann", "Bob", AT), "city": LaterEdit(None, "Bob", AT)}
    sent: dict[str, list[object]] = {"owner": ["7", "7", "Ann"], "city": [None, "", None]}
    compared = compare(sent, {"owner": ["8", "8", "Cai"], "city": ["Oslo"]}, edits)
    assert sorted(compared.untouched) == ["city", "owner"]
