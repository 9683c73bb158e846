"""Merge tags: `{{ contact.first_name }}` and `{{ contact.first_name | default: "there" }}`; `{{ event.… }}`
reads the data of the event that enrolled the contact, `{{ response.<name>.… }}` the response that a webhook
step saved. `{{ unsubscribe_url }}` in the body of an email is the contact's link to unsubscribe, added when
it is sent. There is no logic, no loop and nothing to call: a text grows only by the values inserted.
`compile_template` compiles it once; `Template.render` renders it in linear time and up to a limit, escaped
for its output."""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from enum import StrEnum
from html import escape
from urllib.parse import quote

import msgspec

from app.filters.countries import country_names
from app.filters.facts import Facts
from app.filters.field_values import plain_text, value_text
from app.filters.fields import Fields, FieldSpec, FieldType, nearest

LONGEST = 50_000
MOST_TAGS = 200
# What the longest template needs around the longest webhook body accepted, with each character of that
# escaped to two.
LONGEST_RENDERED = 600_000
_OTHER = ("contact.id", "account.name")
UNSUBSCRIBE = "unsubscribe_url"
UNSUBSCRIBE_MARK = f"{{{{ {UNSUBSCRIBE} }}}}"  # what the rendered text contains until it is sent
# The data of an enrollment besides its contact, with an example of a path into it.
ROOTS = {"event": "order_id", "response": "order.id"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]+")


class Output(StrEnum):
    """The format into which the text is rendered, which decides how values are escaped: a JSON value is
    inside quotes."""

    TEXT = "text"
    EMAIL = "email"
    HTML = "html"
    SUBJECT = "subject"
    JSON = "json"
    URL = "url"
    HEADER = "header"


class TemplateError(ValueError):
    """A template that cannot be compiled, with a message that says what to change."""


class TextTooLong(ValueError):
    """A text that is too long with the values of one contact, with a message that says what to change."""


Read = Callable[[Facts], str]
Part = str | Read
_ESCAPED: dict[Output, Callable[[str], str]] = {
    Output.TEXT: str,
    Output.EMAIL: str,
    Output.HTML: escape,
    Output.SUBJECT: str,
    Output.HEADER: str,
    Output.JSON: lambda value: msgspec.json.encode(value).decode()[1:-1],
    Output.URL: lambda value: quote(value, safe=""),
}


class Template:
    """A compiled template. `fields` are the keys of the fields it reads, `name` is its name in messages of
    the step."""

    __slots__ = ("_escaped", "_one_line", "_parts", "fields", "name")

    def __init__(self, parts: list[Part], fields: frozenset[str], output: Output, name: str) -> None:
        self._parts = parts
        self._escaped = _ESCAPED[output]
        self._one_line = output in (Output.SUBJECT, Output.HEADER)
        self.fields = fields
        self.name = name

    def render(self, facts: Facts) -> str:
        """The text for one contact; a subject or header comes out as one line whatever the values contain.
        Raises TextTooLong as soon as the limit is passed, before the rest is rendered."""
        room, pieces = LONGEST_RENDERED, []
        for part in self._parts:
            piece = part if isinstance(part, str) else self._value(part(facts), room)
            room -= len(piece)
            if room < 0:
                raise self._too_long()
            pieces.append(piece)
        text = "".join(pieces)
        return _CONTROL.sub(" ", text).strip() if self._one_line else text

    def _value(self, value: str, room: int) -> str:
        """The value escaped; escaping shortens nothing, so a value that is too long already is not escaped
        either."""
        if len(value) > room:
            raise self._too_long()
        return self._escaped(value)

    def _too_long(self) -> TextTooLong:
        return TextTooLong(
            f"The {self.name} is longer than {LONGEST_RENDERED:,} characters with this contact's values. "
            "Shorten it or use fewer merge tags."
        )


def compile_template(
    source: str,
    fields: Fields,
    output: Output = Output.TEXT,
    saved: Collection[str] | None = None,
    name: str = "text",
) -> Template:
    """Raises TemplateError for an open tag, an unknown name (with the nearest one) or a filter other than
    `default`. `saved` are the names under which responses are saved; None skips that check. `name` is how the
    message calls the text when it grows too long."""
    parts: list[Part] = []
    used: set[str] = set()
    for literal, tag in _split(source):
        if literal:
            parts.append(literal)
        if tag is not None:
            tag_name, default = _parse(tag)
            if tag_name == UNSUBSCRIBE:
                parts.append(_unsubscribe(output))
                continue
            path = _path(tag_name, saved)
            if path is not None:
                parts.append(_carried(path, default))
                continue
            spec = _field(tag_name, fields)
            if spec is not None:
                used.add(spec.key)
            parts.append(_reader(tag_name, spec, default))
    return Template(parts, frozenset(used), output, name)


def template_problem(
    source: str, fields: Fields, output: Output = Output.TEXT, saved: Collection[str] | None = None
) -> str | None:
    """The message about what is wrong with a template, or None."""
    try:
        compile_template(source, fields, output, saved)
    except TemplateError as error:
        return str(error)
    return None


def fields_in_template(source: str, fields: Fields, output: Output = Output.TEXT) -> frozenset[str]:
    """The keys of the fields that a template reads; none where it does not compile."""
    try:
        return compile_template(source, fields, output).fields
    except TemplateError:
        return frozenset()


def _split(source: str) -> list[tuple[str, str | None]]:
    """Literal text and the inside of the tag that follows it, in turn."""
    if len(source) > LONGEST:
        raise TemplateError(f"The text is longer than {LONGEST} characters.")
    tags: list[tuple[str, str | None]] = []
    position = 0
    while (start := source.find("{{", position)) >= 0:
        end = source.find("}}", start)
        if end < 0 or "{{" in source[start + 2 : end]:
            shown = source[start : start + 30]
            raise TemplateError(f"The merge tag “{shown}” isn't closed. Write {{{{ contact.first_name }}}}.")
        tags.append((source[position:start], source[start + 2 : end]))
        if len(tags) > MOST_TAGS:
            raise TemplateError(f"The text has more than {MOST_TAGS} merge tags.")
        position = end + 2
    return [*tags, (source[position:], None)]


def _parse(tag: str) -> tuple[str, str]:
    name, bar, rest = tag.partition("|")
    name = name.strip()
    if not _NAME.match(name):
        raise TemplateError(
            f"“{tag.strip()[:40]}” isn't a valid merge tag. Write {{{{ contact.first_name }}}}."
        )
    if not bar:
        return name, ""
    word, colon, value = rest.strip().partition(":")
    value = value.strip()
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'" and value[0] not in value[1:-1]
    if word.strip() != "default" or not colon or not quoted:
        raise TemplateError(f'Only a default can follow “|”: {{{{ {name} | default: "there" }}}}.')
    return name, value[1:-1]


def _unsubscribe(output: Output) -> str:
    if output is not Output.EMAIL:
        raise TemplateError(
            f"“{UNSUBSCRIBE}” can only be used in the body of an email to the contact. Remove it here."
        )
    return UNSUBSCRIBE_MARK


def _path(name: str, saved: Collection[str] | None) -> list[str] | None:
    """The path into the enrollment's data; None for a tag of the contact or the account."""
    root, *path = name.split(".")
    if root not in ROOTS:
        return None
    if not path or not all(path):
        raise TemplateError(f"“{name[:60]}” is incomplete. Write {{{{ {root}.{ROOTS[root]} }}}}.")
    if root == "response" and saved is not None and path[0] not in saved:
        match = nearest(path[0], saved)
        hint = (
            f" Did you mean “response.{match}”?"
            if match
            else " Name it in a webhook step under “Save response as”."
        )
        raise TemplateError(f"No webhook step saves its response as “{path[0][:40]}”.{hint}")
    return [root, *path]


def _carried(path: list[str], default: str) -> Read:
    def read(facts: Facts) -> str:
        value: object = facts.data
        for part in path:
            if isinstance(value, Mapping):
                value = value.get(part)
            elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
                value = value[int(part)]
            else:
                return default
        if isinstance(value, Mapping | list):
            return msgspec.json.encode(value).decode()
        return shown(value, facts) or default

    return read


def _field(name: str, fields: Fields) -> FieldSpec | None:
    """The field of a tag, or None for the few names that are not fields."""
    if name in _OTHER:
        return None
    # Built-in names win over a custom field of the same name.
    names = {_tag_name(spec): spec for spec in reversed(list(fields.values())) if spec.is_printable}
    spec = names.get(name) or _renamed(name, fields) or fields.get(name.removeprefix("contact."))
    if spec is not None and spec.is_printable and name.startswith("contact."):
        return spec
    match = nearest(name, [*names, *_OTHER]) or nearest(f"contact.{name}", names)
    hint = (
        f" Did you mean “{match}”?" if match else " Names start with “contact.”, such as contact.first_name."
    )
    raise TemplateError(f"There is no field “{name[:60]}”.{hint}")


def _renamed(name: str, fields: Fields) -> FieldSpec | None:
    """The field that had this name once; a field that has it now wins."""
    slug = name.removeprefix("contact.")
    return next((spec for spec in fields.values() if slug in spec.former_slugs), None)


def _tag_name(spec: FieldSpec) -> str:
    return f"contact.{spec.slug}"


def tag_names(fields: Fields, output: Output = Output.TEXT) -> list[tuple[str, str]]:
    """Every merge tag that may be written, with its label, for the picker."""
    contact_tags = [
        (_tag_name(spec), spec.label) for spec in fields.values() if spec.is_printable and not spec.retired
    ]
    other = [("contact.id", "Contact ID"), ("account.name", "Account name")]
    return [*contact_tags, *other, *([(UNSUBSCRIBE, "Unsubscribe link")] if output is Output.EMAIL else [])]


def _reader(name: str, spec: FieldSpec | None, default: str) -> Read:
    if name == "contact.id":
        return lambda facts: str(facts.contact_id or "") or default
    if spec is None:
        return lambda facts: facts.account_name or default
    key = spec.key
    if spec.type in (FieldType.USER, FieldType.MONEY, FieldType.DATETIME, FieldType.MULTI_SELECT):
        field = spec
        return lambda facts: value_text(field, facts.values.get(key), facts.zone, facts.users) or default
    if key == "country":
        return lambda facts: _country(facts.values.get(key)) or default
    return lambda facts: shown(facts.values.get(key), facts) or default


def _country(value: object) -> str:
    """The name of a country; what is none of those known stays as it was typed."""
    return country_names().get(str(value), str(value)) if value else ""


def shown(value: object, facts: Facts) -> str:
    """A value as text for people: yes and no, whole numbers without a point, times in the account's zone."""
    if isinstance(value, datetime):
        return value.astimezone(facts.zone).strftime("%Y-%m-%d %H:%M")
    return plain_text(value)
