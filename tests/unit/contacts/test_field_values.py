"""What a contact stores for what was typed."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.contacts.domain import display_name, nameless, normalize
from app.fields.domain import FieldNames, key_error, key_of, label_error
from app.filters.fields import custom_field, field_catalog
from app.filters.normalize import TEXT_KEYS, is_plausible_phone

NUMBER = custom_field(UUID(int=1), "score", "Score", "number")
NOTE = custom_field(UUID(int=2), "note", "Note", "text")
FIELDS = field_catalog([NUMBER, NOTE])


@pytest.mark.parametrize(
    ("key", "typed", "stored"),
    [
        ("first_name", "  Ann\n Lee ", "Ann Lee"),
        ("first_name", " \t ", None),
        ("first_name", None, None),
        ("address", " 1 Way\n2nd floor ", "1 Way\n2nd floor"),
        ("email", " Ann@Example.COM ", "ann@example.com"),
        ("phone", "504-621-8927", "+15046218927"),
        ("phone", "+39 035 123456", "+39035123456"),
        ("phone2", "504-621-8927 ext. 4", "504-621-8927 ext. 4"),
        ("phone2", "ask Bob", "ask Bob"),
        # No numbers of the account's region: they stay as typed, and never look like E.164.
        ("phone", "06 12 34 56 78", "06 12 34 56 78"),
        ("phone", "12", "12"),
        ("phone", "abc", "abc"),
        ("phone", "+10612345678", "+1 0612345678"),
        ("phone", "+33 6 12 34 56 78", "+33612345678"),
        ("phone", "0033 6 12 34 56 78", "+33612345678"),
        ("phone", "(0044) 20 7946 0958", "+442079460958"),
        ("phone", "(415) 293-3313", "+14152933313"),
        ("phone", "\u202d(415) 293-3313\u202c", "+14152933313"),
        ("country", "Germany", "DE"),
        ("country", " deutschland ", "DE"),
        ("country", "de", "DE"),
        ("country", "U.S.A.", "US"),
        ("country", "the Netherlands", "NL"),
        ("country", "Cote d'Ivoire", "CI"),
        ("country", "Espan\u0303a", "ES"),
        ("country", "Narnia", "Narnia"),
        ("external_id", "9001", "9001"),
        ("external_id", " HubSpot : 9001 ", "hubspot:9001"),
        ("external_id", "ABC-1:x", "abc-1:x"),
        ("city", "Zu\u0308rich\u200b", "Zürich"),
        (NOTE.key, "Zu\u0308rich\u200b", "Zürich"),
        ("email", "zoe\u0308@xn--bcher-kva.example", "zoë@bücher.example"),
        ("website", "example.com/a", "https://example.com/a"),
        ("website", "HTTP://example.com", "HTTP://example.com"),
        ("postal_code", "01234", "01234"),
        ("time_zone", "europe/rome", "Europe/Rome"),
        (NUMBER.key, "12.0", 12),
        (NUMBER.key, 1.5, 1.5),
    ],
)
def test_a_value_as_it_is_stored(key: str, typed: Any, stored: Any) -> None:
    assert normalize({key: typed}, "US", FIELDS) == ({key: stored}, {})


@pytest.mark.parametrize(
    ("key", "typed"),
    [("email", "nonsense"), ("email", "a@b"), ("email", "a@x.example\nb@x.example"),
     ("website", "javascript://x y"),
     ("website", "ftp://example.com"), ("time_zone", "Mars/Base"), ("city", "x" * 201), ("city", "a\0b"),
     ("city", "\ud800"), ("city", ["x"]), (NUMBER.key, "many"), ("tags", "vip"), ("created_at", "2026-01-01"),
     ("nonsense", "x"), ("custom.nonsense", "x")],
)  # fmt: skip
def test_a_value_that_cannot_be_stored(key: str, typed: Any) -> None:
    clean, errors = normalize({key: typed}, "US", FIELDS)
    assert (clean, list(errors)) == ({}, [key])
    assert errors[key].endswith((".", "?", "”"))


@given(st.dictionaries(st.sampled_from([*TEXT_KEYS, *FIELDS]), st.text(max_size=60)))
def test_putting_the_result_in_again_changes_nothing(values: dict[str, str]) -> None:
    clean, errors = normalize(values, "US", FIELDS)
    assert set(clean) | set(errors) == set(values)
    assert not set(clean) & set(errors)
    assert normalize(clean, "US", FIELDS) == (clean, {})


@pytest.mark.parametrize(
    ("stored", "plausible"),
    [("+14152933313", True), ("+33612345678", True), ("06 12 34 56 78", False), ("12", False), ("abc", False),
     ("+1 0612345678", False), ("504-621-8927 ext. 4", False)],
)  # fmt: skip
def test_only_what_can_be_called_is_plausible(stored: str, plausible: bool) -> None:
    assert is_plausible_phone(stored) is plausible


def test_names() -> None:
    assert nameless({"city": "Oslo"})
    assert nameless({"phone": "+1"}) is None
    assert display_name({"last_name": "Lee", "first_name": "Ann", "email": "a@x"}) == "Ann Lee"
    assert display_name({"email": "a@x"}) == "a@x"
    assert display_name({}) == "Unnamed contact"


@given(st.text(max_size=60))
def test_every_label_gives_a_short_name(label: str) -> None:
    assert key_error(key_of(label)) == ""


@pytest.mark.parametrize(
    "label", ["City", "  id ", "first name", "Email", "owner", "Stage", "lead-stage", "tags"]
)
def test_a_label_leads_to_one_field(label: str) -> None:
    others = [FieldNames("Stage", "lead_stage", ["phase"])]
    assert label_error(" ".join(label.split()), others)
    assert label_error("Phase", others) == ""


@pytest.mark.parametrize(
    ("key", "is_free"),
    [("city", False), ("id", False), ("is", False), ("any_of", False), ("match", False), ("name", False),
     ("Stage", False), ("lead_stage", False), ("phase", False), ("stage", True)],
)  # fmt: skip
def test_a_short_name_leads_to_one_field(key: str, is_free: bool) -> None:
    assert (key_error(key, [FieldNames("Stage", "lead_stage", ["phase"])]) == "") is is_free


@pytest.mark.parametrize(
    ("label", "key"), [("Before", "before_field"), ("Id", "id_field"), ("Prénom", "prenom")]
)
def test_a_short_name_from_a_label_is_free(label: str, key: str) -> None:
    assert key_of(label) == key
