"""Builds the pages of segments: the list, one segment, the form for a new one."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from app.contacts.listing import Query, condition, read_filter
from app.errors import Invalid, NotFound
from app.filters.ast import Filter
from app.filters.fields import Fields
from app.filters.parse import describe, to_items
from app.permissions import Permission
from app.segments.schemas import (
    SegmentChangeForm,
    SegmentForm,
    SegmentFormPage,
    SegmentList,
    SegmentPage,
    SegmentView,
)
from app.segments.use_cases import filter_sentence, users_of
from app.web.actions import action, actions
from app.work import Work
from db.queries.contact_pages import MOST_COUNTED, count_contacts
from db.repositories.segments import filters_by_id

EDIT = Permission.EDIT_CONTACTS
NEEDS_CONDITION = "A segment needs at least one condition. Filter the contacts, then save the filter."


class FilterContext(msgspec.Struct):
    """The fields, tags (id to name) and time zone with which filters of an account are read and evaluated."""

    fields: Fields
    tags: dict[str, str]
    zone: ZoneInfo

    @classmethod
    async def of(cls, work: Work) -> "FilterContext":
        zone = ZoneInfo((await work.accounts.own()).time_zone)
        return cls(await work.fields.catalog(), await work.tags.names(), zone)


async def segment_list(work: Work) -> SegmentList:
    """Every segment, with the number of contacts in it."""
    context = await FilterContext.of(work)
    return SegmentList([await view(work, row, context) for row in await work.segments.rows()], [])


async def segment_page(work: Work, segment_id: UUID) -> SegmentPage:
    """One segment and what uses it. Raises `NotFound`."""
    row = await work.segments.row(segment_id)
    if row is None:
        raise NotFound("segment")
    used, href = await users_of(work, segment_id), f"/segments/{segment_id}"
    shown = await view(work, row, await FilterContext.of(work))
    return SegmentPage(
        shown,
        used,
        actions(
            action(work, "update", "Save", href, permission=EDIT, form=SegmentChangeForm),
            action(work, "filter", "Edit filter", shown.edit_href, permission=EDIT, method="GET"),
            action(work, "delete", "Delete", f"{href}/deletion", permission=EDIT, when=not used),
        ),
    )


async def new_page(work: Work, f: list[str], match: str) -> SegmentFormPage:
    """The form that saves a filter. An invalid one is shown with its problem."""
    context = await FilterContext.of(work)
    problem, described, total = "" if f else NEEDS_CONDITION, "", 0
    try:
        group = read_filter(f, match, context.fields, context.tags)
        described = describe(group, context.fields, context.tags)
        total = await _total(work, group, context) or 0
    except Invalid as error:
        problem = " ".join(error.errors.values())
    create = action(work, "create", "Save segment", "/segments", permission=EDIT, form=SegmentForm)
    return SegmentFormPage(
        f,
        "any" if match == "any" else "all",
        described,
        min(total, MOST_COUNTED),
        total > MOST_COUNTED,
        Query(f=f, match="any" if match == "any" else "all").href(),
        problem,
        actions(create),
    )


async def view(work: Work, row: Any, context: FilterContext) -> SegmentView:
    """A segment as the page shows it, with its number of contacts."""
    expression = filters_by_id([row])[row.id]
    total = await _total(work, expression, context) if expression is not None else None
    match, items = to_items(expression)
    return SegmentView(
        row.id,
        row.name,
        filter_sentence(row, context.fields, context.tags),
        row.filter,
        items,
        match,
        row.rev,
        None if total is None else min(total, MOST_COUNTED),
        (total or 0) > MOST_COUNTED,
        row.due_at is not None,
        row.created_by,
        row.created_at,
        row.updated_at,
        "/contacts?" + urlencode([("f", f"segments:any_of:{row.id}")]),
        Query(f=items, match=match, segment=str(row.id)).href(),
    )


async def _total(work: Work, expression: Filter, context: FilterContext) -> int | None:
    try:
        clause = condition(expression, "", context.fields, context.zone, work.now)
    except Invalid:
        return None
    return await count_contacts(work.session, clause)
