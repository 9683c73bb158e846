"""Filters as rows of a form: what each field and operator shows, and what is read from it."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from litestar.datastructures import FormMultiDict
from msgspec.structs import replace

from app.filters.ast import Filter, Group, Predicate
from app.filters.fields import OPERATORS, FieldType
from app.filters.parse import DEEPEST, filter_problems
from app.filters.row_inputs import MOST_FOUND, FilterBox, FilterRow, ValueInput, draw_filter
from app.filters.rows import RowReader, RowsInput, rows_of
from app.filters.values import read
from app.web.form_decoder import decode_form
from tests.support.engine_kit import (
    ANN,
    COLD,
    FIELDS,
    PLAN,
    SCORE,
    SINCE,
    TAGS,
    TEXANS,
    VIP,
    ask,
    either,
    every,
)
from tests.support.filter_cases import predicates

MANY_TAGS = {f"00000000-0000-7000-8000-{number:012}": f"tag {number:03}" for number in range(200)}
MARKED = ("checks", "radios")


class Body(msgspec.Struct):
    filter: RowsInput | None = None


def controls(rows: list[FilterRow]) -> Iterator[tuple[str, str]]:
    """Names and values of the successful controls, as a browser sends them."""
    for row in rows:
        if row.match:
            yield f"{row.at}.match", row.match
            yield from controls(row.rows)
            continue
        yield from {f"{row.at}.{name}": getattr(row, name) for name in ("field", "op", "search")}.items()
        yield f"{row.at}.was", row.field
        for field in row.inputs:
            offered = [value for value, _ in field.options]
            chosen = field.values
            if field.kind in MARKED:
                chosen = [value for value in offered if value in field.values]
            elif field.kind == "select":
                chosen = [field.value if field.value in offered else offered[0]]
            for value in chosen:
                yield f"{row.at}.{field.name}", value


def sent(box: FilterBox, **typed: str) -> RowsInput:
    """The form as it is sent, with some inputs of the first row typed over; "" clears one."""
    first = box.rows[0].at
    pairs = [("filter.type", "rows"), ("filter.match", box.match), *controls(box.rows)]
    untouched = [(name, value) for name, value in pairs if name.removeprefix(f"{first}.") not in typed]
    added = [(f"{first}.{name}", value) for name, value in typed.items()]
    body = msgspec.convert(decode_form(FormMultiDict(untouched + added), Body), Body, strict=False)
    assert body.filter is not None
    return body.filter


def draw(values: Any, tags: dict[str, str] = TAGS, *, makes_tags: bool = False) -> FilterBox:
    return draw_filter("filter", values, FIELDS, tags, makes_tags=makes_tags)


def drawn(**row: Any) -> FilterRow:
    return draw({"rows": [row]}).rows[0]


def reads(rows: RowsInput, tags: dict[str, str] = TAGS) -> tuple[Filter | None, dict[str, str]]:
    reader = RowReader(FIELDS, tags)
    expression = reader.filter(rows, "filter")
    problems = filter_problems(expression, FIELDS, tags)
    return expression, reader.errors((f"filter.{path}", text) for path, text in problems.items())


@given(predicates())
def test_a_condition_sent_as_it_is_shown_stays_the_same(condition: Predicate) -> None:
    values = condition.value if isinstance(condition.value, list) else [condition.value]
    texts = [str(value) for value in values if isinstance(value, str)]
    assume(all(text.strip() == text and len(text.splitlines()) < 2 for text in texts))
    group, errors = reads(sent(draw(rows_of(condition))))
    assert isinstance(group, Group)
    [shown] = group.items
    assert isinstance(shown, Predicate)
    assert (shown.field, shown.op, errors) == (condition.field, condition.op, {})
    assert list(dict.fromkeys(read(shown, FIELDS)[1])) == list(dict.fromkeys(read(condition, FIELDS)[1]))


def test_nested_groups_stay_the_same() -> None:
    condition = either(
        ask("state", "is", "CA"),
        every(
            ask("tags", "any_of", [str(VIP), str(COLD)]),
            either(ask("city", "empty"), ask("city", "in", ["a,b", "c"])),
        ),
    )
    box = draw(rows_of(condition))
    assert [row.number for row in [*box.rows, *box.rows[1].rows, *box.rows[1].rows[1].rows]] == [
        "1", "2", "2.1", "2.2", "2.2.1", "2.2.2",
    ]  # fmt: skip
    assert reads(sent(box)) == (condition, {})


@pytest.mark.parametrize(
    ("field", "op", "kinds"),
    [
        ("city", "is", [("values", "text")]),
        ("city", "in", [("lines", "lines")]),
        ("city", "empty", []),
        (f"custom.{SCORE}", "gt", [("values", "number")]),
        (f"custom.{SCORE}", "between", [("low", "number"), ("high", "number")]),
        ("custom.00000000-0000-0000-0000-00000000000c", "true", []),
        (f"custom.{SINCE}", "on", [("values", "date")]),
        (f"custom.{SINCE}", "between", [("low", "date"), ("high", "date")]),
        (f"custom.{SINCE}", "in_last", [("amount", "number"), ("unit", "select")]),
        ("created_at", "before", [("values", "date"), ("time", "time")]),
        ("created_at", "on", [("values", "date")]),
        (f"custom.{PLAN}", "any_of", [("values", "checks")]),
        ("email_consent", "none_of", [("values", "checks")]),
        ("tags", "all_of", [("values", "checks")]),
        ("owner", "is", [("values", "select")]),
        ("owner", "any_of", [("values", "checks")]),
        ("owner", "unassigned", []),
        ("segments", "none_of", [("values", "checks")]),
        ("workflows", "ever_in", [("values", "checks")]),
        ("history", "happened",
         [("times", "number"), ("amount", "number"), ("unit", "select"), ("event", "select")]),
        ("history", "changed", [("of", "select"), ("amount", "number"), ("unit", "select")]),
    ],
)  # fmt: skip
def test_each_operator_has_the_inputs_that_it_needs(
    field: str, op: str, kinds: list[tuple[str, str]]
) -> None:
    assert [(shown.name, shown.kind) for shown in drawn(field=field, op=op).inputs] == kinds


def test_a_field_offers_only_its_operators() -> None:
    for spec in FIELDS.values():
        row = drawn(field=spec.key)
        assert [value for value, _ in row.operators] == [item.op.value for item in OPERATORS[spec.type]]
        assert row.op == OPERATORS[spec.type][0].op.value


def test_a_new_condition_on_a_period_has_a_usual_one() -> None:
    for field, op in (("created_at", "in_last"), ("history", "happened"), ("history", "changed")):
        shown = {part.name: part.value for part in drawn(field=field, op=op).inputs}
        assert (shown["amount"], shown["unit"]) == ("30", "days")
    emptied = {part.name: part.value for part in drawn(field="created_at", op="in_last", amount="").inputs}
    assert emptied["amount"] == ""


@pytest.mark.parametrize(
    ("of", "kind", "options"),
    [
        ("owner", "select", ["", "Ann", "Ben"]),
        (f"custom.{PLAN}", "select", ["", "free", "pro", "team"]),
        (f"custom.{SCORE}", "number", []),
        (f"custom.{SINCE}", "date", []),
        ("city", "text", []),
    ],
)
def test_a_change_asks_for_values_of_its_field(of: str, kind: str, options: list[str]) -> None:
    shown = {field.name: field for field in drawn(field="history", op="changed_from_to", of=of).inputs}
    assert (shown["old"].kind, shown["new"].kind) == (kind, kind)
    labels = [label if value else "" for value, label in shown["old"].options]
    assert labels == options


def test_values_of_another_field_are_not_kept() -> None:
    """Without a script the form may be sent before its inputs are those of the field that was chosen."""
    box = draw(rows_of(ask("city", "is", "Rome")))
    changed = sent(box, field="tags")
    assert reads(changed)[1] == {
        "filter.rows.0.op": "You chose another field. Complete the condition on Tags."
    }
    [row] = draw(msgspec.to_builtins(changed)).rows
    assert (row.op, row.inputs[0].kind, row.inputs[0].values) == ("any_of", "checks", [])
    again = draw(msgspec.to_builtins(sent(box, op="in"))).rows[0]
    assert again.inputs[0].values == ["Rome"], "another operator keeps what was typed"


@pytest.mark.parametrize(
    ("condition", "typed", "input_name", "message"),
    [
        (ask("city", "is", "Rome"), {"values": ""}, "value", "Enter a value."),
        (ask("city", "is", "Rome"), {"op": "nonsense"}, "op", "Choose an operator."),
        (ask("city", "is", "Rome"), {"field": "cty", "was": "cty"}, "field",
         "There is no field “cty”. Did you mean “city”?"),
        (ask("tags", "any_of", [str(VIP)]), {"values": ""}, "value", "Choose at least one value."),
        (ask("created_at", "in_last", "7 days"), {"amount": "-1"}, "value", "Enter an amount and a unit"),
        (ask(f"custom.{SCORE}", "between", [1, 2]), {"high": ""}, "value", "Enter two values: from and to."),
        (ask(f"custom.{SINCE}", "on", "2026-01-01"), {"values": "1.1.2026"}, "value",
         "Enter the date as YYYY-MM-DD"),
        (ask("tags", "any_of", [str(VIP)]), {"values": "", "search": "vop"}, "value",
         "There is no tag “vop”. Did you mean “vip”?"),
    ],
)  # fmt: skip
def test_a_message_belongs_to_its_row_and_what_was_typed_stays(
    condition: Predicate, typed: dict[str, str], input_name: str, message: str
) -> None:
    rows = sent(draw(rows_of(every(condition, ask("state", "is", "CA")))), **typed)
    _, errors = reads(rows)
    assert list(errors) == [f"filter.rows.0.{input_name}"]
    assert errors[f"filter.rows.0.{input_name}"].startswith(message)
    again = draw(msgspec.to_builtins(rows)).rows[0]
    shown = {field.name: field.value for field in again.inputs} | {"search": again.search}
    assert {name: value for name, value in typed.items() if name in shown and value} == {
        name: shown[name] for name, value in typed.items() if name in shown and value
    }


def test_a_problem_inside_a_group_has_the_name_of_its_input() -> None:
    rows = {
        "type": "rows",
        "rows": [
            {},
            {"match": "any", "rows": [{}, {"field": "city", "op": "is"}]},
            {"match": "all", "rows": [{}]},
        ],
    }  # fmt: skip
    group, errors = reads(msgspec.convert(rows, RowsInput))
    assert errors == {"filter.rows.1.rows.1.value": "Enter a value."}
    assert group == every(either(ask("city", "is"))), "blank rows and groups of nothing are left out"
    deep: Filter = ask("state", "is", "CA")
    for _ in range(DEEPEST + 1):
        deep = every(deep)
    assert "nested at most" in " ".join(reads(sent(draw(rows_of(deep))))[1].values())


def test_a_typed_name_counts_where_nothing_is_chosen() -> None:
    box = draw(rows_of(ask("tags", "any_of", [])))
    group, errors = reads(sent(box, search=" VIP "))
    assert (group, errors) == (every(ask("tags", "any_of", [str(VIP)])), {})
    chosen = draw(rows_of(ask("tags", "any_of", [str(COLD)])))
    assert reads(sent(chosen, search="vip"))[0] == every(ask("tags", "any_of", [str(COLD)]))


def picker(search: str, *chosen: str, makes_tags: bool = True) -> tuple[FilterRow, ValueInput]:
    rows = {"rows": [{"field": "tags", "op": "any_of", "values": list(chosen), "search": search}]}
    [row] = draw(rows, MANY_TAGS, makes_tags=makes_tags).rows
    return row, row.inputs[0]


def test_many_choices_are_searched() -> None:
    last = list(MANY_TAGS)[-1]
    row, choices = picker("", last)
    assert (row.searched, len(choices.options), row.unlisted) == (True, MOST_FOUND + 1, 199 - MOST_FOUND)
    assert choices.options[0] == (last, "tag 199"), "what is chosen is always there"
    row, choices = picker("TAG 04", last)
    assert [label for _, label in choices.options[1:]] == [f"tag 04{number}" for number in range(10)]
    assert (row.unlisted, row.makes) == (0, "TAG 04"), "no tag is called exactly so"
    assert picker("tag 044")[0].makes == ""
    assert picker("new", makes_tags=False)[0].makes == ""
    owners = {"owner": replace(FIELDS["owner"], names=MANY_TAGS)}
    [row] = draw_filter("filter", rows_of(ask("owner", "is", last)), FIELDS | owners, {}).rows
    assert (row.inputs[0].kind, row.inputs[0].values, row.searched) == ("radios", [last], True)


def test_what_no_longer_exists_is_shown_and_refused() -> None:
    gone = str(ANN)
    box = draw(rows_of(ask("tags", "any_of", [gone, str(VIP)])))
    assert box.rows[0].inputs[0].options[0] == (gone, "(a tag that no longer exists)")
    assert list(reads(sent(box))[1]) == ["filter.rows.0.value"]
    row = draw(rows_of(ask(f"custom.{TEXANS}", "is", "x"))).rows[0]
    assert (row.offered, row.label, row.op) == (False, "(a field that no longer exists)", "is")
    wrong = drawn(field="city", op="gt", values=["1"])
    assert (wrong.op, wrong.operators[-1]) == ("gt", ("gt", "gt (choose another)"))


def test_a_retired_field_is_shown_only_where_it_is_used() -> None:
    retired = FIELDS | {"city": replace(FIELDS["city"], retired=True)}
    [row] = draw_filter("filter", rows_of(ask("city", "is", "Rome")), retired, TAGS).rows
    assert (row.offered, row.label, row.inputs[0].value) == (False, "City (retired)", "Rome")
    box = draw_filter("filter", {"rows": [{"field": "state"}]}, retired, TAGS)
    assert "city" not in [key for _, choices in box.fields for key, _ in choices]
    assert box.rows[0].offered


def test_an_amount_names_its_currency_and_a_moment_keeps_its_time() -> None:
    [budget] = [key for key, spec in FIELDS.items() if spec.currency]
    assert [shown.hint for shown in drawn(field=budget, op="between").inputs] == ["EUR", "EUR"]
    met = next(key for key, spec in FIELDS.items() if spec.slug == "met")
    for value, kind in (("2026-03-31", "date"), ("2026-03-31T09:30", "text")):
        change = drawn(field="history", op="changed_to", of=met, new=value)
        assert [(shown.kind, shown.value) for shown in change.inputs if shown.name == "new"] == [
            (kind, value)
        ]


def test_dates_with_seconds_or_an_offset_keep_them() -> None:
    for text in ("2026-03-31T09:30:15", "2026-03-31T09:30+02:00"):
        [shown] = draw(rows_of(ask("created_at", "before", text))).rows[0].inputs
        assert (shown.kind, shown.value) == ("text", text)
    plain = draw(rows_of(ask("created_at", "before", "2026-03-31T09:30")))
    assert [shown.value for shown in plain.rows[0].inputs] == ["2026-03-31", "09:30"]
    assert reads(sent(plain, time=""))[0] == every(ask("created_at", "before", "2026-03-31"))


def test_every_type_of_field_can_be_drawn() -> None:
    assert {spec.type for spec in FIELDS.values()} <= set(FieldType) == set(OPERATORS)
