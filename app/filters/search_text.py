"""Text as lists sort it and searches look for it: without accents and case. `folded` is the function of the
same name in the database (`db/migrations/contact_keys.py`); `patterns_of` is what a search looks for in the
column `contacts.search`."""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

MOST_WORDS = 10
SHORTEST_PART = 3  # of a word that is found anywhere; a shorter one is found where a word begins
_MARKS = re.compile("[\u0300-\u036f]")


def _small_letters() -> dict[int, int]:
    """Lower case of what is left of capitals without their accents: Latin, Greek, Cyrillic, Armenian. A fixed
    table, because the database's `lower()` depends on its locale."""
    pairs = {code: code + 32 for code in (*range(0x41, 0x5B), *range(0x391, 0x3AA), *range(0x410, 0x430))}
    pairs |= {code: code + 80 for code in range(0x400, 0x410)} | {0x4C0: 0x4CF}
    pairs |= {code: code + 48 for code in range(0x531, 0x557)}
    for first, last in ((0x460, 0x480), (0x48A, 0x4BE), (0x4D0, 0x52E)):
        pairs |= {code: code + 1 for code in range(first, last + 1, 2)}
    pairs |= {code: code + 1 for code in range(0x4C1, 0x4CE, 2)}
    # Letters that are no accented form of another: Ø Đ Ł Ħ Ŋ and their like, the dotless i, the final sigma.
    pairs |= {0xD8: 0x6F, 0xF8: 0x6F, 0x110: 0x64, 0x111: 0x64, 0x141: 0x6C, 0x142: 0x6C, 0x126: 0x68}
    return pairs | {0x127: 0x68, 0x131: 0x69, 0x14A: 0x14B, 0x18F: 0x259, 0x3C2: 0x3C3}


SMALL_LETTERS = _small_letters()
# Æ Œ Þ Ð and ß, in either case.
SPELLED_OUT = {
    "\u00c6": "ae", "\u00e6": "ae", "\u0152": "oe", "\u0153": "oe", "\u00de": "th", "\u00fe": "th",
    "\u00d0": "d", "\u00f0": "d", "\u1e9e": "ss", "\u00df": "ss",
}  # fmt: skip
_FOLDING = str.maketrans({**{chr(code): chr(small) for code, small in SMALL_LETTERS.items()}, **SPELLED_OUT})


def folded(text: str) -> str:
    """The text without accents and case."""
    if text.isascii():
        return text.lower()
    return _MARKS.sub("", unicodedata.normalize("NFKD", text)).translate(_FOLDING)


_TELEPHONE = re.compile(r"[\d+()/. -]+", re.ASCII)
_TRUNK = re.compile(r"\(0\)")  # +44 (0)20 …
_NO_DIGIT = re.compile(r"\D", re.ASCII)


def phone_digits(text: str) -> list[str]:
    """What is stored of the phone number that this text is, as digits: as they are, and without the prefix
    that calls abroad (00, 011) or into another town (0). Empty when it is no part of a number."""
    if not _TELEPHONE.fullmatch(text):
        return []
    digits = _NO_DIGIT.sub("", _TRUNK.sub("", text))
    called = [digits.removeprefix(prefix) for prefix in ("00", "011", "0") if digits.startswith(prefix)]
    spellings = [digits, *called]
    return [spelling for spelling in spellings if len(spelling) >= SHORTEST_PART]


@lru_cache(maxsize=256)
def patterns_of(q: str) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """The LIKE patterns of a search: of one of the tuples, each tuple inside has one that matches.

    Every word occurs somewhere; one of fewer than three letters where a word begins. Words that are digits
    and signs may also be one phone number together."""
    text = folded(q)
    words = text.split()[:MOST_WORDS]
    alternatives = [tuple(tuple(_patterns_of_word(word)) for word in words)]
    whole = phone_digits(text) if len(words) > 1 else []
    if whole:
        alternatives.append((tuple(map(_anywhere, whole)),))
    return tuple(alternatives)


def _patterns_of_word(word: str) -> Iterator[str]:
    yield _anywhere(word) if len(word) >= SHORTEST_PART else f"% {escaped(word)}%"
    yield from (_anywhere(digits) for digits in phone_digits(word) if digits != word)


def _anywhere(part: str) -> str:
    return f"%{escaped(part)}%"


def escaped(text: str) -> str:
    """Text as a part of a LIKE pattern."""
    return re.sub(r"([\\%_])", r"\\\1", text)


def pattern_within(text: str, *, starts: bool = False) -> str | None:
    """The pattern of contacts in which this text may occur, or with which a value `starts`; None when it is
    too short to find any by it."""
    part = folded(text)
    if starts:
        return f"% {escaped(part)}%" if part.strip() else None
    return _anywhere(part.strip()) if len(part.strip()) >= SHORTEST_PART else None
