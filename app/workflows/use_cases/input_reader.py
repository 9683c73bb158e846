"""Reads the inputs of the builder: tags by name to ids, form rows to filters, and messages back to the names
of the inputs."""

from collections.abc import Mapping
from typing import cast
from uuid import UUID

import msgspec

from app.engine.core.name_lookup import Names
from app.errors import Invalid
from app.filters.ast import Filter, FilterError
from app.filters.fields import Fields
from app.filters.rows import FilterInput, RowReader, is_id
from app.tags.use_cases import ensured_tag
from app.work import Work
from db.queries.name_lookup import read_names


class BuilderNames(msgspec.Struct):
    """The account's fields, and the names of what a draft may refer to, as an edit reads them."""

    fields: Fields
    names: Names

    @property
    def tags(self) -> Mapping[str, str]:
        return self.names.tags


async def read_builder_names(work: Work) -> BuilderNames:
    """The fields and names that filters and steps may refer to today."""
    names = await read_names(work.session)
    own_tags = {**names.tags}  # `Reader.tag` adds to them, and a catalog is shared
    return BuilderNames(await work.fields.catalog(), msgspec.structs.replace(names, tags=own_tags))


class Reader(RowReader):
    """Turns inputs into configs: reads filters, and tags by id or by name."""

    def __init__(self, work: Work, names: BuilderNames) -> None:
        super().__init__(names.fields, names.tags)
        self.work, self.lookup = work, names

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

    def filter(self, expression: FilterInput | None, path: str) -> Filter | None:
        """The typed filter; None when a form has no rows left. Raises Invalid for one that is nested too
        deep."""
        try:
            return super().filter(expression, path)
        except FilterError as error:
            raise Invalid(error.problems) from None

    def refuse(self, problems: list[tuple[str, str]], prefix: str) -> None:
        """Raises Invalid with all messages under the names of the inputs; does nothing without messages."""
        errors = self.errors(problems, prefix)
        if errors:
            raise Invalid(errors)
