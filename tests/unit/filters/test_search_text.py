"""Text without accents and case, and what a search looks for."""

import pytest

from app.filters.search_text import escaped, folded, patterns_of, phone_digits


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("Álvaro NÚÑEZ", "alvaro nunez"),
        ("A\u0301lvaro", "alvaro"),  # decomposed
        ("Łódź Øst Ærø Straße ẞ Þór", "lodz ost aero strasse ss thor"),
        ("ΑΘΗΝΑ Αθήνας", "αθηνα αθηνασ"),
        ("Йошкар-Ола Ёлка", "иошкар-ола елка"),
        ("ＡＢＣ ﬁn", "abc fin"),
        ("東京", "東京"),
        ("İstanbul ılık", "istanbul ilik"),
        ("plain O'Brien %_\\", "plain o'brien %_\\"),
    ],
)
def test_accents_and_case_are_ignored(text: str, bare: str) -> None:
    assert folded(text) == bare
    assert folded(bare) == bare


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("(415) 293-3313", ["4152933313"]),
        ("+1 415.293.3313", ["14152933313"]),
        ("0044 20 7946 0000", ["00442079460000", "442079460000", "0442079460000"]),
        ("020 7946 0000", ["02079460000", "2079460000"]),
        ("+44 (0)20 7946 0000", ["442079460000"]),
        ("293-33", ["29333"]),
        ("12", []),
        ("415a", []),
        ("", []),
    ],
)
def test_a_phone_number_is_found_by_its_digits(text: str, digits: list[str]) -> None:
    assert sorted(phone_digits(text)) == sorted(digits)


def test_each_word_has_a_pattern() -> None:
    assert patterns_of("Álvaro Ñu") == ((("%alvaro%",), ("% nu%",)),)
    assert patterns_of("a") == ((("% a%",),),)
    assert patterns_of("50%_\\") == ((("%50\\%\\_\\\\%",),),)
    assert patterns_of("(415) 293-3313") == (
        (("%(415)%", "%415%"), ("%293-3313%", "%2933313%")),
        (("%4152933313%",),),
    )
    assert patterns_of(" ") == ((),)


def test_what_like_would_read_is_escaped() -> None:
    assert escaped("a%b_c\\") == "a\\%b\\_c\\\\"
