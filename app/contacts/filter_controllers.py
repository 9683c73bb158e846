"""Routes of the form that adds or changes conditions of the contact list."""

from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody, QueryParameter

from app.contacts.filter_form import apply_rows, condition_editor, edited_query
from app.contacts.filter_schemas import FilterForm, FilterPage
from app.contacts.listing import Query
from app.contacts.use_cases import Catalogs
from app.errors import Invalid
from app.json_types import JsonObject
from app.permissions import Permission
from app.tags.use_cases import make_tag_of_row
from app.web.actions import action, actions
from app.web.body_limits import DOCUMENT
from app.web.form_rows import changed_rows, redrawn, refused_values
from app.web.guards import may
from app.web.request import Request
from app.web.request_kinds import READ
from app.web.responses import Saved, Shaped
from app.work import Work

VIEW, EDIT = Permission.VIEW, Permission.EDIT_CONTACTS
PATH, EDITOR = "/contacts/filter", "filter-editor"
LONGEST_NUMBER = 9


class ContactFilterController(Controller):
    path = PATH
    tags = ("contacts",)

    @get(page="contacts/filter.html", fragment="contacts/_filter.html", guards=[may(VIEW)])
    async def show(
        self,
        request: Request,
        work: NamedDependency[Work],
        list_state: Annotated[str, QueryParameter(name="state")] = "",
        add: FromQuery[str] = "",
        edit: FromQuery[int | None] = None,
    ) -> FilterPage:
        """The form for one condition of the list whose query string is `state`: that with the number `edit`,
        or a new one on the field `add` (“group” for a group)."""
        values = refused_values(request, FilterForm)
        if values is None:
            return await _page(work, edited_query(list_state), add=add, edit=edit)
        try:
            query = edited_query(str(values.get("state", "")))
        except Invalid:
            query = Query()
        return await _page(work, query, values=values)

    @post(
        page="contacts/filter.html",
        fragment="contacts/_filter.html",
        form=PATH,
        guards=[may(VIEW)],
        kind=READ,
        limits=DOCUMENT,
        status_code=200,
    )
    async def apply(
        self, request: Request, data: JSONBody[FilterForm], work: NamedDependency[Work]
    ) -> Shaped[FilterPage]:
        """The URL of the list with these conditions: a browser is sent there. The buttons draw the form
        again."""
        values = changed_rows(request, FilterForm, data)
        if values is not None:
            await make_tag_of_row(work, values, data.make)
            page, headers = await _page(work, edited_query(data.state), values=values), redrawn(data, EDITOR)
            return Shaped(page, status_code=200, headers=headers)
        catalogs = await Catalogs.of(work)
        query = apply_rows(data, catalogs.fields, catalogs.tags)
        page = await _page(work, query)
        if request.wants_html and request.wants_partial:
            goal = {"path": page.href, "target": ".list", "swap": "innerMorph"}
            headers = {"HX-Location": msgspec.json.encode(goal).decode()}
            return Shaped(page, status_code=200, headers=headers)
        return Saved(page, see=page.href, created=False)


async def _page(
    work: Work, query: Query, *, add: str = "", edit: int | None = None, values: JsonObject | None = None
) -> FilterPage:
    catalogs, typed = await Catalogs.of(work), None
    if values is not None:
        rows, number = values.get("filter"), str(values.get("edit", ""))
        typed = rows if isinstance(rows, dict) else {}
        edit = int(number) if number.isdecimal() and len(number) <= LONGEST_NUMBER else None
    editor = condition_editor(
        query, catalogs.fields, catalogs.tags, add=add, edit=edit, values=typed, makes_tags=work.may(EDIT)
    )
    own = action(work, "filter", "Filter", PATH, permission=VIEW, form=FilterForm)
    return FilterPage(query.f, query.match, query.href(), editor, actions(own))
