"""A filter is compiled once for a catalog, unless its condition depends on the time."""

import gc
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from app.filters.ast import Op, Predicate
from app.filters.fields import field_catalog
from db import filters
from db.filters import where
from db.models import Contact

CONTACTS = Contact.__table__
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
UTC_ZONE, ROME = ZoneInfo("UTC"), ZoneInfo("Europe/Rome")
IN_OSLO = Predicate("city", Op.IS, "Oslo")


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


def test_conditions_go_with_their_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "_compiled", type(filters._compiled)())
    living = field_catalog()
    for fields in (living, field_catalog(), dict(living)):
        where(IN_OSLO, CONTACTS, fields, UTC_ZONE, NOW)
    del fields
    gc.collect()
    assert [catalog() for catalog, _ in filters._compiled.values()] == [living]


def test_only_the_latest_conditions_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "MOST_COMPILED", 3)
    monkeypatch.setattr(filters, "_compiled", type(filters._compiled)())
    fields = field_catalog()
    for number in range(9):
        where(Predicate("city", Op.IS, str(number)), CONTACTS, fields, UTC_ZONE, NOW)
    assert len(filters._compiled) == 3
