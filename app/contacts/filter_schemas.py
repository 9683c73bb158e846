"""The JSON of the form that adds or changes conditions of the contact list."""

from typing import Annotated

import msgspec
from msgspec import Meta

from app.filters.row_inputs import FilterBox
from app.filters.rows import RowButtons, RowsInput
from app.web.actions import Action


class FilterForm(RowButtons, kw_only=True):
    """Conditions for the contact list as rows. `state` is the query string of the list. `filter` takes the
    place of the condition with the number `edit` in its `f`, or is added when `edit` is missing. The buttons
    only draw the form again."""

    state: Annotated[str, Meta(max_length=100_000)] = ""
    edit: Annotated[int, Meta(ge=0)] | None = None
    filter: RowsInput | None = None


class ConditionEditor(msgspec.Struct):
    """The form: the rows of `filter`, the number of the condition that they replace (`edit`), the list's
    query string (`state`), and the URL of the unchanged list (`cancel`)."""

    filter: FilterBox
    edit: int | None
    state: str
    cancel: str


class FilterPage(msgspec.Struct):
    """Conditions of the contact list: `f` and `match` as in its URL, which is `href`. `editor` is the form
    that changes one of them or adds another."""

    f: list[str]
    match: str
    href: str
    editor: ConditionEditor
    actions: list[Action]
