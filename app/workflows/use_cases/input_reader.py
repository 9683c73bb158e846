"""What was sent becomes what is stored: tags by name to ids, form rows to filters, and the sentences about
it back to the names of the inputs."""

from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

import msgspec

from app.engine.core.name_lookup import Names
from app.errors import Invalid
from app.filters.ast import ARITY, Arity, Filter, Group, Op, Predicate, Value
from app.filters.fields import Fields, FieldSpec, FieldType, called, ids_called, nearest
from app.filters.parse import DEEPEST, LISTS, THINGS, normal, unescaped
from app.tags.use_cases import ensured_tag
from app.work import Work
from app.workflows.schemas import inputs
from app.workflows.schemas.inputs.filters import RowInput, RowsInput

Tags = Mapping[str, str]
Values = list[bool | int | float | str]
_FILTERS: Any = Group | Predicate


class Known(msgspec.Struct):
    """The account's fields, and the names of what a draft may refer to, as an edit sees them."""

    fields: Fields
    names: Names

    @property
    def tags(self) -> Mapping[str, str]:
        return self.names.tags


def things(spec: FieldSpec, tags: Tags) -> Mapping[str, str]:
    """The names, by id, of those whom conditions on this field name."""
    return tags if spec.type is FieldType.TAGS else spec.names or {}


async def known(work: Work) -> Known:
    """What filters and steps may name today."""
    named = await work.naming.all()
    names = Names(named["tags"], named["segments"], named["workflows"], named["users"])
    return Known(await work.fields.catalogue(), names)


class Reader:
    """Turns inputs into configs. `problems` are sentences by input name; `renamed` maps the stored path of a
    row ("filter.items.0") to the input that holds it ("filter.rows.2")."""

    def __init__(self, work: Work, given: Known) -> None:
        self.work, self.known = work, given
        self.problems: dict[str, str] = {}
        self.renamed: dict[str, str] = {}

    async def tag(self, text: str) -> UUID | None:
        """The id of a tag given by id or by name; a new name makes it."""
        text = " ".join(text.split())
        if not text:
            return None
        if text in self.known.tags or is_id(text):
            return UUID(text)
        try:
            made, name = await ensured_tag(self.work, text)
        except Invalid as error:
            self.problems["tag"] = error.message
            return None
        cast("dict[str, str]", self.known.names.tags).setdefault(str(made), name)
        return made

    def filter(self, given: inputs.FilterInput | None, path: str) -> Filter | None:
        """The typed filter; None when a form has no row left."""
        if isinstance(given, RowsInput):
            items: list[Filter] = []
            for number, row in enumerate(given.rows):
                if not row.field and not row.nested:
                    continue
                self.renamed[f"{path}.items.{len(items)}"] = f"{path}.rows.{number}"
                items.append(self._row(row, f"{path}.rows.{number}"))
            return Group(given.match, items) if items else None
        if given is None:
            return None
        self._shallow(given, path)
        return self._named(given, path)

    @staticmethod
    def _shallow(given: Filter, path: str) -> None:
        """Raises Invalid for a filter too deep to be walked by functions that call themselves."""
        level, depth = [given], 0
        while level:
            level = [item for one in level if isinstance(one, Group) for item in one.items]
            depth += 1
            if depth > DEEPEST + 1:
                raise Invalid({path: f"Groups can be nested {DEEPEST} deep at most."})

    def _row(self, row: RowInput, path: str) -> Filter:
        if row.nested:
            try:
                nested: Filter = msgspec.json.decode(row.nested.encode(), type=_FILTERS)
                self._shallow(nested, path)
                return self._named(nested, path)
            except (msgspec.DecodeError, RecursionError) as error:
                self.problems[path] = f"This is not a group of conditions: {error}"
                return Group()
        op = next((known for known in Op if known.value == row.op), None)
        if op is None:
            self.problems[f"{path}.op"] = "Choose an operator."
            return Predicate(row.field, Op.NOT_EMPTY)
        spec, value = self.known.fields.get(row.field), _value(op, row.value)
        if spec is not None and spec.type in THINGS and ARITY[op] is Arity.MANY:
            # A name may hold a comma itself.
            whole = row.value.strip()
            value = [whole] if "," in whole and ids_called(whole, things(spec, self.known.tags)) else value
        return self._named(Predicate(row.field, op, value), path)

    def _named(self, given: Filter, path: str) -> Filter:
        """The filter with the names of tags, people, segments and workflows replaced by their ids, as it is
        stored."""
        return normal(self._by_id(given, path), self.known.fields)

    def _by_id(self, given: Filter, path: str) -> Filter:
        if isinstance(given, Group):
            return Group(
                given.match,
                [self._by_id(item, f"{path}.items.{index}") for index, item in enumerate(given.items)],
            )
        spec = self.known.fields.get(given.field)
        if ARITY[given.op] is Arity.CHANGE and isinstance(given.value, list) and given.value:
            return Predicate(given.field, given.op, self._change(given.value, path))
        if spec is None or spec.type not in THINGS or given.value in (None, ""):
            return given
        if not isinstance(given.value, list):
            return Predicate(given.field, given.op, self._thing_id(spec, str(given.value), path))
        found: Values = [self._thing_id(spec, str(one), path) for one in given.value]
        return Predicate(given.field, given.op, found)

    def _change(self, value: Values, path: str) -> Values:
        """The field by its key, however people call it, and the names of people by their ids."""
        key = called(str(value[0]), self.known.fields)
        spec = self.known.fields.get(key)
        asked: Values = value[1:-1]
        if spec is not None and spec.type is FieldType.USER:
            asked = [self._thing_id(spec, str(one), path) if str(one).strip() else "" for one in asked]
        return [key, *asked, *value[1:][-1:]]

    def _thing_id(self, spec: FieldSpec, text: str, path: str) -> str:
        names = things(spec, self.known.tags)
        if is_id(text):
            return text
        found, what = ids_called(text, names), THINGS[spec.type].removeprefix("A ")
        if len(found) == 1:
            return found[0]
        if found:
            said = (
                f"More than one {what} is called “{text[:60]}”. Write the id instead: {' or '.join(found)}."
            )
        else:
            close = nearest(text, names.values())
            hint = f" Did you mean “{close}”?" if close else " Make it first, or choose another one."
            said = f"There is no {what} “{text[:60]}”.{hint}"
        self.problems.setdefault(f"{path}.value", said)
        return text

    def refuse(self, found: list[tuple[str, str]], prefix: str) -> None:
        """Raises Invalid with all sentences under the names of the inputs; does nothing without any."""
        errors = {
            f"{prefix}{'.' if prefix and name else ''}{name}": text for name, text in self.problems.items()
        }
        for path, text in found:
            name = ".".join(part for part in (prefix, self._input(path)) if part)
            errors.setdefault(name, text)
        if errors:
            raise Invalid(errors)

    def _input(self, path: str) -> str:
        for stored, typed in self.renamed.items():
            if path == stored or path.startswith(f"{stored}."):
                return typed + path[len(stored) :]
        return path


def is_id(text: str) -> bool:
    """Whether a text is read as an id, never as a name."""
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _value(op: Op, text: str) -> Value:
    """The value of a row: a list where the operator takes several, nothing where it takes none."""
    arity = ARITY[op]
    if arity is Arity.NONE:
        return None
    if op is Op.CHANGED_TO and text.count(",") > 2:
        # What it became may hold commas itself.
        field, _, rest = text.partition(",")
        return [field.strip(), *(unescaped(part.strip()) for part in rest.rsplit(",", 1))]
    if arity is Arity.CHANGE:
        return [unescaped(part.strip()) for part in text.split(",")]
    if arity in LISTS:
        return [unescaped(part.strip()) for part in text.split(",") if part.strip()]
    return text.strip() or None
