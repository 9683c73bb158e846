"""Reads the inputs of the builder: tags by name to ids, form rows to filters, and messages back to the names
of the inputs."""

from collections.abc import Mapping
from typing import cast
from uuid import UUID

import msgspec

from app.engine.core.name_lookup import Names
from app.errors import Invalid
from app.filters.ast import ARITY, Arity, Filter, Group, Op, Predicate, Value
from app.filters.fields import Fields, FieldSpec, FieldType, field_key, ids_by_name, nearest
from app.filters.parse import DEEPEST, LISTS, REFERENCE_TYPES, stored_form, unescape_list_part
from app.tags.use_cases import ensured_tag
from app.work import Work
from app.workflows.schemas import inputs
from app.workflows.schemas.inputs.filters import RowInput, RowsInput
from db.queries.name_lookup import read_names

Tags = Mapping[str, str]
Values = list[bool | int | float | str]


class BuilderNames(msgspec.Struct):
    """The account's fields, and the names of what a draft may refer to, as an edit reads them."""

    fields: Fields
    names: Names

    @property
    def tags(self) -> Mapping[str, str]:
        return self.names.tags


def things(spec: FieldSpec, tags: Tags) -> Mapping[str, str]:
    """The names, by id, of the things that conditions on this field name."""
    return tags if spec.type is FieldType.TAGS else spec.names or {}


async def read_builder_names(work: Work) -> BuilderNames:
    """The fields and names that filters and steps may refer to today."""
    return BuilderNames(await work.fields.catalog(), await read_names(work.session))


class Reader:
    """Turns inputs into configs. `problems` are sentences by input name; `renamed` maps the stored path of a
    row ("filter.items.0") to the input that holds it ("filter.rows.2")."""

    def __init__(self, work: Work, names: BuilderNames) -> None:
        self.work, self.lookup = work, names
        self.problems: dict[str, str] = {}
        self.renamed: dict[str, str] = {}

    async def tag(self, text: str) -> UUID | None:
        """The id of a tag given by id or by name; a new name creates the tag."""
        text = " ".join(text.split())
        if not text:
            return None
        if text in self.lookup.tags or is_id(text):
            return UUID(text)
        try:
            tag_id, name = await ensured_tag(self.work, text)
        except Invalid as error:
            self.problems["tag"] = error.message
            return None
        cast("dict[str, str]", self.lookup.names.tags).setdefault(str(tag_id), name)
        return tag_id

    def filter(self, expression: inputs.FilterInput | None, path: str) -> Filter | None:
        """The typed filter; None when a form has no rows left."""
        if isinstance(expression, RowsInput):
            items: list[Filter] = []
            for number, row in enumerate(expression.rows):
                if not row.field and not row.nested:
                    continue
                self.renamed[f"{path}.items.{len(items)}"] = f"{path}.rows.{number}"
                items.append(self._row(row, f"{path}.rows.{number}"))
            return Group(expression.match, items) if items else None
        if expression is None:
            return None
        self._shallow(expression, path)
        return self._named(expression, path)

    @staticmethod
    def _shallow(expression: Filter, path: str) -> None:
        """Raises Invalid for a filter too deep for recursive functions."""
        level, depth = [expression], 0
        while level:
            level = [item for group in level if isinstance(group, Group) for item in group.items]
            depth += 1
            if depth > DEEPEST + 1:
                raise Invalid({path: f"Groups can be nested at most {DEEPEST} levels deep."})

    def _row(self, row: RowInput, path: str) -> Filter:
        if row.nested:
            try:
                nested: Filter = msgspec.json.decode(row.nested.encode(), type=Group | Predicate)
                self._shallow(nested, path)
                return self._named(nested, path)
            except (msgspec.DecodeError, RecursionError) as error:
                self.problems[path] = f"This isn't a valid group of conditions: {error}"
                return Group()
        op = next((operator for operator in Op if operator.value == row.op), None)
        if op is None:
            self.problems[f"{path}.op"] = "Choose an operator."
            return Predicate(row.field, Op.NOT_EMPTY)
        spec, value = self.lookup.fields.get(row.field), _value(op, row.value)
        if spec is not None and spec.type in REFERENCE_TYPES and ARITY[op] is Arity.MANY:
            # A name may contain a comma itself.
            whole = row.value.strip()
            value = [whole] if "," in whole and ids_by_name(whole, things(spec, self.lookup.tags)) else value
        return self._named(Predicate(row.field, op, value), path)

    def _named(self, expression: Filter, path: str) -> Filter:
        """The filter with the names of tags, members, segments and workflows replaced by their ids, as it is
        stored."""
        return stored_form(self._by_id(expression, path), self.lookup.fields)

    def _by_id(self, expression: Filter, path: str) -> Filter:
        if isinstance(expression, Group):
            return Group(
                expression.match,
                [self._by_id(item, f"{path}.items.{index}") for index, item in enumerate(expression.items)],
            )
        spec = self.lookup.fields.get(expression.field)
        if ARITY[expression.op] is Arity.CHANGE and isinstance(expression.value, list) and expression.value:
            return Predicate(expression.field, expression.op, self._change(expression.value, path))
        if spec is None or spec.type not in REFERENCE_TYPES or expression.value in (None, ""):
            return expression
        if not isinstance(expression.value, list):
            return Predicate(
                expression.field, expression.op, self._thing_id(spec, str(expression.value), path)
            )
        ids: Values = [self._thing_id(spec, str(item), path) for item in expression.value]
        return Predicate(expression.field, expression.op, ids)

    def _change(self, value: Values, path: str) -> Values:
        """The condition with the field's key instead of its name, and the ids of members instead of their
        names."""
        key = field_key(str(value[0]), self.lookup.fields)
        spec = self.lookup.fields.get(key)
        operands: Values = value[1:-1]
        if spec is not None and spec.type is FieldType.USER:
            operands = [
                self._thing_id(spec, str(item), path) if str(item).strip() else "" for item in operands
            ]
        return [key, *operands, *value[1:][-1:]]

    def _thing_id(self, spec: FieldSpec, text: str, path: str) -> str:
        names = things(spec, self.lookup.tags)
        if is_id(text):
            return text
        ids, what = ids_by_name(text, names), REFERENCE_TYPES[spec.type].removeprefix("A ")
        if len(ids) == 1:
            return ids[0]
        if ids:
            message = f"More than one {what} is called “{text[:60]}”. Use the ID instead: {' or '.join(ids)}."
        else:
            close = nearest(text, names.values())
            hint = f" Did you mean “{close}”?" if close else " Create it first, or choose another."
            message = f"There is no {what} “{text[:60]}”.{hint}"
        self.problems.setdefault(f"{path}.value", message)
        return text

    def refuse(self, problems: list[tuple[str, str]], prefix: str) -> None:
        """Raises Invalid with all messages under the names of the inputs; does nothing without messages."""
        errors = {
            f"{prefix}{'.' if prefix and name else ''}{name}": text for name, text in self.problems.items()
        }
        for path, text in problems:
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
        # The new value may contain commas itself.
        field, _, rest = text.partition(",")
        return [field.strip(), *(unescape_list_part(part.strip()) for part in rest.rsplit(",", 1))]
    if arity is Arity.CHANGE:
        return [unescape_list_part(part.strip()) for part in text.split(",")]
    if arity in LISTS:
        return [unescape_list_part(part.strip()) for part in text.split(",") if part.strip()]
    return text.strip() or None
