"""Conditions that were compiled before, so that a filter is compiled once for a catalog of fields.

An entry goes with its catalog, which may be large: it must not stay for the sake of its conditions when no
cache holds it (read after a lock, say)."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeAlias
from weakref import ref

from sqlalchemy import BindParameter, ColumnElement
from sqlalchemy.sql import visitors

from app.filters.fields import FieldCatalog

Clause: TypeAlias = ColumnElement[bool]
MOST = 500
# Bytes of one entry, about 12 conditions: so one account cannot fill the memory of a process. A search with
# more of them takes so long that compiling it anew makes no difference.
LARGEST = 100_000
NODE = 300  # bytes of one part of a condition, with what SQLAlchemy remembers of it


class ConditionCache:
    """The conditions of a process, the least recently used first."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[Hashable, int], tuple[ref[FieldCatalog], Clause]] = OrderedDict()

    def get(
        self, encoded: bytes, context: Hashable, fields: FieldCatalog, build: Callable[[], Clause]
    ) -> Clause:
        """The condition of the filter that is encoded so, with this catalog, the object. `context` is what
        else it depends on."""
        key = ((encoded, context), id(fields))
        entry = self._entries.get(key)
        if entry is not None and entry[0]() is fields:
            self._entries.move_to_end(key)
            return entry[1]
        clause = build()
        if len(encoded) + size_of(clause) <= LARGEST:
            self._entries[key] = ref(fields, lambda _: self._entries.pop(key, None)), clause
            if len(self._entries) > MOST:
                self._entries.popitem(last=False)
        return clause


def size_of(clause: Clause) -> int:
    """About how many bytes a condition takes, with its values."""
    return sum(
        NODE + (len(repr(node.value)) if isinstance(node, BindParameter) else 0)
        for node in visitors.iterate(clause)
    )
