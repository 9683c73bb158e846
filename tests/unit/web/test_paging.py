"""Links to neighboring pages, and the cursor of a sorted list."""

from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID

import pytest

from app.errors import Invalid
from app.web.paging import Paging, neighbor_links, part_of, read_cursor, read_paging, write_cursor

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
    following, previous = neighbor_links("/audit", FILTERS, ROWS, Paging(after, before), more=more)
    assert following == (f"/audit?q=a+b&after={LAST}" if has_next else "")
    assert previous == (f"/audit?q=a+b&before={FIRST}" if has_previous else "")


def test_an_empty_page_links_nowhere() -> None:
    assert neighbor_links("/audit", FILTERS, [], Paging(UUID(int=9)), more=False) == ("", "")


def test_links_keep_the_limit() -> None:
    links = neighbor_links("/audit", {}, ROWS, Paging(after=UUID(int=9), limit=2), more=True)
    assert links == (f"/audit?limit=2&after={LAST}", f"/audit?limit=2&before={FIRST}")


def test_a_whole_list_without_a_limit_may_have_a_largest_page() -> None:
    numbers = [UUID(int=number) for number in range(1, 6)]
    for paging, part, links in (
        (Paging(), numbers[:2], (f"/tags?after={numbers[1]}", "")),
        (Paging(after=numbers[3]), numbers[4:], ("", f"/tags?before={numbers[4]}")),
        (
            Paging(before=numbers[3]),
            numbers[1:3],
            (f"/tags?after={numbers[2]}", f"/tags?before={numbers[1]}"),
        ),
        (Paging(limit=5), numbers, ("", "")),
    ):
        assert part_of("/tags", numbers, paging, lambda number: number, most=2) == (part, links)


@pytest.mark.parametrize(
    ("paging", "numbers", "following", "previous"),
    [
        (Paging(), [1, 2, 3, 4, 5], None, None),
        (Paging(limit=2), [1, 2], 2, None),
        (Paging(after=UUID(int=2), limit=2), [3, 4], 4, 3),
        (Paging(after=UUID(int=4), limit=2), [5], None, 5),
        (Paging(after=UUID(int=5), limit=2), [], None, None),
        (Paging(before=UUID(int=4), limit=2), [2, 3], 3, 2),
        (Paging(before=UUID(int=3), limit=2), [1, 2], 2, None),
        (Paging(after=UUID(int=3)), [4, 5], None, 4),
        (Paging(before=UUID(int=3)), [1, 2], 2, None),
    ],
)
def test_a_part_of_a_whole_list_links_to_its_neighbors(
    paging: Paging, numbers: list[int], following: int | None, previous: int | None
) -> None:
    part, links = part_of("/tags", range(1, 6), paging, lambda number: UUID(int=number))
    assert list(part) == numbers
    cursors = [link and UUID(link[-36:]).int for link in links]
    assert cursors == [following or "", previous or ""]
    assert "after=" in links[0] or not links[0]
    assert "before=" in links[1] or not links[1]


def test_a_part_after_a_row_that_is_gone_is_refused() -> None:
    with pytest.raises(Invalid) as refusal:
        part_of("/tags", range(5), Paging(after=UUID(int=9)), lambda number: UUID(int=number))
    assert list(refusal.value.errors) == ["after"]


@pytest.mark.parametrize(("limit", "fits"), [(None, True), (1, True), (200, True), (0, False), (201, False)])
def test_a_limit_is_between_1_and_200(limit: int | None, fits: bool) -> None:
    if fits:
        assert read_paging(limit=limit).size(50) == (limit or 50)
    else:
        with pytest.raises(Invalid) as refusal:
            read_paging(limit=limit)
        assert list(refusal.value.errors) == ["limit"]


@pytest.mark.parametrize("value", ["Ána", "", datetime(2026, 11, 24, 9, 30, tzinfo=UTC)])
def test_a_cursor_reads_back_as_it_was_written(value: str | datetime) -> None:
    assert read_cursor(write_cursor(value, LAST), type(value), "after") == (value, LAST)


@pytest.mark.parametrize("cursor", ["", "x", "WyJhIiwieCJd", write_cursor("a\0b", LAST)])
def test_a_damaged_cursor_is_refused_by_its_parameter(cursor: str) -> None:
    with pytest.raises(Invalid) as refusal:
        read_cursor(cursor, str, "after")
    assert list(refusal.value.errors) == ["after"]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_moment_outside_the_calendar_of_utc_is_refused(moment: str) -> None:
    with pytest.raises(Invalid):
        read_cursor(write_cursor(moment, LAST), datetime, "after")
