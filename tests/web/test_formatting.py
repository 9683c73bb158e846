"""Values in words, and what browsers call themselves."""

from datetime import UTC, datetime, timedelta

import pytest

from app.sessions.domain import agent_name
from app.web import formatting
from app.web.templates import url

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (5, "now"),
        (-5, "now"),
        (60, "1 min ago"),
        (7200, "2 h ago"),
        (-90, "in 1 min"),
        (400 * 86400, "1 y ago"),
    ],
)
def test_relative_times(seconds: int, text: str) -> None:
    assert formatting.ago(NOW - timedelta(seconds=seconds), NOW) == text


def test_absolute_times_name_their_zone() -> None:
    assert formatting.stamp(NOW, "Europe/Rome") == "2026-11-24 10:30:00 CET"
    assert formatting.iso(NOW) == "2026-11-24T09:30:00Z"
    assert (formatting.ago(None), formatting.stamp(None), formatting.iso(None)) == ("never", "", "")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.02, "20 ms"),
        (0, "0 seconds"),
        (61, "1 minute 1 second"),
        (90061, "1 day 1 hour"),
        (timedelta(hours=2), "2 hours"),
        (None, "–"),
    ],
)
def test_durations(value: float | timedelta | None, text: str) -> None:
    assert formatting.duration(value) == text


def test_numbers_and_sizes() -> None:
    assert [formatting.size(size) for size in (999, 1500, 20_000, 3_000_000, 5 * 10**9)] == [
        "999 B", "1.5 kB", "20 kB", "3.0 MB", "5.0 GB",
    ]  # fmt: skip
    assert (formatting.number(1234567), formatting.number(None)) == ("1,234,567", "–")
    assert [formatting.plural(n, *of) for n, *of in ((1, "tag"), (2, "tag"), (2, "person", "people"))] == [
        "1 tag", "2 tags", "2 people",
    ]  # fmt: skip


def test_url_keeps_unchanged_parameters() -> None:
    assert url("/a", "q=x y&tag=1&tag=2&after=z", after=None, sort="name") == "/a?q=x+y&tag=1&tag=2&sort=name"
    assert url("/a", "q=1", q=None) == "/a"
    assert url("/a", "", tag=["1", "2"]) == "/a?tag=1&tag=2"


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0", "Firefox on Linux"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile Safari/604.1",
            "Safari on iPhone",
        ),
        ("curl/8.9.1", "curl"),
        ("Sync/2 (x)", "Sync"),
        ("", "Unknown"),
    ],
)
def test_agent_names(agent: str, name: str) -> None:
    assert agent_name(agent) == name
