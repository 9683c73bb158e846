"""Bugs that a tired developer might write. A test must catch each (`tests/faults/planted_bugs.py`)."""

import msgspec


class Bug(msgspec.Struct, frozen=True):
    """Replaces `find`, which stands exactly once in `file`. `tests` are arguments of pytest; one of the tests
    must fail."""

    name: str
    sentence: str
    file: str
    find: str
    replace: str
    tests: tuple[str, ...]
