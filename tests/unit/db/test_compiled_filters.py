"""A filter is compiled once for a catalog, unless its condition depends on the time."""

import gc
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from app.filters.ast import Filter, Group, Op, Predicate
from app.filters.fields import AccountNames, field_catalog
from db import condition_cache, filters
from db.condition_cache import ConditionCache
from db.filters import where
from db.models import Contact

CONTACTS = Contact.__table__
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
UTC_ZONE, ROME = ZoneInfo("UTC"), ZoneInfo("Europe/Rome")
IN_OSLO = Predicate("city", Op.IS, "Oslo")
SEGMENT = UUID(int=1)


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> ConditionCache:
    """An empty one."""
    empty = ConditionCache()
    monkeypatch.setattr(filters, "_compiled", empty)
    return empty


def test_the_same_filter_and_catalog_give_the_same_condition() -> None:
    fields = field_catalog()
    first = where(IN_OSLO, CONTACTS, fields, UTC_ZONE, NOW)
    again = where(Predicate("city", Op.IS, "Oslo"), CONTACTS, fields, UTC_ZONE, NOW + timedelta(days=1))
    assert again is first


def test_another_catalog_zone_table_or_value_is_compiled_anew() -> None:
    fields = field_catalog()
    first = where(IN_OSLO, CONTACTS, fields, UTC_ZONE, NOW)
    others = [
        where(IN_OSLO, CONTACTS, field_catalog(), UTC_ZONE, NOW),
        where(IN_OSLO, CONTACTS, fields, ROME, NOW),
        where(IN_OSLO, CONTACTS.alias(), fields, UTC_ZONE, NOW),
        where(Predicate("city", Op.IS, "oslo"), CONTACTS, fields, UTC_ZONE, NOW),
    ]
    assert all(other is not first for other in others)


def test_what_depends_on_the_time_is_compiled_for_its_time() -> None:
    fields, recent = field_catalog(), Predicate("created_at", Op.IN_LAST, "3 days")
    today = where(recent, CONTACTS, fields, UTC_ZONE, NOW)
    later = where(recent, CONTACTS, fields, UTC_ZONE, NOW + timedelta(days=1))
    assert str(today.compile(compile_kwargs={"literal_binds": True})) != str(
        later.compile(compile_kwargs={"literal_binds": True})
    )


def test_conditions_go_with_their_catalog(cache: ConditionCache) -> None:
    living = field_catalog()
    for fields in (living, field_catalog(), dict(living)):
        where(IN_OSLO, CONTACTS, fields, UTC_ZONE, NOW)
    del fields
    gc.collect()
    assert [catalog() for catalog, _ in cache._entries.values()] == [living]


def test_only_the_latest_conditions_are_kept(cache: ConditionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condition_cache, "MOST", 3)
    fields = field_catalog()
    for number in range(9):
        where(Predicate("city", Op.IS, str(number)), CONTACTS, fields, UTC_ZONE, NOW)
    assert len(cache._entries) == 3


@pytest.mark.parametrize(
    "large",
    [
        Group("all", [Predicate("city", Op.IS, str(number)) for number in range(100)]),
        Predicate("city", Op.IN, ["x" * 500] * 300),
        Predicate("segments", Op.ANY_OF, [str(SEGMENT)]),
    ],
    ids=["many conditions", "many values", "much in a segment"],
)
def test_a_large_condition_is_not_kept(cache: ConditionCache, large: Filter) -> None:
    inside = Group("any", [Predicate("city", Op.IS, str(number)) for number in range(100)])
    fields = field_catalog(named=AccountNames(segments={str(SEGMENT): "Large"}, filters={SEGMENT: inside}))
    where(large, CONTACTS, fields, UTC_ZONE, NOW)
    assert not cache._entries
    where(Group("all", [IN_OSLO] * 10), CONTACTS, fields, UTC_ZONE, NOW)
    assert len(cache._entries) == 1
