"""Row ids: UUID version 7 (RFC 9562), generated here so that PostgreSQL 15 works too and inserts stay in
order."""

import hashlib
import os
import time
from datetime import datetime
from uuid import UUID

from asyncpg.pgproto import pgproto

_RANDOM = 10
_pool = bytearray()
os.register_at_fork(after_in_child=_pool.clear)


def _random() -> int:
    """80 random bits; the system is asked for many at a time."""
    if len(_pool) < _RANDOM:
        _pool[:] = os.urandom(400 * _RANDOM)
    bits = int.from_bytes(_pool[-_RANDOM:], "big")
    del _pool[-_RANDOM:]
    return bits


_latest = 0  # the first 60 bits of the latest id without its version: milliseconds, then a count


def uuid7(milliseconds: int | None = None) -> UUID:
    """A new id whose first 48 bits are Unix milliseconds. The ids of one process are in the order in which
    they were generated, so that events that follow from one another keep their order."""
    global _latest  # noqa: PLW0603 -- the order of a process is one thing
    random = _random()
    if milliseconds is None:
        _latest = head = max((time.time_ns() // 1_000_000) << 12, _latest + 1)
    else:
        head = milliseconds << 12 | random >> 68 & 0xFFF
    value = (head >> 12 & 0xFFFFFFFFFFFF) << 80 | 0x7 << 76 | (head & 0xFFF) << 64
    value |= 0b10 << 62 | random & 0x3FFFFFFFFFFFFFFF
    return pgproto.UUID(value.to_bytes(16, "big"))  # the driver's own class: created, hashed and printed in C


def uuid7_floor(moment: datetime) -> UUID:
    """Below every id that is generated from this moment on, by the clock of the machine."""
    return UUID(int=(int(moment.timestamp() * 1000) & 0xFFFFFFFFFFFF) << 80)


def derived_uuid(moment: datetime, *parts: str) -> UUID:
    """The id of something that happens once: the same for the same parts; ids are in the order of their
    moments."""
    digest = hashlib.sha256("\n".join(parts).encode()).digest()
    stamp = int(moment.timestamp() * 1000) & 0xFFFFFFFFFFFF
    random = int.from_bytes(digest[:10], "big")
    value = stamp << 80 | 0x7 << 76 | (random >> 68 & 0xFFF) << 64
    return UUID(int=value | 0b10 << 62 | random & 0x3FFFFFFFFFFFFFFF)
