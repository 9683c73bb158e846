"""Statements over the rows of a batch: many rows in one statement, with one array per column.

    class NewEvent(msgspec.Struct, frozen=True):
        id: UUID
        kind: str
        data: JsonObject

    _INSERT_EVENTS = BatchStatement(NewEvent, '''
    insert into events (id, kind, data) select v.id, v.kind, cast(v.data as jsonb) from {v}
    ''')

    async def insert_events(session: AsyncSession, events: Sequence[NewEvent]) -> None:
        await write_batch(session, _INSERT_EVENTS, events)

`{v}` becomes a table `v` whose columns are the fields of the struct, with the types of the fields. JSON
arrives as text: the statement casts it to jsonb.

This is about ten times as fast as rows through the ORM. Arrays are passed as text, because the driver encodes
a list element by element, which costs several times as much. Only timestamps and booleans stay lists:
PostgreSQL parses the text of timestamps slowly."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from types import UnionType
from typing import Generic, Literal, TypeVar, get_args, get_origin
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.json_types import Json
from db.queries.statements import SqlValue, StructT, execute, fetch_all

RowT = TypeVar("RowT", bound=msgspec.Struct)
_Cell = UUID | int | str | Mapping[str, Json] | list[Json] | None
_Encode = Callable[[Iterable[_Cell]], str]


class BatchStatement(Generic[RowT]):
    """A statement that reads the rows of a batch as the table `{v}`; they are structs of the type `row`."""

    def __init__(self, row: type[RowT], sql: str) -> None:
        columns = {name: _column_type(row.__annotations__[name]) for name in row.__struct_fields__}
        self.row = row
        self.names = tuple(columns)
        self.statement = text(sql.replace("{v}", _table(columns)))
        self._encoders = tuple(_ENCODERS.get(kind) for kind in columns.values())

    def parameters(self, rows: Sequence[RowT]) -> dict[str, SqlValue]:
        """The columns of the rows by name, as the statement takes them."""
        columns = zip(*map(msgspec.structs.astuple, rows), strict=True)
        return {
            name: list(column) if encode is None else encode(column)
            for name, column, encode in zip(self.names, columns, self._encoders, strict=True)
        }


async def write_batch(
    session: AsyncSession, statement: BatchStatement[RowT], rows: Sequence[RowT], /, **values: SqlValue
) -> None:
    """Runs the statement for these rows; does nothing without rows."""
    if rows:
        await execute(session, statement.statement, **statement.parameters(rows), **values)


async def fetch_batch(
    session: AsyncSession,
    struct: type[StructT],
    statement: BatchStatement[RowT],
    rows: Sequence[RowT],
    /,
    **values: SqlValue,
) -> list[StructT]:
    """Runs the statement for these rows and returns what it returns; [] without rows."""
    if not rows:
        return []
    return await fetch_all(session, struct, statement.statement, **statement.parameters(rows), **values)


def _table(columns: Mapping[str, str]) -> str:
    arrays = [
        f"cast(cast(:{name} as text) as {_SQL_TYPES[kind]}[])"
        if kind in _ENCODERS
        else f"cast(:{name} as {_SQL_TYPES[kind]}[])"
        for name, kind in columns.items()
    ]
    return f"unnest({', '.join(arrays)}) v({', '.join(columns)})"


# By the type of a field, where a subclass of it (an enumeration) counts as the type.
_SQL_TYPES = {
    "uuid": "uuid",
    "int": "int",
    "text": "text",
    "json": "text",
    "boolean": "boolean",
    "time": "timestamptz",
}
_KINDS: dict[type, str] = {
    UUID: "uuid",
    bool: "boolean",
    int: "int",
    str: "text",
    datetime: "time",
    Mapping: "json",
    list: "json",
}


def _column_type(annotation: type | UnionType) -> str:
    """The kind of a field's column: `X | None` is X, a generic type is what it is made from,
    and a literal is the type of its values."""
    if isinstance(annotation, UnionType):
        [annotation] = [part for part in get_args(annotation) if part is not type(None)]
    made_from = get_origin(annotation) or annotation
    if made_from is Literal:
        made_from = type(get_args(annotation)[0])
    for base, name in _KINDS.items():
        if isinstance(made_from, type) and issubclass(made_from, base):
            return name
    raise TypeError(f"A batch has no columns of the type {annotation}.")


def _plain_array(values: Iterable[_Cell]) -> str:
    """The text of an array of numbers or ids. Equal values are encoded once."""
    column = list(values)
    written = {value: str(value) for value in set(column)}
    if None in written:
        written[None] = "NULL"
    return "{" + ",".join([written[value] for value in column]) + "}"


def _text_array(values: Iterable[_Cell]) -> str:
    """The text of an array of texts: `{"a",NULL,"b"}`. Equal values are encoded once."""
    column = list(values)
    written = {value: _quoted(str(value)) for value in set(column)}
    if None in written:
        written[None] = "NULL"
    return "{" + ",".join([written[value] for value in column]) + "}"


def _json_array(values: Iterable[_Cell]) -> str:
    return _text_array(None if value is None else msgspec.json.encode(value).decode() for value in values)


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


_ENCODERS: dict[str, _Encode] = {
    "uuid": _plain_array,
    "int": _plain_array,
    "text": _text_array,
    "json": _json_array,
}
