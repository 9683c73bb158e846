"""What each type of custom field stores for what was typed, and how it is shown."""

from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.contacts.domain import normalize
from app.filters.field_values import split_options, value_text
from app.filters.fields import (
    AccountNames,
    FieldSpec,
    custom_field,
    defaults_of,
    field_catalog,
    required_fields,
)
from app.filters.money import CURRENCIES, decimals_of, money_text, read_money

PARIS = ZoneInfo("Europe/Paris")
ANN, BEN, SAM, TWIN = (str(UUID(int=number)) for number in range(1, 5))
NAMES = {ANN: "Ann Lee", BEN: "Ben", SAM: "Sam", TWIN: "Sam"}
OPTIONS = ["Tea", "Milk, oat", "tea cake"]


def spec_of(kind: str, **more: Any) -> FieldSpec:
    options = OPTIONS if "select" in kind else []
    return replace(custom_field(UUID(int=9), "x", "X", kind, options), **more)


def stored(kind: str, typed: object, currency: str = "EUR") -> Any:
    fields = field_catalog([spec_of(kind, currency=currency)], AccountNames(users=NAMES))
    key = f"custom.{UUID(int=9)}"
    clean, errors = normalize({key: typed}, "US", fields, PARIS)
    if errors:
        assert errors[key].endswith((".", "”"))
        return ...
    assert normalize(clean, "US", fields, PARIS) == (clean, {})
    return clean[key]


@pytest.mark.parametrize(
    ("kind", "typed", "value"),
    [
        ("text", " a b ", "a b"),
        ("long_text", " a\nb ", "a\nb"),
        ("long_text", "x" * 20_001, ...),
        ("text", "x" * 5001, ...),
        ("phone", "(504) 621-8927", "+15046218927"),
        ("phone", "ask Bob", "ask Bob"),
        ("email", " Ann@Example.COM ", "ann@example.com"),
        ("email", "nonsense", ...),
        ("url", "example.com/a", "https://example.com/a"),
        ("url", "javascript://x y", ...),
        ("number", "1e3", 1000),
        ("money", "1,234.50", 1234.5),
        ("money", "1.234,50 eur", 1234.5),
        ("money", "€ 12", 12),
        ("money", 12.5, 12.5),
        ("money", "12.345", ...),
        ("money", "12 USD", ...),
        ("money", "$12", ...),
        ("money", "many", ...),
        ("money", True, ...),
        ("boolean", "yes", True),
        ("boolean", "maybe", ...),
        ("date", "2026-03-31", "2026-03-31"),
        ("date", "31.3.2026", ...),
        # A day starts at midnight in Paris; the clock goes forward at 2 on 2026-03-29.
        ("datetime", "2026-07-01T09:30", "2026-07-01T07:30:00Z"),
        ("datetime", "2026-12-01 09:30:15.9", "2026-12-01T08:30:15Z"),
        ("datetime", "2026-03-29T02:30", "2026-03-29T01:00:00Z"),
        ("datetime", "2026-07-01", "2026-06-30T22:00:00Z"),
        ("datetime", "2026-07-01T09:30+05:00", "2026-07-01T04:30:00Z"),
        ("datetime", "tomorrow", ...),
        ("select", "tea", "Tea"),
        ("select", "coffee", ...),
        ("multi_select", "milk, oat, TEA", ["Tea", "Milk, oat"]),
        ("multi_select", ["tea cake", "Tea", "Tea"], ["Tea", "tea cake"]),
        ("multi_select", [], None),
        ("multi_select", "", None),
        ("multi_select", "Tea; coffee", ...),
        ("multi_select", [["Tea"]], ...),
        ("text", ["a"], ...),
        ("member", "ann lee", ANN),
        ("member", BEN, BEN),
        ("member", "Sam", ...),
        ("member", str(UUID(int=77)), ...),
    ],
)
def test_value_by_type(kind: str, typed: object, value: object) -> None:
    assert stored(kind, typed) == value
    assert stored(kind, " ") is None


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("money", 1234.5, "1,234.50 EUR"),
        ("money", None, ""),
        ("datetime", "2026-07-01T07:30:00Z", "2026-07-01 09:30"),
        ("datetime", "soon", ""),
        ("multi_select", ["Tea", "Milk, oat"], "Tea, Milk, oat"),
        ("member", ANN, "Ann Lee"),
        ("member", "gone", ""),
        ("boolean", False, "no"),
        ("number", 3.0, "3"),
    ],
)
def test_value_for_people(kind: str, value: object, text: str) -> None:
    assert value_text(spec_of(kind, currency="EUR"), value, PARIS, NAMES) == text


def test_amounts_follow_their_currency() -> None:
    assert len(CURRENCIES) == len(set(CURRENCIES)) > 150
    assert (decimals_of("JPY"), decimals_of("KWD"), decimals_of("USD")) == (0, 3, 2)
    assert stored("money", "1500", "JPY") == 1500
    assert stored("money", "$1,500", "MXN") == 1500
    assert stored("money", "-$3", "USD") == stored("money", "$-3", "USD") == -3
    assert stored("money", "1500.5", "JPY") is ...
    assert money_text(1500, "JPY") == "1,500 JPY"
    assert read_money("12.345", "EUR", exact=False) == 12.345
    with pytest.raises(ValueError, match="too large"):
        read_money("1" * 15, "EUR")


@given(st.text(max_size=30))
def test_any_text_is_an_amount_or_is_refused(text: str) -> None:
    try:
        amount = read_money(text, "EUR")
    except ValueError:
        return
    assert read_money(money_text(amount, "EUR"), "EUR") == amount


@given(st.lists(st.sampled_from(OPTIONS), min_size=1, unique=True), st.sampled_from([", ", ",", "; ", "\n"]))
def test_chosen_options_are_read_back_from_a_cell(chosen: list[str], separator: str) -> None:
    assert [name.strip() for name in split_options(separator.join(chosen), OPTIONS)] == chosen


def test_defaults_and_required_fields_of_a_new_contact() -> None:
    def field(number: int, **more: Any) -> FieldSpec:
        return replace(spec_of("text", **more), key=f"custom.{number}")

    member = replace(spec_of("member", default="gone"), key="custom.5")
    retired = field(3, required=True, default="b", retired=True)
    specs = [field(1, default="a"), field(2, required=True), retired, member]
    fields = field_catalog(specs, AccountNames(users=NAMES))
    assert defaults_of(fields) == {"custom.1": "a"}
    assert [spec.key for spec in required_fields(fields)] == ["custom.2"]
