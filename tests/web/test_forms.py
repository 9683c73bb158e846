"""Bodies into structs: what forms can say, and that every mistake is named at once."""

import gc
import sys
from datetime import date
from enum import StrEnum
from types import FrameType
from typing import Annotated, Any, Literal

import msgspec
import pytest
from litestar.datastructures.multi_dicts import FormMultiDict

from app.errors import Invalid
from app.web.form_decoder import decode_form, decode_form_strictly
from app.web.forms import Form, read_form, read_json, typed_values


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class FormLine(msgspec.Struct, forbid_unknown_fields=True):
    what: str
    count: int = 1


class WaitChoice(msgspec.Struct, tag="wait", tag_field="kind"):
    minutes: int


class SendChoice(msgspec.Struct, tag="send", tag_field="kind"):
    subject: str
    loud: bool = False


class Everything(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    note: str | None = None
    age: int | None = None
    born: date | msgspec.UnsetType = msgspec.UNSET
    colour: Colour = Colour.RED
    size: Literal["s", "m"] | None = None
    tags: list[str] = []
    lines: list[FormLine] = []
    fields: dict[str, str] = {}
    active: bool = False
    maybe: bool | None = None
    step: WaitChoice | SendChoice | None = None
    code: Annotated[str, msgspec.Meta(pattern="^[a-z]+$", extra={"error": "Use small letters."})] = "x"


def form(*pairs: tuple[str, str]) -> FormMultiDict:
    return FormMultiDict(pairs)


def test_a_form_fills_the_struct_that_json_fills() -> None:
    sent = form(
        ("name", "Ana"), ("note", ""), ("age", "41"), ("born", "2001-02-03"), ("colour", "blue"),
        ("size", "m"),        ("tags", "a"), ("tags", "b"), ("lines.1.what", "second"),
        ("lines.0.what", "first"),
        ("lines.0.count", "3"),
        ("fields.city", "Rome"), ("fields.a.b", "x"), ("active", "on"), ("maybe", "false"),
        ("step.kind", "send"), ("step.subject", "Hi"), ("account", "ignored"),
    )  # fmt: skip
    lifted: Everything = read_form(sent, Everything)
    text = (
        b'{"name":"Ana","note":null,"age":41,"born":"2001-02-03","colour":"blue","size":"m","tags":["a","b"],'
        b'"lines":[{"what":"first","count":3},{"what":"second"}],"fields":{"city":"Rome","a.b":"x"},'
        b'"active":true,"maybe":false,"step":{"kind":"send","subject":"Hi"}}'
    )
    assert lifted == read_json(text, Everything)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("name", "A"), ("age", "")], {"name": "A", "age": None}),
        ([("name", "A"), ("born", "")], {"name": "A", "born": ""}),
        ([("name", "A"), ("tags", "")], {"name": "A", "tags": []}),
        ([("name", "A"), ("active", "false"), ("active", "true")], {"name": "A", "active": True}),
        ([("name", "a\r\nb")], {"name": "a\nb"}),
        ([("name", "A"), ("maybe", "")], {"name": "A", "maybe": None}),
        ([("name", "A"), ("lines.999999999.what", "x")], {"name": "A"}),
        ([], {}),
        ([("inputs", "active tags"), ("inputs", "lines")], {"active": False, "tags": [], "lines": []}),
        (
            [("inputs", "active tags maybe"), ("active", "on"), ("tags", "a")],
            {"active": True, "tags": ["a"], "maybe": False},
        ),
        ([("inputs", "name note age born colour size code")], {}),
    ],
)
def test_empty_boxes_and_check_boxes(pairs: list[tuple[str, str]], expected: dict[str, Any]) -> None:
    assert decode_form(form(*pairs), Everything) == expected


def test_unknown_names_are_reported() -> None:
    names = (
        "name", "nam", "lines.0.what", "lines.0.wat", "lines.01.what", "lines.x.what", "fields.a.b",
        "step.subject", "tags.0", "name.first", "step.minutes",
    )  # fmt: skip
    lifted = decode_form_strictly(form(("step.kind", "wait"), *((name, "5") for name in names)), Everything)
    assert lifted.value["lines"] == [{"what": "5"}]
    assert sorted(lifted.unread) == [
        "lines.0.wat", "lines.01.what", "lines.x.what", "nam", "name.first", "step.subject", "tags.0"
    ]  # fmt: skip


def work_of(pairs: list[tuple[str, str]]) -> int:
    """How many functions, Python's and C's, the lifting of a form calls: the same on every machine."""
    sent, calls = form(*pairs), 0

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    decode_form(sent, Everything)
    gc.disable()  # what other tests left is finalized by calls, too
    sys.setprofile(count)
    try:
        decode_form(sent, Everything)
    finally:
        sys.setprofile(None)
        gc.enable()
    return calls


@pytest.mark.parametrize(
    "name", ["lines.{0}.what", "fields.x{0}", "unknown.x{0}", "tags", "lines.0.x{0}.what", "x{0}"]
)
def test_decoding_time_is_linear(name: str) -> None:
    short, long = ([(name.format(number), "1") for number in range(size)] for size in (400, 800))
    assert work_of(long) < 2.2 * work_of(short)


def test_every_wrong_field_is_named_at_once() -> None:
    text = (
        b'{"name":"","age":"7","colour":"green","size":"xl","tags":"a","lines":[{"count":1}],'
        b'"code":"X","more":1,"born":"yesterday","step":{"kind":"wait"}}'
    )
    with pytest.raises(Invalid) as refused:
        read_json(text, Everything)
    assert refused.value.errors == {
        "name": "Fill this in.",
        "age": "Enter a whole number.",
        "colour": "Choose one of: red, blue.",
        "size": "Choose one of: m, s.",
        "tags": "Send a list.",
        "lines.0.what": "Fill this in.",
        "code": "Use small letters.",
        "more": "There is no such field. Remove it.",
        "born": "Enter a date: 2026-11-24.",
        "step.minutes": "Fill this in.",
    }


def test_json_is_strict_where_forms_are_not() -> None:
    class Age(msgspec.Struct):
        age: int

    assert read_form(form(("age", "7")), Age) == Age(7)
    with pytest.raises(Invalid, match="whole number"):
        read_json(b'{"age":"7"}', Age)


def test_error_of_the_whole_form() -> None:
    class Range(msgspec.Struct):
        low: int
        high: int

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError("The lower end is above the upper end")

    with pytest.raises(Invalid) as refused:
        read_json(b'{"low":2,"high":1}', Range)
    assert refused.value.errors == {"": "The lower end is above the upper end."}


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"1", b"null"])
def test_body_that_is_not_an_object(body: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        read_json(body, FormLine)
    assert refused.value.errors == {"": "Send an object with named fields."}


def test_typed_values_are_shown_again() -> None:
    values = typed_values(form(("a", "1"), ("b", "x"), ("b", "y")))
    shown = Form(values=values, errors={"a": "No."})
    assert values == {"a": "1", "b": ["x", "y"]}
    assert (shown.value("a", "9"), shown.value("z", "9"), shown.error("a")) == ("1", "9", "No.")
    assert Form().value("a", None) == ""
