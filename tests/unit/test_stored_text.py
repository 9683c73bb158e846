"""What is left of a text when it is stored."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.stored_text import clean_text

FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
RUNNER = "\U0001f3c3\U0001f3fe\u200d\u2640\ufe0f"
SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("Ana Bo", "Ana Bo"),
        (unicodedata.normalize("NFD", "Zoë Ångström"), unicodedata.normalize("NFC", "Zoë Ångström")),
        ("A\u200bn\u00ada\u2060", "Ana"),
        ("\ufeffAna", "Ana"),
        ("\u202eanA\u202c", "anA"),
        ("\u2066Ana\u2069\u200e\u200f\u061c", "Ana"),
        ("An\x07a\x7f\x9f", "Ana"),
        ("1 Way\n2nd floor\tleft", "1 Way\n2nd floor\tleft"),
        ("1 Way\u20282nd floor", "1 Way\n2nd floor"),
        ("e\u034f\u0301", "é"),
        ("A\U000e0041\U000e0042", "A"),
        # Joiners mean something between letters that join, and inside of an emoji.
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("क्\u200dष", "क्\u200dष"),
        (FAMILY, FAMILY),
        (RUNNER, RUNNER),
        (SCOTLAND, SCOTLAND),
        ("A\u200dna\u200c", "Ana"),
        ("علی\u200c", "علی"),
        ("\U0001f469\u200d", "\U0001f469"),
    ],
)
def test_what_looks_the_same_is_the_same(typed: str, stored: str) -> None:
    assert clean_text(typed) == stored


@given(st.text(max_size=40))
def test_cleaning_twice_changes_nothing(text: str) -> None:
    once = clean_text(text)
    assert clean_text(once) == once
    assert unicodedata.is_normalized("NFC", once)
