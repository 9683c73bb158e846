"""Filters on phones take every spelling that a person types."""

import pytest

from app.filters.ast import Op
from app.filters.phone_conditions import matches, operand_of

AMERICAN, BRITISH, TYPED = "+14152933313", "+442079460000", "06 12 34 56 78"


@pytest.mark.parametrize(
    ("op", "typed", "stored", "expected"),
    [
        (Op.IS, "(415) 293-3313", AMERICAN, True),
        (Op.IS, "+1 415 293 3313", AMERICAN, True),
        (Op.IS, "001 415.293.3313", AMERICAN, True),
        (Op.IS, "+49 415 293 3313", AMERICAN, False),
        (Op.IS, "020 7946 0000", BRITISH, True),
        (Op.IS, "+44 (0)20 7946 0000", BRITISH, True),
        (Op.IS, "0044 20 79460000", BRITISH, True),
        (Op.IS, "0000", BRITISH, False),
        (Op.IS, "0612345678", TYPED, True),
        (Op.STARTS, "+1 415", AMERICAN, True),
        (Op.STARTS, "(415)", AMERICAN, True),
        (Op.STARTS, "020 79", BRITISH, True),
        (Op.STARTS, "293", AMERICAN, False),
        (Op.CONTAINS, "293-33", AMERICAN, True),
        (Op.CONTAINS, "293 44", AMERICAN, False),
        (Op.ENDS, "33 13", AMERICAN, True),
        (Op.ENDS, "33 14", AMERICAN, False),
    ],
)
def test_numbers_are_compared_by_their_digits(op: Op, typed: str, stored: str, expected: bool) -> None:
    operand = operand_of(typed)
    assert operand is not None
    assert matches(op, stored, operand) is expected


@pytest.mark.parametrize("typed", ["", "41", "call me", "415a", "+"])
def test_other_text_is_no_number(typed: str) -> None:
    assert operand_of(typed) is None
