"""Rows of a batch handed over column by column, as the text of PostgreSQL's arrays.

The driver packs a list element by element, which costs several times as much as joining its text here and
reading it there. Only moments stay lists: their text is what PostgreSQL reads slowly.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import TextClause, text

_CAST = re.compile(r"cast\(:(\w+) as ((?:uuid|int|smallint|bigint|text)\[\])\)")


@cache
def reading_text(statement: TextClause) -> tuple[TextClause, frozenset[str]]:
    """The statement with its arrays read from text, and which of its parameters these are."""
    names = frozenset(name for name, _ in _CAST.findall(statement.text))
    return text(_CAST.sub(r"cast(cast(:\1 as text) as \2)", statement.text)), names


def columns(rows: Sequence[Mapping[str, Any]], texts: Iterable[str]) -> dict[str, Any]:
    """One value per column of rows that all have the same keys: an array's text for the columns in `texts`, a
    list for others. Dicts become JSON."""
    names = list(rows[0])
    take = itemgetter(*names, names[0])  # the first one twice: a single name would make no tuple
    values = zip(*map(take, rows), strict=True)
    parameters: dict[str, Any] = dict(zip(names, map(list, values), strict=False))
    for name in texts:
        if name in parameters:
            parameters[name] = array_text(parameters[name])
    return parameters


def array_text(values: Sequence[Any]) -> str:
    """An array of one dimension as PostgreSQL reads it: `{a,NULL,"b"}`. Each value is written once."""
    try:
        written = {value: _element(value) for value in set(values)}
    except TypeError:  # dicts
        values = [_json(value) if isinstance(value, dict) else value for value in values]
        written = {value: _element(value) for value in set(values)}
    return "{" + ",".join([written[value] for value in values]) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, UUID | int):
        return str(value)
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
