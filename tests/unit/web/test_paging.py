"""Links to neighboring pages, and the cursor of a sorted list."""

from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID

import pytest

from app.errors import Invalid
from app.web.paging import neighbor_links, read_cursor, write_cursor

FIRST, LAST = UUID(int=2), UUID(int=1)
ROWS = [SimpleNamespace(id=FIRST), SimpleNamespace(id=LAST)]
FILTERS = {"q": "a b", "status": ""}


@pytest.mark.parametrize(
    ("after", "before", "more", "has_next", "has_previous"),
    [
        (None, None, False, False, False),
        (None, None, True, True, False),
        (UUID(int=9), None, False, False, True),
        (UUID(int=9), None, True, True, True),
        (None, UUID(int=9), False, True, False),
        (None, UUID(int=9), True, True, True),
    ],
)
def test_a_page_links_to_the_pages_that_exist(
    after: UUID | None, before: UUID | None, more: bool, has_next: bool, has_previous: bool
) -> None:
    following, previous = neighbor_links("/audit", FILTERS, ROWS, after, before, more=more)
    assert following == (f"/audit?q=a+b&after={LAST}" if has_next else "")
    assert previous == (f"/audit?q=a+b&before={FIRST}" if has_previous else "")


def test_an_empty_page_links_nowhere() -> None:
    assert neighbor_links("/audit", FILTERS, [], UUID(int=9), None, more=False) == ("", "")


@pytest.mark.parametrize("value", ["Ána", "", datetime(2026, 11, 24, 9, 30, tzinfo=UTC)])
def test_a_cursor_reads_back_as_it_was_written(value: str | datetime) -> None:
    assert read_cursor(write_cursor(value, LAST), type(value), "after") == (value, LAST)


@pytest.mark.parametrize("cursor", ["", "x", "WyJhIiwieCJd", write_cursor("a\0b", LAST)])
def test_a_damaged_cursor_is_refused_by_its_parameter(cursor: str) -> None:
    with pytest.raises(Invalid) as refusal:
        read_cursor(cursor, str, "after")
    assert list(refusal.value.errors) == ["after"]
