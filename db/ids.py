"""Row ids: UUID version 7 (RFC 9562), made here so that PostgreSQL 15 works too and inserts stay in order."""

import os
import time
from uuid import UUID


def uuid7(milliseconds: int | None = None) -> UUID:
    """A new id whose first 48 bits are Unix milliseconds; the rest is random."""
    stamp = int(time.time() * 1000) if milliseconds is None else milliseconds
    random = int.from_bytes(os.urandom(10), "big")
    value = (stamp & 0xFFFFFFFFFFFF) << 80 | 0x7 << 76 | (random >> 68 & 0xFFF) << 64
    return UUID(int=value | 0b10 << 62 | random & 0x3FFFFFFFFFFFFFFF)
