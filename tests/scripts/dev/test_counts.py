"""The counts of `scripts/counts`: uses of `Any`, their reasons, and other names for it."""

import pytest

from scripts._lib.dev import counts


@pytest.mark.parametrize(
    ("source", "uses"),
    [
        ("from typing import Any", 0),
        ("def read(row: Any, *rest: list[Any]) -> dict[str, Any]: ...", 3),
        ("import typing\nrow: typing.Any", 1),
        ('def read(row: "Any") -> "list[Any]": ...', 2),
        ('row: dict[str, "Any | None"] = {}', 1),
        ('row = cast("Sequence[Any]", rows)', 1),
        ('class Page(Response["Any"]): ...', 1),
        ('kind: Literal["Any"] = "Any"', 0),
        ('label = "Any"', 0),
    ],
)
def test_uses_are_counted_also_in_quotes(source: str, uses: int) -> None:
    assert len(counts.any_uses(source)) == uses


@pytest.mark.parametrize(
    "source",
    [
        "from typing import Any as Row",
        "Row = Any",
        "Row = typing.Any",
        "Row: TypeAlias = Any | None",
        'Row: TypeAlias = "dict[str, Any]"',
        "Row = dict[str, Any]",
        'Row = NewType("Row", Any)',
        "class Row(Any): ...",
    ],
)
def test_other_names_for_any_are_found(source: str) -> None:
    assert counts.any_aliases(source) == [1]


@pytest.mark.parametrize(
    "source",
    ["row: Any = read()", "rows: list[Any] = []", 'row = cast("Any", read())', "class Row(list[Any]): ..."],
)
def test_a_value_is_no_other_name(source: str) -> None:
    assert counts.any_aliases(source) == []


REASONS = '''
row: Any = 1
row: Any = 2  # Any: the driver has no types
# Any: the driver has no types,
# and will not get them
row: Any = 3
other: Any = 4

row: Any = 5
# Any: msgspec decodes these
@cached
def read(row: Any) -> str:
    first: Any = row

    second: Any = row

def write(row: Any) -> None:
    """Write a row, which is `Any` because of the driver."""

    row: Any = 6
# Any row
row: Any = 7
'''


def test_a_reason_covers_its_line_its_group_or_its_function() -> None:
    assert counts.unexplained(REASONS) == [2, 9, 22]


def test_a_count_above_its_limit_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(counts.LIMITS, "uses of Any", -1)
    with pytest.raises(SystemExit, match=r"too many uses of Any$"):
        counts.main([])
    assert "  app/" in capsys.readouterr().out
