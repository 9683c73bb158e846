"""Planted bugs: one place of the code each, and what a tired person might write there. A test must see it."""

import msgspec


class Bug(msgspec.Struct, frozen=True):
    """`find` stands exactly once in `file`. `tests` are pytest's arguments: one of them must fail."""

    name: str
    sentence: str
    file: str
    find: str
    replace: str
    tests: tuple[str, ...]
