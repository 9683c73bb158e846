"""How the rows of a batch become arrays."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

import msgspec
import pytest

from app.json_types import JsonObject
from db.queries.batch_statements import BatchStatement

ID = UUID("00000000-0000-7000-8000-000000000001")


class Color(StrEnum):
    RED = "red"


class ColoredRow(msgspec.Struct):
    id: UUID | None
    count: int
    color: str | None
    size: Literal["small", "large"]
    open: bool
    due_at: datetime | None
    data: JsonObject


STATEMENT = BatchStatement(ColoredRow, "select v.id from {v}")


def test_the_table_has_the_fields_of_the_struct_with_their_types() -> None:
    assert STATEMENT.statement.text == (
        "select v.id from unnest(cast(cast(:id as text) as uuid[]), cast(cast(:count as text) as int[]), "
        "cast(cast(:color as text) as text[]), cast(cast(:size as text) as text[]), "
        "cast(:open as boolean[]), cast(:due_at as timestamptz[]), "
        "cast(cast(:data as text) as text[])) v(id, count, color, size, open, due_at, data)"
    )


def test_columns_are_the_text_of_arrays() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    rows = [
        ColoredRow(ID, 1, Color.RED, "small", True, now, {"a": 'x "y" \\'}),
        ColoredRow(None, 2, None, "large", False, None, {}),
    ]
    assert STATEMENT.parameters(rows) == {
        "id": "{00000000-0000-7000-8000-000000000001,NULL}",
        "count": "{1,2}",
        "color": '{"red",NULL}',
        "size": '{"small","large"}',
        "open": [True, False],
        "due_at": [now, None],
        "data": r'{"{\"a\":\"x \\\"y\\\" \\\\\"}","{}"}',
    }


def test_other_types_have_no_column() -> None:
    class Unknown(msgspec.Struct):
        ratio: float

    with pytest.raises(TypeError, match="no columns of the type"):
        BatchStatement(Unknown, "select v.ratio from {v}")
