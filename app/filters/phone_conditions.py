"""Compares phone numbers with what a person types: `(415) 293-3313`, `0044 20 …`, `+44 …` are digits here.

`operand_of` reads what was typed, `matches` compares; `db.indexed_conditions` has the same as SQL."""

import msgspec

from app.filters.ast import Op
from app.filters.search_text import phone_digits

PHONES = ("phone", "phone2")
SIGNS = "+-()./ "
SHORTEST_NATIONAL = 7  # digits of a number without its country that is a whole number
COUNTRY_CODES = (1, 2, 3)  # how many digits the code of a country may have
_REMOVED = str.maketrans("", "", SIGNS)


class PhoneOperand(msgspec.Struct, frozen=True):
    """Digits as they may be stored; `national` is whether the country is missing."""

    digits: tuple[str, ...]
    national: bool


def operand_of(text: str) -> PhoneOperand | None:
    """What was typed as a number, or as a part of at least three digits; None for other text."""
    typed = text.strip()
    digits = phone_digits(typed)
    return PhoneOperand(tuple(digits), not typed.startswith(("+", "00", "011"))) if digits else None


def digits_of(stored: str) -> str:
    """A stored number without its signs."""
    return stored.translate(_REMOVED)


def matches(op: Op, stored: str, operand: PhoneOperand) -> bool:
    """Whether a stored number is the operand, or starts with, ends with or contains it."""
    number = digits_of(stored)
    return any(_matches(op, number, stored, digits, operand.national) for digits in operand.digits)


def _matches(op: Op, number: str, stored: str, digits: str, national: bool) -> bool:
    if op is Op.CONTAINS:
        return digits in number
    if op is Op.ENDS:
        return number.endswith(digits)
    if op is Op.STARTS:
        within = national and stored.startswith("+")
        return number.startswith(digits) or (
            within and any(number[length:].startswith(digits) for length in COUNTRY_CODES)
        )
    whole = national and len(digits) >= SHORTEST_NATIONAL
    return number == digits or (whole and number.endswith(digits))
