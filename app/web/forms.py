"""Decodes request bodies into structs: JSON strictly (`read_json`), forms leniently (`read_form`). Both
report all errors at once."""

from typing import TypeVar

import msgspec

from app.errors import FieldConflict, Invalid
from app.web.form_decoder import LISTED, FormFields, decode_form_strictly
from app.web.validation_messages import NO_FIELD, field_errors

T = TypeVar("T")

# Every form of a page contains its account, and the names of its check boxes and lists.
RESERVED = frozenset({"account", LISTED})


class Form(msgspec.Struct):
    """The state of a form for its template: the typed values, the errors, a message on top, the fields that
    someone else changed meanwhile, and the URLs of what errors name, by field."""

    values: dict[str, str | list[str]] = {}
    errors: dict[str, str] = {}
    message: str = ""
    conflicts: list[FieldConflict] = []
    links: dict[str, str] = {}

    def value(self, name: str, default: T | None = None) -> str | list[str] | T:
        """The typed value of a field, or `default` before the form is sent."""
        stored = "" if default is None else default
        return self.values.get(name, stored) if self.values else stored

    def error(self, name: str) -> str:
        """The error message of one field, "" when it is valid."""
        return self.errors.get(name, "")


def typed_values(fields: FormFields) -> dict[str, str | list[str]]:
    """The typed texts of a form, to show them again; a repeated name gives a list."""
    values: dict[str, str | list[str]] = {}
    for name in dict.fromkeys(fields.keys()):  # a multi-dict repeats its names
        texts = [value for value in fields.getall(name) if isinstance(value, str)]
        if texts:
            values[name] = texts[0] if len(texts) == 1 else texts
    return values


def read_json(body: bytes, kind: type[T]) -> T:
    """A JSON body as `kind`, without coercion. Raises `Invalid` with a message for every bad field, or
    `DecodeError`."""
    try:
        return msgspec.json.decode(body, type=kind, strict=True)
    except msgspec.ValidationError as error:
        raise Invalid(field_errors(msgspec.json.decode(body), kind, strict=True, whole=str(error))) from error


def read_form(fields: FormFields, kind: type[T]) -> T:
    """A form as `kind`. Like JSON, it is refused for unknown names, except those in `RESERVED`, and for bad
    values. Raises `Invalid` with a message for every bad field."""
    decoded = decode_form_strictly(fields, kind)
    errors = dict.fromkeys((name for name in decoded.unread if name not in RESERVED), NO_FIELD)
    errors |= decoded.wrong
    try:
        value = msgspec.convert(decoded.value, kind, strict=False)
    except msgspec.ValidationError as error:
        wrong = field_errors(decoded.value, kind, strict=False, whole=str(error))
        raise Invalid(wrong | errors) from error
    if errors:
        raise Invalid(errors)
    return value
