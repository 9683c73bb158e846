"""Passes the rows of a batch to PostgreSQL column by column, as the text of arrays.

The driver encodes a list element by element, which costs several times as much as building the text of the
array here. Only timestamps stay lists, because PostgreSQL parses their text slowly.
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
    """The statement with its array parameters cast from text, and the names of these parameters."""
    names = frozenset(name for name, _ in _CAST.findall(statement.text))
    return text(_CAST.sub(r"cast(cast(:\1 as text) as \2)", statement.text)), names


def columns(rows: Sequence[Mapping[str, Any]], texts: Iterable[str]) -> dict[str, Any]:
    """One value per column of rows that all have the same keys: the text of an array for the columns in
    `texts`, a list for the others. Dicts become JSON."""
    names = list(rows[0])
    take = itemgetter(
        *names, names[0]
    )  # the first name twice: with a single name itemgetter returns no tuple
    values = zip(*map(take, rows), strict=True)
    parameters: dict[str, Any] = dict(zip(names, map(list, values), strict=False))
    for name in texts:
        if name in parameters:
            parameters[name] = array_text(parameters[name])
    return parameters


def array_text(values: Sequence[Any]) -> str:
    """The text of a one-dimensional array: `{a,NULL,"b"}`. Equal values are encoded once."""
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
