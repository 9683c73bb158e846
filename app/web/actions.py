"""The actions that a member may take on a page. One list serves the buttons of the page and the JSON
`actions`; `action` builds one entry, `actions` drops those that are not allowed."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec
from msgspec import inspect

from app.permissions import Permission
from app.web.form_decoder import bare, inspected
from app.web.validation_messages import allowed_values
from app.work import Work


class Field(msgspec.Struct, omit_defaults=True):
    """One input of an action. `type` is an HTML input type, or `select`, `list`, `object`, `textarea`."""

    name: str
    type: str
    required: bool = False
    label: str = ""
    options: list[str] | None = None


class Action(msgspec.Struct):
    """Something that the caller can do from this page: the URL and the fields to send. An action with the
    method GET is a link to the page with its form. Scripts use `method` and `href`, forms of a browser
    `form_method` and `form_href`: a form cannot send PATCH or DELETE (`app/web/methods.py`). DELETE takes the
    fields in the query."""

    name: str
    label: str
    method: str
    href: str
    fields: list[Field] = []
    form_method: str = ""
    form_href: str = ""

    def __post_init__(self) -> None:
        self.form_method = "GET" if self.method == "GET" else "POST"
        if not self.form_href:
            self.form_href = f"{self.href}/deletion" if self.method == "DELETE" else self.href


def action(
    work: Work,
    name: str,
    label: str,
    href: str,
    *,
    permission: Permission | None = None,
    form: type[msgspec.Struct] | None = None,
    method: str = "POST",
    form_href: str = "",
    options: Mapping[str, Sequence[str]] | None = None,
    when: bool = True,
) -> Action | None:
    """An action, or None when the actor has no permission or it makes no sense now (`when`). `form` is the
    struct that the handler reads; `options` are the choices of fields that depend on the account. `form_href`
    is needed where a form uses another URL, except the `/deletion` of a DELETE."""
    if not when or (permission is not None and not work.may(permission)):
        return None
    fields = fields_of(form) if form is not None else ()
    if options:
        fields = tuple(
            msgspec.structs.replace(field, type="select", options=list(options[field.name]))
            if field.name in options
            else field
            for field in fields
        )
    return Action(name, label, method, href, list(fields), form_href=form_href)


def actions(*candidates: Action | None) -> list[Action]:
    """The allowed actions, in order."""
    return [candidate for candidate in candidates if candidate is not None]


def find_action(available: Sequence[Action], name: str) -> Action | None:
    """The action of that name, None when it is not allowed. Templates use it as the filter `named`."""
    return next((candidate for candidate in available if candidate.name == name), None)


@lru_cache(maxsize=512)
def fields_of(form: type[msgspec.Struct]) -> tuple[Field, ...]:
    """The inputs of a form struct; nested ones have dotted names."""
    return tuple(_fields(inspected(form), ""))


def _fields(kind: inspect.Type, prefix: str) -> list[Field]:
    if not isinstance(kind, inspect.StructType):
        return []
    inputs: list[Field] = []
    for field in kind.fields:
        name, inner = prefix + field.encode_name, bare(field.type)
        if isinstance(inner, inspect.StructType):
            inputs += _fields(inner, f"{name}.")
            continue
        options = allowed_values(inner) or None
        label = field.encode_name.replace("_", " ").capitalize()
        inputs.append(Field(name, _input(field.type, field.encode_name), field.required, label, options))
    return inputs


INPUTS: tuple[tuple[type[inspect.Type], str], ...] = (
    (inspect.BoolType, "checkbox"),
    (inspect.IntType, "number"),
    (inspect.FloatType, "number"),
    (inspect.DecimalType, "number"),
    (inspect.DateTimeType, "datetime-local"),
    (inspect.DateType, "date"),
    (inspect.TimeType, "time"),
    (inspect.EnumType, "select"),
    (inspect.LiteralType, "select"),
    (inspect.ListType, "list"),
    (inspect.SetType, "list"),
    (inspect.DictType, "object"),
    (inspect.StructType, "object"),
)
NAMES = {"email": "email", "password": "password", "new_password": "password", "url": "url", "website": "url"}


def _input(kind: inspect.Type, name: str) -> str:
    inner = bare(kind)
    if isinstance(inner, inspect.UnionType):
        real = [bare(option) for option in inner.types if not isinstance(bare(option), inspect.NoneType)]
        text = next((option for option in real if isinstance(option, inspect.StrType)), None)
        inner = text or (real[0] if real else inner)  # what may be text is typed as text
    for described, html in INPUTS:
        if isinstance(inner, described):
            return html
    return NAMES.get(name, "text")


def as_json(value: object) -> str:
    """A struct as JSON text, for data attributes."""
    return msgspec.json.encode(value).decode()
